//! Rows that came and rows that went, compared: equal ones have only moved, and those of one key are an
//! update.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::{Stream, StreamExt};

use super::comparison::{CHANGE_COLUMNS, Compared, Comparison};
use crate::error::Error;
use crate::fair_memory::shared_with_a_sort;

/// Leaves out rows that have moved: of rows of one version that are equal in all columns, as many as
/// went and came.
///
/// Of what is left, a row that went and one that came with the same key are the two sides of an update.
#[derive(Debug)]
pub(super) struct ChangedRowsExec {
    compared: Compared,
    /// Columns of the table, those of the change, the hash of the key if there is one, and that of all
    /// columns.
    input: Arc<dyn ExecutionPlan>,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ChangedRowsExec {
    pub(super) fn new(compared: Compared, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let all = input.schema();
        let told: Vec<_> = (0..compared.columns + CHANGE_COLUMNS).collect();
        let schema = Arc::new(all.project(&told)?);
        let version = compared.columns + 1;
        let hashes = told.len()..all.fields().len();
        let by = std::iter::once(version).chain(hashes).map(|at| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(all.field(at).name(), at));
            PhysicalSortExpr::new_default(column)
        });
        let order = LexOrdering::new(by)
            .ok_or_else(|| Error::invalid("rows cannot be compared that have no version"))?;
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            compared,
            input,
            order,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for ChangedRowsExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let key = self.compared.key.iter().map(|at| schema.field(*at).name());
        let key: Vec<_> = key.map(String::as_str).collect();
        match format {
            DisplayFormatType::TreeRender => write!(f, "key={}", key.join(", ")),
            _ => write!(f, "AtioChangedRowsExec: key=[{}]", key.join(", ")),
        }
    }
}

impl ExecutionPlan for ChangedRowsExec {
    fn name(&self) -> &str {
        "AtioChangedRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// Rows that belong together are in one partition.
    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let by = self.order.iter().take(2);
        let by = by.map(|sort| Arc::clone(&sort.expr)).collect();
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(by)])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let anew = Self::new(self.compared.clone(), Arc::clone(&children[0]))?;
        Ok(Arc::new(anew))
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
        for sort in self.order.iter() {
            next = visit(&sort.expr)?;
            if next == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(next)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let most = context.session_config().batch_size().max(1);
        // Each partition is sorted below, and none is to take the memory of another.
        let partitions = self.input.output_partitioning().partition_count();
        let context = shared_with_a_sort(&context, partitions)?;
        let input = self.input.execute(partition, context)?;
        let schema = self.schema();
        let comparison = Comparison::new(self.compared.clone(), &schema, most)?;
        let rows = compared(input, comparison, metrics);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    #[cfg(feature = "proto")]
    fn try_to_proto(&self, _: &crate::proto::Context<'_>) -> crate::proto::Serialized {
        let subject = format!("the scan of changes of '{}'", self.compared.table);
        crate::proto::refuse(&subject, "it has no serialized form")
    }
}

fn compared(
    input: SendableRecordBatchStream,
    comparison: Comparison,
    metrics: BaselineMetrics,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    let begun = Some((input, comparison));
    futures::stream::try_unfold((begun, None), move |(mut open, mut last)| {
        let metrics = metrics.clone();
        async move {
            loop {
                let Some((input, comparison)) = &mut open else {
                    let last: &mut Option<Comparison> = &mut last;
                    let rows = match last {
                        Some(last) => last.next_told()?,
                        None => None,
                    };
                    return Ok(rows.map(|rows| (rows.record_output(&metrics), (open, last.take()))));
                };
                let timer = metrics.elapsed_compute().timer();
                let told = comparison.next_told()?;
                timer.done();
                if let Some(rows) = told {
                    return Ok(Some((rows.record_output(&metrics), (open, last))));
                }
                let next = input.next().await.transpose()?;
                let timer = metrics.elapsed_compute().timer();
                match next {
                    Some(rows) => comparison.add(Arc::new(rows))?,
                    None => {
                        comparison.end()?;
                        last = open.take().map(|(_, comparison)| comparison);
                    }
                }
                timer.done();
            }
        }
    })
}
