//! What a host is told of a write while it goes on, and what EXPLAIN ANALYZE shows of it.

#![cfg(test)]

use std::sync::{Arc, Mutex};

use atio::Step;
use datafusion::prelude::SessionContext;

use crate::content::{row, rows};
use crate::session::{run, session_at};

type Seen = Arc<Mutex<Vec<(String, Step, u64, Option<u64>)>>>;

/// A session that remembers what it was told.
async fn watched() -> (tempfile::TempDir, SessionContext, Seen) {
    let directory = tempfile::tempdir().unwrap();
    let ctx = session_at(directory.path());
    let at = directory.path().join("t");
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{}'",
        at.display()
    );
    rows(&ctx, &create).await;
    let seen = Seen::default();
    let into = Arc::clone(&seen);
    atio::on_progress(&ctx, move |now| {
        let now = (now.target.to_owned(), now.step, now.done, now.total);
        into.lock().unwrap().push(now);
    });
    (directory, ctx, seen)
}

#[tokio::test]
async fn insert_tells_how_many_rows_of_how_many_are_written_and_when_it_ends() {
    let (_directory, ctx, seen) = watched().await;
    rows(&ctx, "CREATE TABLE source AS VALUES (1), (2), (3)").await;
    rows(&ctx, "INSERT INTO t SELECT column1 FROM source").await;
    let seen = seen.lock().unwrap();
    let t = |step, done| ("t".to_owned(), step, done, Some(3));
    assert_eq!(
        *seen,
        [
            t(Step::Write, 0),
            t(Step::Write, 3),
            t(Step::Commit, 3),
            t(Step::End, 3)
        ]
    );
}

#[tokio::test]
async fn insert_that_fails_ends_its_report_and_commits_nothing() {
    let (_directory, ctx, seen) = watched().await;
    let fails = "INSERT INTO t SELECT 10 / (3 - value) FROM generate_series(1, 3)";
    run(&ctx, fails).await.unwrap_err();
    let steps: Vec<_> = seen.lock().unwrap().iter().map(|seen| seen.1).collect();
    assert_eq!(steps.last(), Some(&Step::End));
    assert_eq!(steps.iter().filter(|step| **step == Step::End).count(), 1);
    assert!(!steps.contains(&Step::Commit), "{steps:?}");
}

#[tokio::test]
async fn explain_analyze_shows_files_bytes_retries_and_rows_pruned() {
    let (_directory, ctx, _) = watched().await;
    let insert = rows(&ctx, "EXPLAIN ANALYZE INSERT INTO t VALUES (1), (2)").await;
    for metric in ["files_written=1", "commit_retries=0", "bytes_written="] {
        assert!(insert.join("").contains(metric), "{metric}: {insert:?}");
    }
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "2");
    rows(&ctx, "INSERT INTO t VALUES (10)").await;
    let scan = rows(&ctx, "EXPLAIN ANALYZE SELECT * FROM t WHERE a > 5").await;
    for metric in [
        "rows_pruned_by_manifest=2",
        "files_pruned_by_manifest=2 total \u{2192} 1 matched",
    ] {
        assert!(scan.join("").contains(metric), "{metric}: {scan:?}");
    }
}
