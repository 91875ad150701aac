//! The write node: rows become data files, in as many partitions as they come in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements,
};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};

use futures::TryStreamExt;

use super::change::Change;
use super::feed::Feed;
use super::file_rows;
use super::job::Job;
use super::run::{Begun, Rows, Run, Runs, put};
use super::sink::AtioSink;
use super::target::WriteTarget;

/// The plan that writes the rows of `input` to `target`: a write node, and the sink that commits
/// what it gives.
pub(crate) fn plan_insert(
    target: WriteTarget,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan_write(Runs::new(target, None)?, input)
}

/// The same for a statement that changes rows of the table, as the rows of `input` say.
pub(crate) fn plan_change(
    target: WriteTarget,
    change: Change,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan_write(Runs::new(target, Some(change))?, input)
}

fn plan_write(runs: Arc<Runs>, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let sink = AtioSink::new(Arc::clone(&runs));
    let write = AtioWriteExec::new(runs, input);
    Ok(Arc::new(DataSinkExec::new(
        Arc::new(write),
        Arc::new(sink),
        None,
    )))
}

/// Writes the rows of each partition into data files, and gives a row for each file that is whole.
#[derive(Debug)]
struct AtioWriteExec {
    input: Arc<dyn ExecutionPlan>,
    runs: Arc<Runs>,
    /// The order in which the rows are written, where the statement has one.
    order: Option<LexOrdering>,
    properties: Arc<PlanProperties>,
}

impl AtioWriteExec {
    fn new(runs: Arc<Runs>, input: Arc<dyn ExecutionPlan>) -> Self {
        let ordered = input.output_partitioning().partition_count() == 1 && runs.change.is_none();
        let order = input.output_ordering().filter(|_| ordered).cloned();
        Self::with_order(runs, input, order)
    }

    fn with_order(
        runs: Arc<Runs>,
        input: Arc<dyn ExecutionPlan>,
        order: Option<LexOrdering>,
    ) -> Self {
        let partitions = input.output_partitioning().partition_count();
        runs.partitions.store(partitions, Ordering::Relaxed);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&file_rows::SCHEMA)),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            input,
            runs,
            order,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for AtioWriteExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.runs.writer.target.table.name();
        if matches!(format, DisplayFormatType::TreeRender) {
            return write!(f, "table={table}");
        }
        write!(f, "AtioWriteExec: table={table}")
    }
}

impl ExecutionPlan for AtioWriteExec {
    fn name(&self) -> &str {
        "AtioWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// Rows of a query are not dealt out anew: those of one partition are written in the order in which
    /// they come. Rows that say what changes have no order, and a scan of them is split where it can be.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![self.runs.change.is_some()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![match self.order {
            Some(_) => Distribution::SinglePartition,
            None => Distribution::UnspecifiedDistribution,
        }])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(OrderingRequirements::from)]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = Arc::clone(&children[0]);
        let (runs, order) = (Arc::clone(&self.runs), self.order.clone());
        Ok(Arc::new(Self::with_order(runs, input, order)))
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
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let run = self.runs.of_partition(&context)?;
        let part = Part {
            input: Arc::clone(&self.input),
            runs: Arc::clone(&self.runs),
            run,
            partition,
            context,
        };
        let files = futures::stream::once(part.write());
        let files = files.try_filter_map(async |batch| Ok(batch));
        let schema = Arc::clone(&file_rows::SCHEMA);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, files)))
    }

    #[cfg(feature = "proto")]
    fn try_to_proto(&self, _: &crate::proto::Context<'_>) -> crate::proto::Serialized {
        self.runs.writer.target.refuse_to_serialize()
    }
}

/// One partition of one run.
struct Part {
    input: Arc<dyn ExecutionPlan>,
    runs: Arc<Runs>,
    run: Arc<Run>,
    partition: usize,
    context: Arc<TaskContext>,
}

impl Part {
    async fn write(self) -> Result<Option<RecordBatch>> {
        match self.run.begun().await? {
            Begun::Whole(job) => self.write_files(&job).await.map(Some),
            Begun::InOrder(_) if self.partition == 0 => {
                let all = CoalescePartitionsExec::new(self.input);
                put(&self.run.rows, Rows(all.execute(0, self.context)?));
                Ok(None)
            }
            Begun::InOrder(_) => Ok(None),
        }
    }

    async fn write_files(self, job: &Job) -> Result<RecordBatch> {
        let timer = job.writing().write_time(self.partition);
        let _timer = timer.timer();
        let of = self.input.output_partitioning().partition_count();
        let context = match &self.runs.change {
            Some(change) => self.run.context_of_query(change, self.context, of)?,
            None => self.context,
        };
        let rows = self.input.execute(self.partition, context)?;
        let rows = match &self.runs.change {
            None => rows,
            Some(change) => {
                let table = self.runs.writer.target.table.name();
                change.written(table, job.schema(), &self.run.changed, rows)
            }
        };
        let mut feed = Feed::new(job.schema(), rows, None);
        file_rows::to_batch(&job.write_stream(self.partition, of, &mut feed).await?)
    }
}
