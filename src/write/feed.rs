//! The rows of a statement as its table takes them, one chunk after another.

use std::sync::Arc;

use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::nan::with_positive_nan;
use super::row_sum::RowSum;
use crate::error::Error;

/// When a chunk ends; without a limit it ends with the rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChunkLimit {
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// Gives out batches that have rows, with exactly the types of the table.
///
/// Rows are counted, and added to the checksum, as they are given out.
pub(super) struct Feed {
    schema: SchemaRef,
    rest: SendableRecordBatchStream,
    /// Taken from the rest, and not given out yet.
    ahead: Option<Result<RecordBatch>>,
    ended: bool,
    limit: ChunkLimit,
    full: bool,
    rows: u64,
    sum: Option<RowSum>,
}

impl Feed {
    /// All rows of `rest` as one chunk, for a table with `schema`.
    pub(super) fn new(
        schema: &SchemaRef,
        rest: SendableRecordBatchStream,
        sum: Option<RowSum>,
    ) -> Self {
        Self {
            schema: Arc::clone(schema),
            rest,
            ahead: None,
            ended: false,
            limit: ChunkLimit::default(),
            full: false,
            rows: 0,
            sum,
        }
    }

    /// The columns of the batches that it gives out.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Begins a chunk: of what follows, so much.
    pub(super) fn begin_chunk(&mut self, limit: ChunkLimit) {
        self.limit = limit;
        self.full = false;
    }

    /// The next batch; None where the chunk ends.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.full || self.limit.rows == Some(0) || !self.has_more().await {
            return Ok(None);
        }
        let Some(batch) = self.ahead.take().transpose()? else {
            return Ok(None);
        };
        let most = self.limit.rows.and_then(|rows| usize::try_from(rows).ok());
        let batch = match most.filter(|most| *most < batch.num_rows()) {
            Some(most) => {
                self.ahead = Some(Ok(batch.slice(most, batch.num_rows() - most)));
                batch.slice(0, most)
            }
            None => batch,
        };
        let taken = batch.num_rows() as u64;
        self.rows += taken;
        self.limit.rows = self.limit.rows.map(|rows| rows.saturating_sub(taken));
        if let Some(sum) = &mut self.sum {
            sum.add(&batch)?;
        }
        Ok(Some(batch))
    }

    /// Says how many bytes of the chunk have reached the storage: with enough it is full.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.full = self.limit.bytes.is_some_and(|most| bytes >= most);
    }

    /// True if there are more rows, or an error in their place, which the next chunk meets.
    pub(super) async fn has_more(&mut self) -> bool {
        while self.ahead.is_none() && !self.ended {
            match self.rest.next().await {
                None => self.ended = true,
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    let batch = batch.and_then(|batch| of_table(&self.schema, &batch));
                    self.ended = batch.is_err();
                    self.ahead = Some(batch);
                }
            }
        }
        self.ahead.is_some()
    }

    /// Passes over `rows` rows, or as many as there are.
    pub(super) async fn skip(&mut self, rows: u64) -> Result<()> {
        self.begin_chunk(ChunkLimit {
            rows: Some(rows),
            bytes: None,
        });
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// How many rows were given out and passed over in all.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The checksum over these rows, if one is kept.
    pub(super) fn sum(&self) -> Option<&RowSum> {
        self.sum.as_ref()
    }
}

/// Batches of a table with `schema` as a stream.
pub(super) fn in_memory(
    schema: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> SendableRecordBatchStream {
    let batches = futures::stream::iter(batches.into_iter().map(Ok));
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches))
}

/// The batch with exactly the types of a table with `schema`.
pub(super) fn of_table(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    // A value that does not fit is an error, never NULL.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| {
        let column = cast_with_options(column, field.data_type(), &options)?;
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(null_in(field.name()).into());
        }
        Ok(with_positive_nan(&column))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn null_in(column: &str) -> Error {
    Error::invalid(format!(
        "column '{}' is NOT NULL, and a row holds NULL there, or gives no value for it",
        column.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::exec_datafusion_err;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]))
    }

    fn batch(rows: std::ops::Range<i64>) -> Result<RecordBatch> {
        let column = Arc::new(Int64Array::from_iter_values(rows));
        Ok(RecordBatch::try_new(schema(), vec![column])?)
    }

    fn feed(batches: Vec<Result<RecordBatch>>) -> Feed {
        let batches = futures::stream::iter(batches);
        let rest = RecordBatchStreamAdapter::new(schema(), batches);
        let sum = RowSum::new(&schema()).unwrap();
        Feed::new(&schema(), Box::pin(rest), Some(sum))
    }

    fn rows(rows: u64) -> ChunkLimit {
        ChunkLimit {
            rows: Some(rows),
            bytes: None,
        }
    }

    async fn chunk(feed: &mut Feed, limit: ChunkLimit) -> Result<Vec<usize>> {
        feed.begin_chunk(limit);
        let mut sizes = Vec::new();
        while let Some(batch) = feed.next().await? {
            sizes.push(batch.num_rows());
        }
        Ok(sizes)
    }

    #[tokio::test]
    async fn a_chunk_has_so_many_rows_wherever_the_batches_end() {
        let mut feed = feed(vec![batch(0..3), batch(3..3), batch(3..8), batch(8..10)]);
        assert_eq!(chunk(&mut feed, rows(5)).await.unwrap(), [3, 2]);
        assert_eq!(chunk(&mut feed, rows(3)).await.unwrap(), [3]);
        assert!(feed.has_more().await);
        assert_eq!(chunk(&mut feed, rows(2)).await.unwrap(), [2]);
        assert!(!feed.has_more().await, "the rows end with the chunk");
        assert_eq!(chunk(&mut feed, rows(2)).await.unwrap(), [0; 0]);
        assert_eq!(feed.rows(), 10);
    }

    #[tokio::test]
    async fn a_chunk_ends_behind_the_batch_that_filled_it() {
        let mut feed = feed(vec![batch(0..3), batch(3..6)]);
        feed.begin_chunk(ChunkLimit {
            rows: None,
            bytes: Some(10),
        });
        assert!(feed.next().await.unwrap().is_some());
        feed.wrote(9);
        assert!(feed.next().await.unwrap().is_some());
        feed.wrote(10);
        assert!(feed.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_error_is_met_by_the_chunk_behind_it_and_ends_the_rows() {
        let failed = Err(exec_datafusion_err!("no"));
        let mut feed = feed(vec![batch(0..3), failed, batch(3..4)]);
        assert_eq!(chunk(&mut feed, rows(3)).await.unwrap(), [3]);
        assert!(feed.has_more().await);
        chunk(&mut feed, rows(3)).await.unwrap_err();
        assert!(!feed.has_more().await);
    }

    #[tokio::test]
    async fn the_checksum_is_that_of_the_rows_whatever_their_batches() {
        let of = async |batches: Vec<_>, skipped| {
            let mut feed = feed(batches);
            feed.skip(skipped).await.unwrap();
            feed.sum().unwrap().checksum()
        };
        let whole = of(vec![batch(0..6)], 6).await;
        assert_eq!(of(vec![batch(0..1), batch(1..6)], 6).await, whole);
        assert_eq!(of(vec![batch(0..8)], 6).await, whole);
        assert_ne!(of(vec![batch(0..6)], 5).await, whole);
        assert_ne!(of(vec![batch(1..6), batch(0..1)], 6).await, whole);
    }
}
