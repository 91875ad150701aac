//! Tables whose rows are made when a plan runs: the results of functions.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::future::BoxFuture;

type Produce =
    dyn Fn(Arc<TaskContext>) -> BoxFuture<'static, crate::error::Result<RecordBatch>> + Send + Sync;

/// One batch of rows, made once each time a plan runs and complete before its first row.
///
/// Planning, EXPLAIN, PREPARE and CREATE VIEW make nothing; neither does `LIMIT 0`, which
/// DataFusion does not run. Its row count is never declared, so `count(*)` does run it.
struct Produced {
    name: &'static str,
    schema: SchemaRef,
    produce: Arc<Produce>,
}

/// A provider of the rows that `produce` gives, in columns of `schema`.
pub(super) fn provider(
    name: &'static str,
    schema: SchemaRef,
    produce: impl Fn(Arc<TaskContext>) -> BoxFuture<'static, crate::error::Result<RecordBatch>>
    + Send
    + Sync
    + 'static,
) -> Result<Arc<dyn TableProvider>> {
    let produced = Produced {
        name,
        schema: Arc::clone(&schema),
        produce: Arc::new(produce),
    };
    Ok(Arc::new(StreamingTable::try_new(
        schema,
        vec![Arc::new(produced)],
    )?))
}

impl PartitionStream for Produced {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let produce = Arc::clone(&self.produce);
        let rows = futures::stream::once(async move { Ok(produce(context).await?) });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}

impl fmt::Debug for Produced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
