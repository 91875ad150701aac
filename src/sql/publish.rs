//! The node of a plan that runs the engine's writer, and publishes when all of it ended.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::arrow::array::UInt64Array;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, PhysicalExpr,
};
use datafusion::physical_plan::execution_plan::{
    EvaluationType, SchedulingType, execute_input_stream,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use object_store::ObjectStore;

use super::copy_checks::Values;
use super::target::CopyTarget;
use crate::error::{Error, ErrorKind};
use crate::file::{Begun, FileOptions, FileWrite, Shape, Written};

/// Where the engine's writers find the store that takes in what they write.
pub(super) const STAGING_URL: &str = "atio-copy://target/";

/// Writes all rows of its input to a target that is there completely or not at all.
///
/// The input must come in one partition: the engine would run this once for each otherwise.
/// The engine's sink is run by this node and is no node itself, so that it alone is given
/// the store in which nothing is visible; it ends files as if they were whole when its input
/// fails, so what it says of success is not enough.
#[derive(Debug, Clone)]
pub(super) struct PublishExec {
    input: Arc<dyn ExecutionPlan>,
    /// A `DataSinkExec`, for its sink.
    writer: Arc<dyn ExecutionPlan>,
    order: Option<LexRequirement>,
    job: Arc<Job>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What is done with the rows.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) format: String,
    pub(super) target: CopyTarget,
    pub(super) shape: Shape,
    pub(super) options: FileOptions,
    pub(super) values: Values,
}

impl PublishExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        writer: Arc<dyn ExecutionPlan>,
        order: Option<LexRequirement>,
        job: Arc<Job>,
    ) -> Result<Self> {
        if sink(&writer).is_none() {
            return Err(Error::unsupported(format!(
                "the format {} writes in a way of its own, which cannot be made atomic",
                job.format.to_uppercase()
            ))
            .into());
        }
        let schema = Arc::new(Schema::new(vec![Field::new(
            "count",
            DataType::UInt64,
            false,
        )]));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        )
        .with_scheduling_type(SchedulingType::Cooperative)
        .with_evaluation_type(EvaluationType::Eager);
        Ok(Self {
            input,
            writer,
            order,
            job,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn record(&self, written: &Written) {
        let count = |name: &'static str, value: usize| {
            MetricBuilder::new(&self.metrics)
                .global_counter(name)
                .add(value);
        };
        let time = |name: &'static str, value| {
            MetricBuilder::new(&self.metrics)
                .subset_time(name, 0)
                .add_duration(value);
        };
        MetricBuilder::new(&self.metrics)
            .output_rows(0)
            .add(usize::try_from(written.rows).unwrap_or(usize::MAX));
        count("files", written.files);
        count(
            "bytes",
            usize::try_from(written.bytes).unwrap_or(usize::MAX),
        );
        time("sync_time", written.synced);
        time("publish_time", written.published);
    }

    async fn run(self, context: Arc<TaskContext>) -> Result<u64> {
        let job = &self.job;
        let Some(writer) = sink(&self.writer) else {
            return Err(Error::invalid("a COPY has no writer").into());
        };
        let target = job.target.open(&context.runtime_env())?;
        let write = match FileWrite::begin(&target, job.shape, &job.options).await? {
            Begun::Skip => return Ok(0),
            Begun::Write(write) => write,
        };
        let staging = staging(&context, write.store())?;
        let rows = execute_input_stream(
            Arc::clone(&self.input),
            Arc::clone(writer.sink().schema()),
            0,
            context,
        )?;
        let ended = Arc::new(AtomicBool::new(false));
        let rows = watched(rows, Arc::clone(job), Arc::clone(&ended));
        let rows = match writer.sink().write_all(rows, &staging).await {
            Ok(rows) if ended.load(Ordering::Acquire) => rows,
            Ok(_) => {
                write.abort().await;
                let what = format!(
                    "the writer of {} stopped before the last row; nothing was changed",
                    target.shown()
                );
                return Err(Error::new(ErrorKind::Storage, what).into());
            }
            Err(error) => {
                write.abort().await;
                return Err(error);
            }
        };
        let written = write.finish(rows).await?;
        self.record(&written);
        Ok(written.rows)
    }
}

fn sink(writer: &Arc<dyn ExecutionPlan>) -> Option<&DataSinkExec> {
    (writer.as_ref() as &dyn Any).downcast_ref::<DataSinkExec>()
}

/// The rows, checked as they pass, and one empty batch where there is none: a file of no rows
/// has a header or a schema. `ended` is set when all of them have passed.
fn watched(
    rows: SendableRecordBatchStream,
    job: Arc<Job>,
    ended: Arc<AtomicBool>,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let state = (rows, job, ended, false);
    let checked = futures::stream::unfold(state, |(mut rows, job, ended, any)| async move {
        if ended.load(Ordering::Relaxed) {
            return None;
        }
        let next = match rows.next().await {
            Some(Ok(batch)) => job.values.check(&batch).map(|()| batch).map_err(Into::into),
            Some(Err(error)) => Err(error),
            None => {
                ended.store(true, Ordering::Release);
                let empty = RecordBatch::new_empty(rows.schema());
                return (!any).then_some((Ok(empty), (rows, job, ended, true)));
            }
        };
        Some((next, (rows, job, ended, true)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, checked))
}

/// The context for the sink: the store of this write is all it finds.
fn staging(context: &TaskContext, store: Arc<dyn ObjectStore>) -> Result<Arc<TaskContext>> {
    let runtime = RuntimeEnvBuilder::from_runtime_env(&context.runtime_env())
        .with_object_store_registry(Arc::new(DefaultObjectStoreRegistry::new()))
        .build_arc()?;
    let url = ObjectStoreUrl::parse(STAGING_URL)?;
    runtime.register_object_store(url.as_ref(), store);
    let context = TaskContext::default()
        .with_session_config(context.session_config().clone())
        .with_runtime(runtime);
    Ok(Arc::new(context))
}

impl DisplayAs for PublishExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = &self.job;
        let (format, target) = (&job.format, job.target.shown());
        write!(f, "AtioPublish: format={format}, target={target}")?;
        if let Some(existing) = job.options.if_exists {
            write!(f, ", if_exists={}", format!("{existing:?}").to_lowercase())?;
        }
        if job.options.backup {
            f.write_str(", backup=true")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for PublishExec {
    fn name(&self) -> &'static str {
        "AtioPublish"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(Into::into)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // In the sense that rows are written in the order in which they come.
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] =
            <[_; 1]>::try_from(children).map_err(|_| Error::invalid("a COPY has one input"))?;
        let (writer, job) = (Arc::clone(&self.writer), Arc::clone(&self.job));
        Ok(Arc::new(Self::new(input, writer, self.order.clone(), job)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// Nothing happens before the first batch is asked for.
    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition > 0 {
            return Err(Error::invalid("a COPY runs once, and has one partition").into());
        }
        let (node, schema) = (self.clone(), Arc::clone(&self.schema));
        let rows = futures::stream::once(async move {
            let schema = Arc::clone(&node.schema);
            let count = node.run(context).await?;
            let batch =
                RecordBatch::try_new(schema, vec![Arc::new(UInt64Array::from(vec![count]))]);
            Ok(batch?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.metrics.clone_inner();
        let inner = sink(&self.writer).and_then(|writer| writer.sink().metrics());
        for metric in inner.iter().flat_map(MetricsSet::iter) {
            all.push(Arc::clone(metric));
        }
        Some(all)
    }
}
