//! The query runs once, and its rows keep their order, whatever the number of partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::query::row;
use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;

/// A partition that counts how often it is run.
#[derive(Debug)]
struct Counted {
    schema: SchemaRef,
    runs: Arc<AtomicUsize>,
}

impl PartitionStream for Counted {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let values = Int64Array::from_iter_values(0..100);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(values)]);
        let batches = futures::stream::iter([Ok(batch.unwrap())]);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        ))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_runs_its_query_once_at_any_number_of_partitions() {
    for format in FORMATS {
        for targets in [1, 16] {
            for partitions in [1, 3] {
                let place = Place::new();
                let ctx = session(targets);
                let schema = Arc::new(Schema::new(vec![Field::new("i", DataType::Int64, false)]));
                let runs = Arc::new(AtomicUsize::new(0));
                let stream = |_| {
                    Arc::new(Counted {
                        schema: Arc::clone(&schema),
                        runs: Arc::clone(&runs),
                    }) as Arc<dyn PartitionStream>
                };
                let streams = (0..partitions).map(stream).collect();
                let table = StreamingTable::try_new(Arc::clone(&schema), streams).unwrap();
                ctx.register_table("t", Arc::new(table)).unwrap();
                let expected = (100 * partitions).to_string();
                for name in [format!("a.{format}"), "folder".to_owned()] {
                    let before = runs.load(Ordering::SeqCst);
                    let sql = copy("SELECT i FROM t", &place.text(&name), format, "");
                    assert_eq!(row(&ctx, &sql).await, expected, "{sql}");
                    assert_eq!(runs.load(Ordering::SeqCst) - before, partitions, "{sql}");
                }
                assert_eq!(place.names().len(), 2);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_of_no_partitions_is_an_empty_file_or_refused_by_the_engine() {
    let place = Place::new();
    for targets in [1, 16] {
        let ctx = session(targets);
        let schema = Arc::new(Schema::new(vec![Field::new("i", DataType::Int64, false)]));
        let table = StreamingTable::try_new(Arc::clone(&schema), Vec::new()).unwrap();
        ctx.register_table("none", Arc::new(table)).unwrap();
        // As without atio: no plan of the engine's has a sink above no partitions.
        let sql = copy("SELECT i FROM none", &place.text("a.csv"), "csv", "");
        assert!(crate::session::run(&ctx, &sql).await.is_err());
        assert_eq!(place.names(), Vec::<String>::new());
        let sql = copy(
            "SELECT i FROM none WHERE 1 = 0",
            &place.text("b.csv"),
            "csv",
            "",
        );
        assert_eq!(row(&ctx, &sql).await, "0");
        assert_eq!(std::fs::read_to_string(place.path("b.csv")).unwrap(), "i\n");
        std::fs::remove_file(place.path("b.csv")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_written_in_their_order() {
    let place = Place::new();
    for targets in [1, 16] {
        let ctx = session(targets);
        let many = format!("SELECT value AS i FROM generate_series(1, {MANY})");
        let union = format!("({many}) UNION ALL ({many}) ORDER BY i DESC");
        let to = place.text("a.csv");
        rows(&ctx, &copy(&union, &to, "csv", "")).await;
        let text = std::fs::read_to_string(&to).unwrap();
        let written: Vec<i64> = text
            .lines()
            .skip(1)
            .map(|line| line.parse().unwrap())
            .collect();
        assert_eq!(written.len(), 2 * MANY as usize);
        assert!(written.is_sorted_by(|one, other| one >= other));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_the_node_and_writes_nothing_and_analyze_measures() {
    let place = Place::new();
    let ctx = session(4);
    let to = place.text("a.csv");
    let sql = copy(
        &numbers(7),
        &to,
        "csv",
        "'atio.if_exists' 'replace', 'atio.backup' 'true'",
    );
    let plan = rows(&ctx, &format!("EXPLAIN {sql}")).await.join("\n");
    let node = format!("AtioPublish: format=csv, target={to}, if_exists=replace, backup=true");
    assert!(plan.contains(&node), "{plan}");
    assert_eq!(place.names(), Vec::<String>::new());
    let plan = rows(&ctx, &format!("EXPLAIN ANALYZE {sql}"))
        .await
        .join("\n");
    for metric in [
        "output_rows=7",
        "files=1",
        "bytes=",
        "sync_time=",
        "publish_time=",
    ] {
        assert!(plan.contains(metric), "{plan}");
    }
    assert_eq!(read(&to, "csv").await, said(7));
    // A prepared statement, and one that is planned again, publish each time.
    rows(&ctx, "PREPARE p AS SELECT 1").await;
    let frame = ctx.sql(&sql).await.unwrap();
    for _ in 0..2 {
        std::fs::remove_file(&to).unwrap();
        frame.clone().collect().await.unwrap();
        assert_eq!(read(&to, "csv").await, said(7));
    }
}
