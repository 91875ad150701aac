//! Tables whose rows are made when a plan runs: the results of functions.

use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::{TableType, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryFutureExt};
use parking_lot::Mutex;

use crate::settings::CommitSettings;

type Produce =
    dyn Fn(Arc<TaskContext>) -> BoxFuture<'static, crate::error::Result<RecordBatch>> + Send + Sync;
/// What makes the rows for a plan that asks for the columns with these names.
type OfColumns = dyn Fn(&[&str]) -> Arc<Produce> + Send + Sync;

/// One batch of rows, made once each time a plan runs and complete before its first row: a plan
/// that has it in two places, as of a CTE that is used twice, runs it for both.
///
/// Planning, EXPLAIN, PREPARE and CREATE VIEW make nothing; neither does `LIMIT 0`, which
/// DataFusion does not run. Its row count is never declared, so `count(*)` does run it.
struct FunctionRows {
    call: Call,
    schema: SchemaRef,
    produce: Arc<Produce>,
    /// The rows of the plan that ran last, and the context that it runs in: kept until it runs
    /// again or goes, so that every place of the plan gives the same ones.
    running: Mutex<Option<(Weak<TaskContext>, Rows)>>,
}

type Rows = Shared<BoxFuture<'static, std::result::Result<RecordBatch, Arc<DataFusionError>>>>;

/// What is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// What it does stays.
    pub(crate) writes: bool,
}

impl Call {
    /// A function that changes nothing.
    pub(crate) fn reading(name: &'static str) -> Self {
        let writes = false;
        Self { name, writes }
    }

    /// A function that changes something.
    pub(crate) fn writing(name: &'static str) -> Self {
        let writes = true;
        Self { name, writes }
    }
}

/// A provider of the rows that `produce` gives, in columns of `schema`.
pub(crate) fn provider(
    call: Call,
    schema: SchemaRef,
    produce: impl Fn(Arc<TaskContext>) -> BoxFuture<'static, crate::error::Result<RecordBatch>>
    + Send
    + Sync
    + 'static,
) -> Result<Arc<dyn TableProvider>> {
    let rows = streaming(call, schema, Arc::new(produce))?;
    Ok(Arc::new(FunctionTable {
        call,
        rows,
        of_columns: None,
    }))
}

/// The same of a function whose columns cost differently: `of_columns` is told which ones a plan asks
/// for. The others may hold anything.
pub(crate) fn provider_of<P>(
    call: Call,
    schema: SchemaRef,
    of_columns: impl Fn(&[&str]) -> P + Send + Sync + 'static,
) -> Result<Arc<dyn TableProvider>>
where
    P: Fn(Arc<TaskContext>) -> BoxFuture<'static, crate::error::Result<RecordBatch>>
        + Send
        + Sync
        + 'static,
{
    let all: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let rows = streaming(call, Arc::clone(&schema), Arc::new(of_columns(&all)))?;
    let of_columns = move |columns: &[&str]| Arc::new(of_columns(columns)) as Arc<Produce>;
    Ok(Arc::new(FunctionTable {
        call,
        rows,
        of_columns: Some(Box::new(of_columns)),
    }))
}

fn streaming(call: Call, schema: SchemaRef, produce: Arc<Produce>) -> Result<StreamingTable> {
    let rows = FunctionRows {
        call,
        schema: Arc::clone(&schema),
        produce,
        running: Mutex::default(),
    };
    StreamingTable::try_new(schema, vec![Arc::new(rows)])
}

/// The name of a function in `plan` that changes something each time the plan runs; None if there is
/// none.
pub(crate) fn writing_function(plan: &LogicalPlan) -> Option<&'static str> {
    let mut found = None;
    let looked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(function) = provider.downcast_ref::<FunctionTable>()
            && function.call.writes
        {
            found = Some(function.call.name);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(looked.is_ok(), "to look at a node does not fail");
    found
}

/// The rows of a call, which a plan can be asked for.
struct FunctionTable {
    call: Call,
    rows: StreamingTable,
    of_columns: Option<Box<OfColumns>>,
}

#[async_trait]
impl TableProvider for FunctionTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        self.rows.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(of_columns), Some(projection)) = (&self.of_columns, projection) else {
            return self.rows.scan(state, projection, filters, limit).await;
        };
        let schema = self.schema();
        let columns: Vec<_> = projection
            .iter()
            .map(|at| schema.field(*at).name().as_str())
            .collect();
        let rows = streaming(self.call, Arc::clone(&schema), of_columns(&columns))?;
        rows.scan(state, Some(projection), filters, limit).await
    }
}

impl PartitionStream for FunctionRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        // A context is made each time a plan runs, and all of the plan runs in it.
        let here = Arc::downgrade(&context);
        let mut running = self.running.lock();
        let rows = match &*running {
            Some((there, rows)) if here.ptr_eq(there) => rows.clone(),
            _ => {
                let may_run = match self.call.writes {
                    true => CommitSettings::check_may_write(context.session_config()),
                    false => Ok(()),
                };
                let rows = match may_run {
                    Ok(()) => (self.produce)(context),
                    Err(error) => futures::future::ready(Err(error)).boxed(),
                };
                let rows = rows
                    .map_err(|error| Arc::new(error.into()))
                    .boxed()
                    .shared();
                *running = Some((here, rows.clone()));
                rows
            }
        };
        let rows = rows.map_err(DataFusionError::Shared);
        let rows = futures::stream::once(rows);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}

impl fmt::Debug for FunctionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call.name)
    }
}

impl fmt::Debug for FunctionRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call.name)
    }
}
