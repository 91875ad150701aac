//! Rows that come when a test lets them.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{DataFrame, SessionContext};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Gives the rows of a query, a batch at a time.
pub(super) struct Tap(Sender<Result<RecordBatch>>);

impl Tap {
    /// A query of one column `a`, whose rows come from the tap and end with it.
    pub(super) fn open(ctx: &SessionContext) -> (Self, DataFrame) {
        let (sender, receiver) = channel(1);
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let rows = Rows {
            schema: Arc::clone(&schema),
            receiver: Arc::new(Mutex::new(receiver)),
        };
        let table = StreamingTable::try_new(schema, vec![Arc::new(rows)]).unwrap();
        (Self(sender), ctx.read_table(Arc::new(table)).unwrap())
    }

    /// Gives rows, after those before were taken.
    pub(super) async fn give(&self, values: std::ops::Range<i64>) {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let array = Arc::new(Int64Array::from_iter_values(values));
        let batch = RecordBatch::try_new(schema, vec![array]).unwrap();
        // A write that has failed takes nothing.
        self.0.send(Ok(batch)).await.ok();
    }

    pub(super) async fn fail(&self) {
        let error = DataFusionError::Execution("the tap broke".to_owned());
        self.0.send(Err(error)).await.ok();
    }

    /// Waits until everything that was given has been taken.
    pub(super) async fn taken(&self) {
        drop(self.0.reserve().await);
        // Taken, and on its way.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[derive(Clone)]
struct Rows {
    schema: SchemaRef,
    receiver: Arc<Mutex<Receiver<Result<RecordBatch>>>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = Arc::clone(&self.receiver);
        let rows = futures::stream::unfold(receiver, |receiver| async move {
            let next = receiver.lock().await.recv().await;
            next.map(|batch| (batch, receiver))
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}
