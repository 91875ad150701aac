//! One run of an INSERT: what its partitions and its sink share.
//!
//! The sink begins a run, and the partitions wait for that: a plan that nobody runs has no effect.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use tokio::sync::watch;

use super::change::{Change, Changed};
use super::job::{Job, twice};
use super::target::WriteTarget;
use super::version_writer::VersionWriter;
use super::writing::Writing;
use crate::fair_memory::{shared_fairly, with_config};
use crate::scan::SourceKeys;

/// The runs of one plan. Its node and its sink find each other by the context that they run in.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) writer: Arc<VersionWriter>,
    /// Set where the statement changes rows that are there.
    pub(super) change: Option<Arc<Change>>,
    pub(super) metrics: ExecutionPlanMetricsSet,
    /// In how many partitions rows are written, as far as it is planned.
    pub(super) partitions: AtomicUsize,
    runs: Mutex<Vec<Known>>,
}

/// A run, and who has come to it.
#[derive(Debug)]
struct Known {
    run: Weak<Run>,
    sink: Option<Arc<TaskContext>>,
    partitions: Vec<Arc<TaskContext>>,
}

impl Known {
    /// True if its sink and a partition have the same context.
    fn agrees(&self) -> bool {
        let sink = self.sink.as_ref();
        sink.is_some_and(|sink| has(&self.partitions, sink))
    }
}

fn has(contexts: &[Arc<TaskContext>], context: &Arc<TaskContext>) -> bool {
    contexts.iter().any(|known| Arc::ptr_eq(known, context))
}

impl Runs {
    pub(super) fn new(target: WriteTarget, change: Option<Change>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            writer: Arc::new(VersionWriter::new(target)?),
            change: change.map(Arc::new),
            metrics: ExecutionPlanMetricsSet::new(),
            partitions: AtomicUsize::new(1),
            runs: Mutex::default(),
        }))
    }

    /// The run of a sink with this context.
    pub(super) fn of_sink(&self, context: &Arc<TaskContext>) -> Result<Arc<Run>> {
        let same = |known: &Known| known.sink.is_none() && has(&known.partitions, context);
        // A host may put a node between the two that changes the context.
        let other = |known: &Known| known.sink.is_none();
        self.find(same, other, |known| known.sink = Some(Arc::clone(context)))
    }

    /// The run of a partition with this context.
    pub(super) fn of_partition(&self, context: &Arc<TaskContext>) -> Result<Arc<Run>> {
        let same = |known: &Known| {
            let sink = known.sink.as_ref();
            sink.is_some_and(|sink| Arc::ptr_eq(sink, context)) || has(&known.partitions, context)
        };
        let other = |known: &Known| known.sink.is_some() && !known.agrees();
        self.find(same, other, |known| {
            if !has(&known.partitions, context) {
                known.partitions.push(Arc::clone(context));
            }
        })
    }

    /// The run that is the `same`; else the only one that may be, though the context is another;
    /// else a new one.
    fn find(
        &self,
        same: impl Fn(&Known) -> bool,
        other: impl Fn(&Known) -> bool,
        come: impl FnOnce(&mut Known),
    ) -> Result<Arc<Run>> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|known| known.run.strong_count() > 0);
        let others = || runs.iter().filter(|known| other(known)).count();
        let place = runs.iter().position(&same);
        let place = match (place, others()) {
            (None, 1) => runs.iter().position(&other),
            (None, 2..) => return Err(twice().into()),
            (place, _) => place,
        };
        if let Some(known) = place.and_then(|place| runs.get_mut(place))
            && let Some(run) = known.run.upgrade()
        {
            come(known);
            return Ok(run);
        }
        let run = Arc::new(Run {
            begun: watch::Sender::new(None),
            rows: Mutex::default(),
            changed: Arc::new(Changed::new()),
            keys: Arc::default(),
            context: Mutex::default(),
        });
        let mut known = Known {
            run: Arc::downgrade(&run),
            sink: None,
            partitions: Vec::new(),
        };
        come(&mut known);
        runs.push(known);
        Ok(run)
    }
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    begun: watch::Sender<Option<Begun>>,
    /// The rows of a load that takes them one after another, for the sink.
    pub(super) rows: Mutex<Option<Rows>>,
    /// What the partitions of a statement that changes rows have found.
    pub(super) changed: Arc<Changed>,
    /// What the query of a MERGE has found in its source.
    pub(super) keys: Arc<SourceKeys>,
    /// That of its query, where it is another than that of the run.
    context: Mutex<Option<Arc<TaskContext>>>,
}

/// What a partition leaves for the sink.
pub(super) struct Rows(pub(super) SendableRecordBatchStream);

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

/// How a statement is written.
#[derive(Clone, Debug)]
pub(super) enum Begun {
    /// In one version, by all partitions.
    Whole(Arc<Job>),
    /// By the sink, which takes the rows as they come: in chunks, or going on with a load.
    InOrder(Arc<Writing>),
}

impl Run {
    /// The context of the query of `change`, the same for all of its `partitions`.
    pub(super) fn context_of_query(
        &self,
        change: &Change,
        context: Arc<TaskContext>,
        partitions: usize,
    ) -> Result<Arc<TaskContext>> {
        if !change.spills && change.merged.is_none() {
            return Ok(context);
        }
        let mut known = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let context = match known.take() {
            Some(context) => context,
            None => {
                let shared = match change.spills {
                    true => shared_fairly(&context, partitions)?,
                    false => context,
                };
                let config = shared.session_config().clone();
                let config = config.with_extension(Arc::clone(&self.keys));
                Arc::new(with_config(&shared, config, shared.runtime_env()))
            }
        };
        Ok(Arc::clone(known.insert(context)))
    }

    /// How it is written, once the sink has begun it.
    pub(super) async fn begun(&self) -> Result<Begun> {
        let mut begun = self.begun.subscribe();
        let begun = begun.wait_for(Option::is_some).await;
        let begun = begun.ok().and_then(|begun| begun.clone());
        begun.ok_or_else(|| twice().into())
    }

    /// Says how it is written, for which its partitions wait.
    pub(super) fn tell(&self, begun: Begun) {
        self.begun.send_replace(Some(begun));
    }
}

pub(super) fn put<T>(place: &Mutex<Option<T>>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

pub(super) fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
