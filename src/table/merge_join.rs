//! The join of a MERGE in a limited memory.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};

use crate::estimate::expected_bytes;

/// A hash table has at most this part of the memory: rows are in it beside their hashes, and sorts,
/// readers and encoders need theirs.
const SHARE: usize = 8;

/// The plan of a MERGE, as it fits into the session's memory, and whether it spills what does not.
///
/// The engine's hash join holds one side in memory and fails where that is too large; its sort-merge
/// join spills. Which one it plans is a setting of the session, so the join is exchanged here, for
/// this statement alone: where the memory is limited, and no side is known to be small.
///
/// A join that has a condition besides the equal columns is always the hash join. When the engine moves
/// a projection below its sort-merge join it leaves that condition with the old places of its columns,
/// which may be of other columns of the same type.
pub(super) fn within_memory(
    state: &dyn Session,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<(Arc<dyn ExecutionPlan>, bool)> {
    let hashes = state.config().options().optimizer.prefer_hash_join;
    let most = match state.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(limit) if hashes => limit / SHARE,
        MemoryLimit::Finite(_) => 0,
        MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
    };
    let mut spills = true;
    // The first join below is that of the table and the source; others belong to the source.
    let plan = plan.transform_down(|node| {
        let exchanged = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            spills = false;
            match join.filter().is_some() || holds_little(join, most) {
                true => None,
                false => sort_merge_join(join)?,
            }
        } else if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
            hash_join(join)?
        } else {
            None
        };
        if let Some(exchanged) = exchanged {
            spills = exchanged.is::<SortMergeJoinExec>();
            return Ok(Transformed::new(exchanged, true, TreeNodeRecursion::Stop));
        }
        let next = match node.children().len() {
            1 => TreeNodeRecursion::Continue,
            _ => TreeNodeRecursion::Stop,
        };
        Ok(Transformed::new(node, false, next))
    })?;
    Ok((plan.data, spills))
}

/// True if the side that the engine will hold takes at most `most` bytes: the smaller one, where it
/// knows both, and otherwise the left one.
fn holds_little(join: &HashJoinExec, most: usize) -> bool {
    if most == usize::MAX {
        return true;
    }
    let bytes = |side: &Arc<dyn ExecutionPlan>| expected_bytes(side.as_ref());
    let held = match (bytes(join.left()), bytes(join.right())) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, _) => left,
    };
    held.is_some_and(|held| held <= most)
}

/// The same join by sorting; None for one that only hashes can do.
fn sort_merge_join(join: &HashJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if join.null_aware || join.contains_projection() {
        return Ok(None);
    }
    let on = join.on().to_vec();
    let order = vec![SortOptions::default(); on.len()];
    let exchanged = SortMergeJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        on,
        join.filter().cloned(),
        *join.join_type(),
        order,
        join.null_equality(),
    )?;
    Ok(Some(Arc::new(exchanged)))
}

/// The same join by hashing; None for one that sorting does right.
fn hash_join(join: &SortMergeJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = join.filter() else {
        return Ok(None);
    };
    let exchanged = HashJoinExec::try_new(
        Arc::clone(join.left()),
        Arc::clone(join.right()),
        join.on().to_vec(),
        Some(filter.clone()),
        &join.join_type(),
        None,
        PartitionMode::Auto,
        join.null_equality(),
        false,
    )?;
    Ok(Some(Arc::new(exchanged)))
}
