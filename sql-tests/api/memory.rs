//! CREATE TABLE .. AS holds no more rows than an INSERT.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use datafusion::arrow::array::{FixedSizeBinaryArray, RecordBatch};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

use super::sql;
use crate::session::limited_session_at;

const MIB: usize = 1024 * 1024;
const BATCHES: usize = 256;
/// Of each value.
const BYTES: usize = 1024;

/// Counts the bytes of batches that somebody still has.
#[derive(Default)]
struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A buffer that counts.
struct Counted {
    bytes: Vec<u8>,
    held: Arc<Held>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.now.fetch_sub(self.bytes.len(), Ordering::SeqCst);
    }
}

/// One of two partitions that give batches of a MiB each, made when they are asked for.
struct Source {
    schema: SchemaRef,
    held: Arc<Held>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, held) = (Arc::clone(&self.schema), Arc::clone(&self.held));
        let batches = (0..BATCHES / 2).map(move |_| {
            let now = held.now.fetch_add(MIB, Ordering::SeqCst) + MIB;
            held.most.fetch_max(now, Ordering::SeqCst);
            let counted = Counted {
                bytes: vec![7; MIB],
                held: Arc::clone(&held),
            };
            let buffer = Buffer::from(Bytes::from_owner(counted));
            let values = FixedSizeBinaryArray::new(BYTES as i32, buffer, None);
            Ok(RecordBatch::try_new(
                Arc::clone(&schema),
                vec![Arc::new(values)],
            )?)
        });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(
            schema,
            futures::stream::iter(batches),
        ))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_larger_than_memory_is_made_of_a_query_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let ctx = limited_session_at(directory.path(), 16 * MIB);
    let values = DataType::FixedSizeBinary(BYTES as i32);
    let schema = Arc::new(Schema::new(vec![Field::new("a", values, false)]));
    let held = Arc::new(Held::default());
    let sources = (0..2).map(|_| {
        Arc::new(Source {
            schema: Arc::clone(&schema),
            held: Arc::clone(&held),
        }) as Arc<dyn PartitionStream>
    });
    let source = StreamingTable::try_new(Arc::clone(&schema), sources.collect()).unwrap();
    ctx.register_table("source", Arc::new(source)).unwrap();

    for statement in [
        "CREATE TABLE w.public.t AS SELECT a FROM source",
        "CREATE OR REPLACE TABLE w.public.t AS SELECT a, 'x' AS b FROM source",
    ] {
        sql(&ctx, statement).await;
        let count = sql(&ctx, "SELECT count(*) FROM w.public.t").await;
        assert_eq!(count, [(BATCHES * MIB / BYTES).to_string()], "{statement}");
        let most = held.most.swap(0, Ordering::SeqCst);
        assert!(
            most < BATCHES * MIB / 4,
            "{statement} held {most} bytes at once"
        );
        assert_eq!(held.now.load(Ordering::SeqCst), 0, "{statement}");
    }
}
