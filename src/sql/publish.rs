//! The node of a plan that runs the engine's writer, and publishes when all of it ended.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use atio_core::progress::{Listener, Reporter, Step};
use datafusion::arrow::array::UInt64Array;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
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
use tracing::Instrument;

use super::copy_checks::Values;
use super::policy::{Access, AtioPolicy};
use super::target::CopyTarget;
use crate::engine_settings::{check_output, without_panic};
use crate::error::{self, Error, ErrorKind};
use crate::estimate::expected_rows;
use crate::file::{Begun, FileOptions, FileWrite, Marking, Reserve, Shape, Written};
use crate::settings::CommitSettings;

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
    ) -> Self {
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
        Self {
            input,
            writer,
            order,
            job,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn record(&self, written: &Written, writing: Duration) {
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
        time("write_time", writing);
        time("sync_time", written.synced);
        time("publish_time", written.published);
    }

    async fn run(self, context: Arc<TaskContext>) -> Result<u64> {
        let job = &self.job;
        let Some(writer) = sink(&self.writer) else {
            return Err(Error::invalid("a COPY has no writer").into());
        };
        let policy = context.session_config().get_extension::<AtioPolicy>();
        let policy = policy.unwrap_or_default();
        if let Marking::At(path) = &job.options.marker {
            policy.check_path(path, Access::Write)?;
        }
        let target = job.target.open(&context.runtime_env(), &policy)?;
        CommitSettings::take(context.session_config())?.check_no_version(&target.shown())?;
        check_output(&context.session_config().options().execution)?;
        let reserve = reserve(&context);
        let write = match FileWrite::begin(&target, job.shape, &job.options, reserve).await? {
            Begun::Skip => return Ok(0),
            Begun::Write(write) => write,
        };
        let begun = Instant::now();
        let listener = context.session_config().get_extension::<Listener>();
        let total = expected_rows(self.input.as_ref());
        let reporter = Arc::new(Reporter::begin(listener, target.shown(), total));
        let staging = staging(&context, write.store())?;
        let rows = execute_input_stream(
            Arc::clone(&self.input),
            Arc::clone(writer.sink().schema()),
            0,
            context,
        )?;
        let check = Arc::new(RowCheck {
            job: Arc::clone(job),
            ended: AtomicU8::new(GOING_ON),
            // Whoever still takes rows when the statement has ended tells nobody.
            reporter: Arc::downgrade(&reporter),
            bytes: write.bytes(),
        });
        let rows = checked(rows, Arc::clone(&check));
        let span = tracing::info_span!("write", target = target.shown());
        let ended = writer.sink().write_all(rows, &staging).instrument(span);
        let shown = target.shown();
        let ended = without_panic(&shown, ended);
        let rows = match (ended.await, check.ended.load(Ordering::Acquire)) {
            (Ok(rows), COMPLETE) => rows,
            (ended, how) => {
                // What the disk or store said; the engine's writers may say less of it.
                let failure = write.failure().filter(|_| how != FAILED);
                write.abort().await;
                let stopped = || {
                    let what = format!(
                        "the writer of {} stopped before the last row; nothing was changed",
                        target.shown()
                    );
                    Error::new(ErrorKind::Storage, what).into()
                };
                return Err(match (failure, ended) {
                    (Some(failure), _) => failure.into(),
                    (None, Err(error)) => error,
                    (None, Ok(_)) => stopped(),
                });
            }
        };
        let writing = begun.elapsed();
        reporter.written(check.bytes.load(Ordering::Relaxed));
        reporter.report(Step::Commit);
        let span = tracing::info_span!("publish", target = target.shown());
        let written = write.finish(rows).instrument(span).await?;
        self.record(&written, writing);
        Ok(written.rows)
    }
}

/// Asks the memory pool of the session for what must be kept until the query has ended.
fn reserve(context: &TaskContext) -> Box<Reserve> {
    let kept = MemoryConsumer::new("objects that COPY keeps").register(context.memory_pool());
    let kept = Mutex::new(kept);
    Box::new(move |bytes| {
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.try_grow(bytes)
            .map_err(|error| error::from_datafusion("objects are kept until the query ends", error))
    })
}

fn sink(writer: &Arc<dyn ExecutionPlan>) -> Option<&DataSinkExec> {
    (writer.as_ref() as &dyn Any).downcast_ref::<DataSinkExec>()
}

/// How the rows of a query end.
const GOING_ON: u8 = 0;
const COMPLETE: u8 = 1;
const FAILED: u8 = 2;

/// What is done with rows as they pass.
struct RowCheck {
    job: Arc<Job>,
    /// One of the constants above.
    ended: AtomicU8,
    reporter: Weak<Reporter>,
    bytes: Arc<AtomicU64>,
}

impl RowCheck {
    fn pass(&self, batch: &RecordBatch) -> Result<()> {
        self.job.values.check(batch)?;
        if let Some(reporter) = self.reporter.upgrade() {
            reporter.written(self.bytes.load(Ordering::Relaxed));
            reporter.advance(Step::Write, batch.num_rows() as u64);
        }
        Ok(())
    }
}

/// The rows, checked as they pass, and one empty batch where there is none: a file of no rows
/// has a header or a schema. `check` knows when all of them have passed.
fn checked(rows: SendableRecordBatchStream, check: Arc<RowCheck>) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let state = (rows, check, false);
    let passed = futures::stream::unfold(state, |(mut rows, check, any)| async move {
        // Whatever comes after an error is not the end of all rows.
        if check.ended.load(Ordering::Relaxed) != GOING_ON {
            return None;
        }
        let next = match rows.next().await {
            Some(batch) => batch.and_then(|batch| check.pass(&batch).map(|()| batch)),
            None => {
                check.ended.store(COMPLETE, Ordering::Release);
                let empty = RecordBatch::new_empty(rows.schema());
                return (!any).then_some((Ok(empty), (rows, check, true)));
            }
        };
        if next.is_err() {
            check.ended.store(FAILED, Ordering::Release);
        }
        Some((next, (rows, check, true)))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, passed))
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
        Ok(Arc::new(Self::new(input, writer, self.order.clone(), job)))
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

#[cfg(test)]
mod tests {
    use datafusion::error::DataFusionError;

    use super::*;

    #[tokio::test]
    async fn rows_that_end_after_an_error_are_not_complete() {
        let schema = Arc::new(Schema::empty());
        let lost = DataFusionError::Execution("lost".to_owned());
        let rows = RecordBatchStreamAdapter::new(schema, futures::stream::iter([Err(lost)]));
        let check = Arc::new(RowCheck {
            job: Arc::new(Job {
                format: "csv".to_owned(),
                target: CopyTarget::Local("a.csv".into()),
                shape: Shape::File,
                options: FileOptions::default(),
                values: Values::default(),
            }),
            ended: AtomicU8::new(GOING_ON),
            reporter: Weak::new(),
            bytes: Arc::default(),
        });
        let mut rows = checked(Box::pin(rows), Arc::clone(&check));
        assert!(rows.next().await.is_some_and(|row| row.is_err()));
        assert!(rows.next().await.is_none());
        assert_eq!(check.ended.load(Ordering::Acquire), FAILED);
    }
}
