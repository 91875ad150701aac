//! Tables whose rows are made when a plan runs: the results of functions.

use std::fmt;
use std::sync::{Arc, Weak};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryFutureExt};
use parking_lot::Mutex;

use crate::settings::CommitSettings;

/// What these functions do stays.
const WRITE: [&str; 8] = [
    "atio_tag",
    "atio_untag",
    "atio_rollback",
    "expire_snapshots",
    "atio_restore",
    "atio_clean",
    "atio_undrop",
    "atio_purge",
];

type Produce =
    dyn Fn(Arc<TaskContext>) -> BoxFuture<'static, crate::error::Result<RecordBatch>> + Send + Sync;

/// One batch of rows, made once each time a plan runs and complete before its first row: a plan
/// that has it in two places, as of a CTE that is used twice, runs it for both.
///
/// Planning, EXPLAIN, PREPARE and CREATE VIEW make nothing; neither does `LIMIT 0`, which
/// DataFusion does not run. Its row count is never declared, so `count(*)` does run it.
struct FunctionRows {
    name: &'static str,
    schema: SchemaRef,
    produce: Arc<Produce>,
    /// The rows of the plan that ran last, and the context that it runs in: kept until it runs
    /// again or goes, so that every place of the plan gives the same ones.
    running: Mutex<Option<(Weak<TaskContext>, Rows)>>,
}

type Rows = Shared<BoxFuture<'static, std::result::Result<RecordBatch, Arc<DataFusionError>>>>;

/// A provider of the rows that `produce` gives, in columns of `schema`.
pub(super) fn provider(
    name: &'static str,
    schema: SchemaRef,
    produce: impl Fn(Arc<TaskContext>) -> BoxFuture<'static, crate::error::Result<RecordBatch>>
    + Send
    + Sync
    + 'static,
) -> Result<Arc<dyn TableProvider>> {
    let rows = FunctionRows {
        name,
        schema: Arc::clone(&schema),
        produce: Arc::new(produce),
        running: Mutex::default(),
    };
    Ok(Arc::new(StreamingTable::try_new(
        schema,
        vec![Arc::new(rows)],
    )?))
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
                let may_run = match WRITE.contains(&self.name) {
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

impl fmt::Debug for FunctionRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
