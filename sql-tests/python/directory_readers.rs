//! Programs that read a directory while others write into it meet whole files alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;

use super::interpreter::Python;
use crate::files::session;
use crate::long_form::long;
use crate::processes::job::Job;
use crate::query::{row, rows};

/// Rows of each file.
const ROWS: usize = 20_000;

fn sql(directory: &Path, number: usize, many: usize) -> String {
    format!(
        "COPY (SELECT value AS i, CAST({number} AS BIGINT) AS n FROM generate_series(1, {many})) \
         TO '{}/{number}.parquet' STORED AS PARQUET",
        directory.display()
    )
}

/// Reads as a session without atio does, and returns how many files there were.
async fn read(directory: &Path) -> usize {
    let ctx = SessionContext::new();
    let create = format!(
        "CREATE EXTERNAL TABLE r STORED AS PARQUET LOCATION '{}/'",
        directory.display()
    );
    rows(&ctx, &create).await;
    let odd = format!(
        "SELECT count(*), count(*) FILTER (WHERE c <> {ROWS}) FROM (SELECT n, count(*) AS c FROM r GROUP BY n)"
    );
    let found = row(&ctx, &odd).await;
    let (files, odd) = found.split_once('|').unwrap();
    assert_eq!(odd, "0", "{found}");
    files.parse().unwrap()
}

/// Writers that end well, and ones that are killed at any moment, beside readers that list the
/// directory as DataFusion, pyarrow and DuckDB do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn directory_readers_meet_whole_files_alone_while_copies_run_and_are_killed() {
    let Some(python) = Python::find() else { return };
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("data");
    std::fs::create_dir_all(home.path().join("warehouse")).unwrap();
    std::fs::create_dir(&directory).unwrap();
    rows(&session(2), &sql(&directory, 0, ROWS)).await;

    let over = home.path().join("over");
    let others = tokio::task::spawn_blocking({
        let (directory, over) = (directory.clone(), over.clone());
        move || {
            let arguments = [
                directory.to_str().unwrap(),
                over.to_str().unwrap(),
                &ROWS.to_string(),
            ];
            python.script("directory.py", &arguments, "", 1)
        }
    });
    let reads = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let engine = tokio::spawn({
        let (directory, reads, ended) = (directory.clone(), Arc::clone(&reads), Arc::clone(&ended));
        async move {
            while !ended.load(Ordering::Relaxed) {
                read(&directory).await;
                reads.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    // Libraries that are still being loaded would meet none of the writers.
    let begun = Instant::now();
    while !home.path().join("over.begun").exists() {
        let waits = begun.elapsed() < Duration::from_secs(120) && !others.is_finished();
        assert!(waits, "the readers do not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (rounds, pause) = if long() { (20, 40) } else { (12, 20) };
    for number in 1..=rounds {
        // So many rows that it does not end by itself before it is killed.
        let killed = Job::new(
            home.path(),
            vec![sql(&directory, 1000 + number, 500_000_000)],
        );
        let child = tokio::task::spawn_blocking(move || killed.start());
        let child = child.await.unwrap();
        rows(&session(2), &sql(&directory, number, ROWS)).await;
        tokio::time::sleep(Duration::from_millis(pause * number as u64)).await;
        child.kill();
        tokio::task::spawn_blocking(|| child.end()).await.unwrap();
    }
    std::fs::write(&over, "").unwrap();
    ended.store(true, Ordering::Relaxed);
    engine.await.unwrap();
    let others = others.await.unwrap();
    println!(
        "DataFusion: {} reads; {}",
        reads.load(Ordering::Relaxed),
        others[0]
    );
    assert!(reads.load(Ordering::Relaxed) > 1);
    for library in ["by_pyarrow", "by_duckdb"] {
        assert!(others[0][library][0].as_u64().unwrap() > 1);
        assert_eq!(others[0][library][1], rounds as u64 + 1);
    }
    // Of those that were killed nothing is left.
    assert_eq!(read(&directory).await, rounds + 1);
    assert_eq!(crate::files::names(&directory).len(), rounds + 1);
    assert_eq!(
        crate::files::names(home.path()),
        ["data", "over", "over.begun", "warehouse"]
    );
}

/// A reader that opens a file once reads the old rows or the new ones, never some of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_that_open_once_meet_the_old_file_or_the_new_one() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("data");
    rows(&session(2), &sql(&directory, 0, ROWS)).await;
    let ended = Arc::new(AtomicBool::new(false));
    let reader = tokio::task::spawn_blocking({
        let (path, ended) = (directory.join("0.parquet"), Arc::clone(&ended));
        move || {
            let mut reads = 0;
            while !ended.load(Ordering::Relaxed) {
                let bytes = std::fs::read(&path).unwrap();
                assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
                reads += 1;
            }
            reads
        }
    });
    for number in 1..20 {
        rows(&session(2), &sql(&directory, 0, ROWS + number)).await;
    }
    ended.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 1);
    assert_eq!(crate::files::names(&directory), ["0.parquet"]);
    assert_eq!(crate::files::names(home.path()), ["data"]);
}
