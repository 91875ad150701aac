//! The node below the join of a MERGE that remembers the keys of its source.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::source_keys::{Keys, SourceKeys};

/// Hands on the rows of the source as they are, and tells their keys to the run: to the [`SourceKeys`]
/// in the context that it is executed in. Where there are none it only hands on.
///
/// No filter that is made while the query runs goes below it. One that the join makes of the rows of
/// the table would keep back rows of the source that others' rows may match.
#[derive(Debug)]
pub(crate) struct SourceKeysExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Keys,
}

impl SourceKeysExec {
    /// `keys` are those of the rows of `input`.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, keys: Keys) -> Self {
        Self { input, keys }
    }
}

impl DisplayAs for SourceKeysExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.keys.values.iter().map(|key| key.to_string()).collect();
        let keys = keys.join(", ");
        match format {
            DisplayFormatType::TreeRender => write!(f, "keys={keys}"),
            _ => write!(f, "AtioSourceKeysExec: keys=[{keys}]"),
        }
    }
}

impl ExecutionPlan for SourceKeysExec {
    fn name(&self) -> &str {
        "AtioSourceKeysExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = Arc::clone(&children[0]);
        Ok(Arc::new(Self::new(input, self.keys.clone())))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, mode)
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut next = TreeNodeRecursion::Continue;
        for key in &self.keys.values {
            next = visit(key)?;
            if next == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(next)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&inputs[0]))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let known = context.session_config().get_extension::<SourceKeys>();
        let rows = self.input.execute(partition, context)?;
        let Some(known) = known else {
            return Ok(rows);
        };
        let of = self.input.output_partitioning().partition_count();
        known.begin(partition, of);
        let (keys, at_end) = (self.keys.clone(), Arc::clone(&known));
        let schema = rows.schema();
        let rows = rows.inspect(move |rows| {
            if let Ok(rows) = rows {
                known.add(&keys, rows);
            }
        });
        let end = futures::stream::poll_fn(move |_| {
            at_end.end(partition);
            std::task::Poll::Ready(None)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            rows.chain(end),
        )))
    }

    #[cfg(feature = "proto")]
    fn try_to_proto(&self, _: &crate::proto::Context<'_>) -> crate::proto::Serialized {
        let why = "what it remembers is for the process that commits";
        crate::proto::refuse("the source of a MERGE", why)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::arrow::record_batch::RecordBatch;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::physical_expr::expressions::col;
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionConfig;

    use super::*;

    fn rows(values: std::ops::Range<i64>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        RecordBatch::try_from_iter([("a", column)]).unwrap()
    }

    fn context(known: &Arc<SourceKeys>) -> Arc<TaskContext> {
        let config = SessionConfig::new().with_extension(Arc::clone(known));
        Arc::new(TaskContext::default().with_session_config(config))
    }

    #[tokio::test]
    async fn keys_are_those_of_one_run_which_reads_all_rows() {
        let schema = rows(0..1).schema();
        let parts = [vec![rows(0..3), rows(3..5)], vec![rows(5..9)]];
        let source = MemorySourceConfig::try_new_exec(&parts, Arc::clone(&schema), None);
        let keys = Keys {
            values: vec![col("a", &schema).unwrap()],
            nulls_match: false,
        };
        let node = Arc::new(SourceKeysExec::new(source.unwrap(), keys.clone()));
        // Nobody asks.
        let all = collect(Arc::clone(&node) as _, Arc::default())
            .await
            .unwrap();
        assert_eq!(all.iter().map(RecordBatch::num_rows).sum::<usize>(), 9);
        let [half, whole] = [Arc::new(SourceKeys::default()), Arc::default()];
        let mut begun = node.execute(0, context(&half)).unwrap();
        while begun.next().await.is_some() {}
        assert!(!half.are_complete(), "one partition of two");
        let mut begun = node.execute(1, context(&half)).unwrap();
        begun.next().await.unwrap().unwrap();
        drop(begun);
        assert!(!half.are_complete(), "nobody waited for its end");
        assert!(!whole.are_complete(), "another run");
        collect(Arc::clone(&node) as _, context(&whole))
            .await
            .unwrap();
        assert!(whole.are_complete());
        let found = whole.match_rows(&keys, &rows(-2..12)).unwrap();
        let expected = (-2..12).map(|value| (0..9).contains(&value));
        assert_eq!(found, expected.collect::<Vec<_>>().into());
    }
}
