//! Data many times larger than memory.

use super::*;
use crate::long_form::long;
use crate::query::row;
use crate::session::session_at;

/// What the engine may use, and about what a row has, in bytes.
const LIMIT: u64 = 20_000_000;
const WIDE: u64 = 970;
/// What a process with all rows has more than one with a few, however many all are.
const GROWS: u64 = 4 * LIMIT;

/// A statement that writes so many rows.
type Statement = fn(&Path, u64) -> String;

fn wide(rows: u64) -> String {
    format!(
        "SELECT value AS id, repeat(md5(CAST(value AS TEXT)), 30) AS text FROM generate_series(1, {rows})"
    )
}

/// The most memory, in bytes, that a process had that runs the statement under the limit.
async fn peak(at: &Path, sql: &str) -> u64 {
    let limit = format!("SET datafusion.runtime.memory_limit = '{}K'", LIMIT / 1024);
    // A hundred batches on their way into a file, and some of its parts, are always held.
    let batch = "SET datafusion.execution.batch_size = 128".to_owned();
    let part = "SET datafusion.execution.objectstore_writer_buffer_size = 1000000".to_owned();
    let columns = "id BIGINT, text TEXT";
    let sql = [limit, batch, part, table(at, columns), sql.to_owned()];
    succeed(at, &sql).await.peak() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_many_times_larger_than_memory_is_written_in_memory_that_does_not_grow() {
    let much = if long() { 400_000 } else { 220_000 };
    let mut statements: Vec<(&str, Statement)> = vec![
        ("csv", |at, rows| {
            format!("COPY ({}) TO '{}'", wide(rows), text(at, "a.csv"))
        }),
        ("parquet", |at, rows| {
            let to = text(at, "a.parquet");
            format!("COPY ({}) TO '{to}'", wide(rows))
        }),
        ("table", |_, rows| format!("INSERT INTO t {}", wide(rows))),
        ("sqlite", |at, rows| {
            let to = text(at, "a.db/t");
            format!("COPY ({}) TO '{to}' STORED AS SQLITE", wide(rows))
        }),
    ];
    if long() {
        statements.push(("json", |at, rows| {
            format!("COPY ({}) TO '{}'", wide(rows), text(at, "a.json"))
        }));
        statements.push(("arrow", |at, rows| {
            format!("COPY ({}) TO '{}'", wide(rows), text(at, "a.arrow"))
        }));
    }
    for (what, statement) in statements {
        let directory = tempfile::tempdir().unwrap();
        let little = peak(directory.path(), &statement(directory.path(), 100)).await;
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let more = peak(at, &statement(at, much)).await;
        println!(
            "{what}: {} MB of data, peak {} MB after {} MB",
            much * WIDE / 1_000_000,
            more / 1_000_000,
            little / 1_000_000
        );
        assert!(much * WIDE > 10 * LIMIT);
        let grown = more.saturating_sub(little);
        assert!(grown < GROWS, "{what}: {grown} bytes more");
        let read = match what {
            "csv" | "parquet" | "json" | "arrow" => {
                format!("'{}'", text(at, &format!("a.{what}")))
            }
            "table" => "t".to_owned(),
            _ => "d".to_owned(),
        };
        let ctx = session_at(at).enable_url_table();
        let open = table(at, "");
        crate::query::rows(&ctx, &open).await;
        if what == "sqlite" {
            let open = format!(
                "CREATE EXTERNAL TABLE d STORED AS SQLITE LOCATION '{}'",
                text(at, "a.db/t")
            );
            crate::query::rows(&ctx, &open).await;
        }
        let sql = format!("SELECT count(*), sum(id), min(length(text)) FROM {read}");
        let sum = much * (much + 1) / 2;
        assert_eq!(row(&ctx, &sql).await, format!("{much}|{sum}|960"), "{what}");
    }
}
