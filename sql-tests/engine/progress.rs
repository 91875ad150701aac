//! What a host is told of a write while it goes on, and what EXPLAIN ANALYZE shows of it.

#![cfg(test)]

use std::sync::{Arc, Mutex};

use atio::Step;
use datafusion::prelude::SessionContext;

use crate::query::{row, rows};
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
    let (directory, ctx, _) = watched().await;
    let insert = rows(&ctx, "EXPLAIN ANALYZE INSERT INTO t VALUES (1), (2)").await;
    for metric in ["files_written=1", "commit_retries=0", "bytes_written="] {
        assert!(insert.join("").contains(metric), "{metric}: {insert:?}");
    }
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "2");
    // Another process commits between its plan and its commit.
    let other = session_at(directory.path());
    let open = "CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION";
    let at = directory.path().join("t");
    rows(&other, &format!("{open} '{}'", at.display())).await;
    let plan = ctx
        .sql("EXPLAIN ANALYZE INSERT INTO t VALUES (10)")
        .await
        .unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    rows(&other, "INSERT INTO t VALUES (3)").await;
    let shown = datafusion::physical_plan::collect(plan, ctx.task_ctx())
        .await
        .unwrap();
    let shown = crate::query::texts(&shown).join("");
    assert!(shown.contains("commit_retries=1"), "{shown}");
    let scan = rows(&ctx, "EXPLAIN ANALYZE SELECT * FROM t WHERE a > 5").await;
    for metric in [
        "rows_pruned_by_manifest=3",
        "files_pruned_by_manifest=3 total \u{2192} 1 matched",
    ] {
        assert!(scan.join("").contains(metric), "{metric}: {scan:?}");
    }
}

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    target: String,
    step: Step,
    done: u64,
    total: Option<u64>,
    bytes: u64,
}

/// Remembers what a session tells from here on.
fn listen(ctx: &SessionContext) -> Arc<Mutex<Vec<Said>>> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&said);
    atio::on_progress(ctx, move |now| {
        into.lock().unwrap().push(Said {
            target: now.target.to_owned(),
            step: now.step,
            done: now.done,
            total: now.total,
            bytes: now.bytes,
        });
    });
    said
}

/// Passes if one write was told: its beginning, its rows, its commit and its end; gives the last.
fn assert_write(said: &Mutex<Vec<Said>>, target: &str, rows: u64, what: &str) -> Said {
    let said = std::mem::take(&mut *said.lock().unwrap());
    let steps: Vec<_> = said.iter().map(|said| said.step).collect();
    let mut expected = steps.clone();
    expected.dedup();
    assert_eq!(expected, [Step::Write, Step::Commit, Step::End], "{what}");
    let ends = steps.iter().filter(|step| **step == Step::End).count();
    assert_eq!(ends, 1, "{what}");
    assert_eq!(said[0].done, 0, "{what}");
    for now in &said {
        assert_eq!(
            (now.target.as_str(), now.total),
            (target, Some(rows)),
            "{what}"
        );
    }
    let last = said.last().unwrap().clone();
    assert_eq!(last.done, rows, "{what}");
    last
}

/// Passes if one write was told that came to nothing.
fn assert_no_commit(said: &Mutex<Vec<Said>>, what: &str) {
    let said = std::mem::take(&mut *said.lock().unwrap());
    let steps: Vec<_> = said.iter().map(|said| said.step).collect();
    assert_eq!(steps.first(), Some(&Step::Write), "{what}");
    assert_eq!(steps.last(), Some(&Step::End), "{what}");
    let ends = steps.iter().filter(|step| **step == Step::End).count();
    assert!(
        ends == 1 && !steps.contains(&Step::Commit),
        "{what}: {steps:?}"
    );
}

const THREE: &str = "CREATE TABLE source AS VALUES (1), (2), (3)";
const FAILS: &str = "SELECT 10 / (3 - value) AS column1 FROM generate_series(1, 3)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_tells_rows_and_bytes_of_every_format_and_when_it_ends() {
    let (directory, ctx, _) = watched().await;
    rows(&ctx, THREE).await;
    let said = listen(&ctx);
    for format in ["csv", "json", "parquet", "arrow", "xlsx"] {
        let path = directory.path().join(format!("a.{format}"));
        let path = path.to_str().unwrap();
        rows(&ctx, &format!("COPY source TO '{path}' STORED AS {format}")).await;
        let last = assert_write(&said, path, 3, format);
        assert_eq!(
            last.bytes,
            std::fs::metadata(path).unwrap().len(),
            "{format}"
        );
        let frame = ctx.table("source").await.unwrap();
        let options = atio::WriteOptions::default();
        assert_eq!(atio::write(frame, path, options).await.unwrap(), 3);
        assert_write(&said, path, 3, format);
        let fails = format!("COPY ({FAILS}) TO '{path}' STORED AS {format}");
        run(&ctx, &fails).await.unwrap_err();
        assert_no_commit(&said, format);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_that_is_given_up_ends_its_report() {
    let (directory, ctx, _) = watched().await;
    let database = directory.path().join("a.db");
    let connection = atio::Connection::sqlite(&database);
    atio::register_connection(&ctx, "db", connection).unwrap();
    let endless = "SELECT value AS i FROM generate_series(1, 100000000000)";
    let file = directory.path().join("a.csv");
    for to in [
        format!("'{}' STORED AS CSV", file.display()),
        "'db/t' STORED AS SQLITE".to_owned(),
    ] {
        let said = listen(&ctx);
        let copy = format!("COPY ({endless}) TO {to}");
        let session = ctx.clone();
        let task = tokio::spawn(async move { run(&session, &copy).await.map(drop) });
        for _ in 0..4000 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            if said.lock().unwrap().len() >= 5 {
                break;
            }
        }
        task.abort();
        task.await.unwrap_err();
        // Whoever is still at it says nothing any more.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_no_commit(&said, &to);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_to_a_database_tell_rows_and_the_end_and_analyze_measures_them() {
    let (directory, ctx, _) = watched().await;
    let connection = atio::Connection::sqlite(directory.path().join("a.db"));
    atio::register_connection(&ctx, "db", connection.clone()).unwrap();
    rows(&ctx, THREE).await;
    let said = listen(&ctx);
    rows(&ctx, "COPY source TO 'db/s' STORED AS SQLITE").await;
    let last = assert_write(&said, "db/s", 3, "COPY");
    assert_eq!(last.bytes, 0);
    rows(
        &ctx,
        "CREATE EXTERNAL TABLE s STORED AS SQLITE LOCATION 'db/s'",
    )
    .await;
    for verb in ["INTO", "OVERWRITE"] {
        rows(&ctx, &format!("INSERT {verb} s SELECT * FROM source")).await;
        assert_write(&said, "db/s", 3, verb);
        run(&ctx, &format!("INSERT {verb} s {FAILS}"))
            .await
            .unwrap_err();
        assert_no_commit(&said, verb);
    }
    let frame = ctx.table("source").await.unwrap();
    let written = atio::write_database(frame, &connection, "u", atio::IfExists::Fail).await;
    assert_eq!(written.unwrap(), 3);
    assert_write(&said, "u", 3, "write_database");

    let plan = rows(&ctx, "EXPLAIN ANALYZE INSERT INTO s SELECT * FROM source").await;
    let plan = plan.join("");
    for metric in ["output_rows=3", "write_time=", "commit_time="] {
        assert!(plan.contains(metric), "{metric}: {plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_tells_how_many_objects_of_how_many_are_deleted() {
    let (_directory, ctx, _) = watched().await;
    for n in 1..=3 {
        rows(&ctx, &format!("INSERT OVERWRITE t VALUES ({n})")).await;
    }
    let expire = |dry_run: bool| {
        format!(
            "SELECT deleted FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
             retain_last => 1, dry_run => {dry_run})"
        )
    };
    let said = listen(&ctx);
    let doomed = rows(&ctx, &expire(true)).await.len() as u64;
    assert_eq!(*said.lock().unwrap(), []);
    let deleted = rows(&ctx, &expire(false)).await;
    assert_eq!(deleted, vec!["true"; doomed as usize]);
    let said = said.lock().unwrap();
    let steps: Vec<_> = said.iter().map(|said| (said.step, said.done)).collect();
    let mut expected: Vec<_> = (0..=doomed).map(|done| (Step::Delete, done)).collect();
    expected.push((Step::End, doomed));
    assert!(doomed > 3);
    assert_eq!(steps, expected);
    let told = |said: &Said| said.target == "t" && said.total == Some(doomed) && said.bytes == 0;
    assert!(said.iter().all(told), "{said:?}");
}
