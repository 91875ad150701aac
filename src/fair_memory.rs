//! A limited memory, shared so that a query which sorts comes to its end.
//!
//! Where whoever comes first gets the memory of a session, which is the engine's default, the first of
//! several sorts takes all of it, and the next has none to hold a single batch. Nor does it help that
//! those who can spill share fairly: a sort that merges what it spilled cannot, and takes the rest.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;

/// The memory is shared by the two sorts of a join, which hold rows and merge what they have spilled.
/// One part more is for those who bring them rows, and those who write meanwhile.
const SHARES: usize = 2 * 2 + 1;
/// The same where there is one sort.
const SHARES_OF_A_SORT: usize = 2 + 1;
/// What the engine calls the part of a sort that merges.
const MERGES: &str = "ExternalSorterMerge";

/// The same context, for a query of `partitions` that joins by sorting, of whose sorts none takes the
/// memory of another; as it is where the memory has no limit.
pub(crate) fn shared_fairly(
    context: &Arc<TaskContext>,
    partitions: usize,
) -> Result<Arc<TaskContext>> {
    shared(context, SHARES * partitions.max(1))
}

/// The same context, for a query that sorts once in each of `partitions`, whose rows are read or written
/// meanwhile.
pub(crate) fn shared_with_a_sort(
    context: &Arc<TaskContext>,
    partitions: usize,
) -> Result<Arc<TaskContext>> {
    shared(context, SHARES_OF_A_SORT * partitions.max(1))
}

fn shared(context: &Arc<TaskContext>, shares: usize) -> Result<Arc<TaskContext>> {
    let MemoryLimit::Finite(limit) = context.memory_pool().memory_limit() else {
        return Ok(Arc::clone(context));
    };
    let share = limit / shares;
    let pool = Shared {
        share,
        session: Arc::clone(context.memory_pool()),
    };
    let runtime = RuntimeEnvBuilder::from_runtime_env(&context.runtime_env())
        .with_memory_pool(Arc::new(pool))
        .build_arc()?;
    let mut config = context.session_config().clone();
    let execution = &mut config.options_mut().execution;
    let reserved = execution.sort_spill_reservation_bytes.min(share / 2);
    execution.sort_spill_reservation_bytes = reserved;
    Ok(Arc::new(with_config(context, config, runtime)))
}

/// The same context with another configuration.
pub(crate) fn with_config(
    context: &TaskContext,
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
) -> TaskContext {
    TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        runtime,
    )
}

/// Counts in the session's memory what it gives out, and gives nobody who sorts more than a share.
#[derive(Debug)]
struct Shared {
    share: usize,
    session: Arc<dyn MemoryPool>,
}

impl Shared {
    fn check_share(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let shares = consumer.can_spill() || consumer.name().starts_with(MERGES);
        let size = reservation.size().saturating_add(additional);
        if !shares || size <= self.share {
            return Ok(());
        }
        Err(DataFusionError::ResourcesExhausted(format!(
            "{} may hold {} bytes of the session's memory, and asks for {size}",
            consumer.name(),
            self.share
        )))
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared({} bytes each, of {})", self.share, self.session)
    }
}

impl MemoryPool for Shared {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.session.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.session.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.session.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.session.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.check_share(reservation, additional)?;
        self.session.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.session.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.session.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn limited(bytes: usize) -> (Arc<dyn MemoryPool>, Arc<TaskContext>) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool));
        let context = TaskContext::default().with_runtime(runtime.build_arc().unwrap());
        (pool, Arc::new(context))
    }

    #[test]
    fn no_sort_gets_more_than_a_share_and_the_session_counts_all() {
        let (session, context) = limited(1000);
        let context = shared_fairly(&context, 2).unwrap();
        let register = |name: &str, spills| {
            let consumer = MemoryConsumer::new(name).with_can_spill(spills);
            consumer.register(context.memory_pool())
        };
        let sort = register("ExternalSorter[0]", true);
        let merge = register("ExternalSorterMerge[0]", false);
        let other = register("HashJoinInput", false);
        for sort in [&sort, &merge] {
            assert!(sort.try_grow(101).is_err());
            sort.try_grow(100).unwrap();
        }
        other.try_grow(700).unwrap();
        assert_eq!(session.reserved(), 900);
        sort.free();
        other.try_grow(200).unwrap();
        assert!(sort.try_grow(1).is_err(), "others have all of it");
        drop((sort, merge, other));
        assert_eq!(session.reserved(), 0);
    }

    #[test]
    fn what_sorts_keep_for_merging_fits_into_a_share() {
        let kept = |context: &TaskContext| {
            let options = context.session_config().options();
            options.execution.sort_spill_reservation_bytes
        };
        let (_, context) = limited(10 << 20);
        assert_eq!(kept(&shared_fairly(&context, 1).unwrap()), 1 << 20);
        let sort = |partitions| shared_with_a_sort(&context, partitions).unwrap();
        assert_eq!(kept(&sort(1)), (10 << 20) / 3 / 2);
        assert_eq!(kept(&sort(2)), (10 << 20) / 6 / 2);
        let unlimited = SessionContext::new().task_ctx();
        let same = shared_fairly(&unlimited, 2).unwrap();
        assert!(Arc::ptr_eq(&same, &unlimited));
    }
}
