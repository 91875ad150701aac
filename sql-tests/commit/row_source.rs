//! A source of rows that ends as a test wants it to.

use std::sync::Arc;

use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tokio::sync::watch;

const BATCH: i64 = 1000;

/// What happens after the last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The stream fails.
    Error,
    /// The stream never gives anything again.
    Hang,
    /// The stream waits until the gate is open, and ends well.
    Gate,
}

/// Batches of consecutive numbers in a column `a`, and then the end.
#[derive(Debug, Clone)]
pub(super) struct Source {
    schema: SchemaRef,
    batches: i64,
    end: End,
    ended: watch::Sender<bool>,
    gate: watch::Sender<bool>,
}

impl Source {
    pub(super) fn new(batches: i64, end: End) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        Self {
            schema,
            batches,
            end,
            ended: watch::Sender::new(false),
            gate: watch::Sender::new(false),
        }
    }

    /// Replaces the table `name` of the session by this source.
    pub(super) fn register(&self, ctx: &SessionContext, name: &str) {
        let partition: Arc<dyn PartitionStream> = Arc::new(self.clone());
        let table = StreamingTable::try_new(Arc::clone(&self.schema), vec![partition]).unwrap();
        ctx.deregister_table(name).unwrap();
        ctx.register_table(name, Arc::new(table)).unwrap();
    }

    /// Waits until all batches were taken and the reader asked for more.
    pub(super) async fn ended(&self) {
        self.ended
            .subscribe()
            .wait_for(|ended| *ended)
            .await
            .unwrap();
    }

    pub(super) fn open(&self) {
        self.gate.send_replace(true);
    }

    pub(super) fn rows(&self) -> i64 {
        self.batches * BATCH
    }

    fn batch(&self, number: i64) -> RecordBatch {
        let column = Int64Array::from_iter_values(number * BATCH..(number + 1) * BATCH);
        RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(column)]).unwrap()
    }
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let source = self.clone();
        let last = self.clone();
        let rows = futures::stream::iter(0..self.batches).then(move |number| {
            let batch = source.batch(number);
            // Others get their turn, as with a source that reads something.
            async move {
                tokio::task::yield_now().await;
                Ok(batch)
            }
        });
        let end = futures::stream::once(async move {
            last.ended.send_replace(true);
            match last.end {
                End::Error => Some(Err(DataFusionError::Execution(
                    "the source broke".to_owned(),
                ))),
                End::Hang => std::future::pending().await,
                End::Gate => {
                    last.gate.subscribe().wait_for(|open| *open).await.unwrap();
                    None
                }
            }
        });
        let stream = rows.chain(end.filter_map(futures::future::ready));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            Box::pin(stream),
        ))
    }
}
