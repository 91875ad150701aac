//! Compactions beside other statements, cut short, and in little memory.

mod conflicts;
mod marks;
mod refusals;

use std::time::Duration;

use atio::{AtioTable, CompactOptions};
use datafusion::prelude::{SessionContext, col, lit};
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::query::{failure, open, row, rows};
use crate::session::{Place, limited_session_at, on_every_place};

on_every_place!(
    many_small_appends_become_one_file_and_every_version_keeps_its_rows,
    compaction_beside_appends_is_never_in_conflict_and_loses_no_row,
    compactions_at_once_do_the_work_once,
    load_goes_on_after_a_compaction,
    compaction_that_is_dropped_keeps_what_it_has_committed,
);

const COMPACT: &str = "SELECT outcome FROM atio_compact('t', dry_run => false)";

fn for_good() -> CompactOptions {
    CompactOptions {
        dry_run: false,
        ..CompactOptions::default()
    }
}

/// Another session, with the table `t`.
async fn with_t(place: &Place) -> SessionContext {
    let ctx = place.session();
    open(&ctx, place, "t").await;
    ctx
}

/// The table `t`, with a version for each of so many rows.
async fn appended(place: &Place, count: usize) -> SessionContext {
    let ctx = with_t(place).await;
    for n in 1..=count {
        rows(&ctx, &format!("INSERT INTO t VALUES ({n})")).await;
    }
    ctx
}

async fn files(ctx: &SessionContext) -> usize {
    let count = row(ctx, "SELECT count(*) FROM atio_files('t')").await;
    count.parse().unwrap()
}

/// The rows of each version.
async fn versions(ctx: &SessionContext) -> Vec<Vec<String>> {
    let newest = row(ctx, "SELECT max(version) FROM atio_history('t')").await;
    let mut versions = Vec::new();
    for version in 0..=newest.parse().unwrap() {
        let sql = format!("SELECT a FROM atio_table('t', version => {version})");
        versions.push(rows(ctx, &sql).await);
    }
    versions
}

async fn many_small_appends_become_one_file_and_every_version_keeps_its_rows(place: Place) {
    let ctx = appended(&place, 20).await;
    let before = versions(&ctx).await;
    assert_eq!(rows(&ctx, COMPACT).await, ["compacted"]);
    assert_eq!(files(&ctx).await, 1);
    let after = versions(&ctx).await;
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()..], before[before.len() - 1..]);
    // A session that has seen none of it.
    assert_eq!(versions(&with_t(&place).await).await, after);
    rows(&ctx, "SELECT * FROM atio_rollback('t', version => 7)").await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, before[7]);
}

async fn compaction_beside_appends_is_never_in_conflict_and_loses_no_row(place: Place) {
    drop(appended(&place, 3).await);
    let mut tasks = JoinSet::new();
    for writer in 0..2 {
        let ctx = with_t(&place).await;
        tasks.spawn(async move {
            for n in 0..8 {
                let a = 100 * (writer + 1) + n;
                assert_eq!(row(&ctx, &format!("INSERT INTO t VALUES ({a})")).await, "1");
            }
        });
    }
    let ctx = with_t(&place).await;
    tasks.spawn(async move {
        for _ in 0..6 {
            let outcomes = rows(&ctx, COMPACT).await;
            assert!(
                outcomes.iter().all(|said| said == "compacted"),
                "{outcomes:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let ctx = with_t(&place).await;
    let expected = (1..=3).chain(100..108).chain(200..208);
    let mut expected: Vec<_> = expected.map(|a: i32| a.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, expected);
    let compactions = "SELECT count(*) > 0 FROM atio_history('t') WHERE operation = 'compact'";
    assert_eq!(row(&ctx, compactions).await, "true");
}

async fn compactions_at_once_do_the_work_once(place: Place) {
    drop(appended(&place, 6).await);
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let ctx = with_t(&place).await;
        tasks.spawn(async move { rows(&ctx, COMPACT).await });
    }
    let outcomes: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let done = outcomes.iter().filter(|said| *said == "compacted").count();
    assert_eq!(done, 1, "{outcomes:?}");
    let ctx = with_t(&place).await;
    let expected = ["1", "2", "3", "4", "5", "6"];
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, expected);
    assert_eq!(files(&ctx).await, 1);
}

/// The positions of loads say which rows are in the table, and it has the same.
async fn load_goes_on_after_a_compaction(place: Place) {
    let ctx = appended(&place, 2).await;
    rows(&ctx, "SET datafusion.execution.target_partitions = 1").await;
    rows(&ctx, "SET datafusion.execution.batch_size = 2").await;
    let load = |fails: &str| {
        format!(
            "INSERT INTO t SELECT CASE WHEN value = {fails} THEN 1 / (value - value) ELSE value END FROM generate_series(11, 18)"
        )
    };
    for setting in ["commit_every_rows = 2", "idempotency_key = 'load'"] {
        rows(&ctx, &format!("SET atio.{setting}")).await;
    }
    failure(&ctx, &load("17")).await;
    let sources = "SELECT * FROM atio_sources('t')";
    let positions = rows(&ctx, sources).await;
    assert_eq!(positions.len(), 1);
    assert_eq!(rows(&ctx, COMPACT).await, ["compacted"]);
    assert_eq!(rows(&ctx, sources).await, positions);
    for setting in ["commit_every_rows = 2", "idempotency_key = 'load'"] {
        rows(&ctx, &format!("SET atio.{setting}")).await;
    }
    rows(&ctx, &load("-1")).await;
    let mut expected: Vec<_> = [1, 2]
        .into_iter()
        .chain(11..=18)
        .map(|a| a.to_string())
        .collect();
    expected.sort_unstable();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, expected);
}

/// Each group of files is a version: a call that nobody waits for any more leaves whole ones.
async fn compaction_that_is_dropped_keeps_what_it_has_committed(place: Place) {
    let ctx = appended(&place, 12).await;
    let size = row(&ctx, "SELECT max(bytes) FROM atio_files('t')").await;
    let compact = format!(
        "SELECT outcome FROM atio_compact('t', target_file_size => {}, dry_run => false)",
        3 * size.parse::<u64>().unwrap()
    );
    let frame = ctx.sql(&compact).await.unwrap();
    let mut stream = frame.execute_stream().await.unwrap();
    let table = AtioTable::named(&ctx, "t").await.unwrap();
    tokio::select! {
        batch = stream.next() => { batch.unwrap().unwrap(); }
        () = async {
            while table.current_version().await.unwrap().get() < 14 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    drop(stream);
    let expected = rows(&ctx, "SELECT value FROM generate_series(1, 12)").await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, expected);
    let newest = table.current_version().await.unwrap().get();
    assert!((14..=16).contains(&newest), "{newest}");
    // What is left is done by the next, and nothing of the first one is staged.
    rows(&ctx, &compact).await;
    assert!(files(&ctx).await <= 4);
    assert_eq!(
        rows(&with_t(&place).await, "SELECT a FROM t").await,
        expected
    );
    let orphans = "SELECT path FROM expire_snapshots('t', keep_for => INTERVAL '1 day', orphan_age => INTERVAL '0 days') WHERE kind = 'data file'";
    for _ in 0..200 {
        if rows(&ctx, orphans).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", rows(&ctx, orphans).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_sorted_in_less_memory_than_they_take() {
    const MIB: usize = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let ctx = limited_session_at(directory.path(), 24 * MIB);
    let location = directory.path().join("t");
    let create = format!(
        "CREATE EXTERNAL TABLE t (a BIGINT, pad VARCHAR) STORED AS ATIO LOCATION '{}'",
        location.display()
    );
    rows(&ctx, &create).await;
    // 60 MB of rows, which compress well.
    for at in 0..3 {
        let insert = format!(
            "INSERT INTO t SELECT (value * 7919) % 300000, repeat(CAST(value AS VARCHAR), 30) FROM generate_series({}, {})",
            at * 100_000,
            at * 100_000 + 99_999
        );
        rows(&ctx, &insert).await;
    }
    let sums = "SELECT count(*), sum(a), sum(length(pad)), min(pad), max(pad) FROM t";
    let before = row(&ctx, sums).await;
    let size = row(
        &ctx,
        "SELECT CAST(sum(bytes) / 4 AS BIGINT) FROM atio_files('t')",
    )
    .await;
    let compact = format!(
        "SELECT files_after, rows, outcome FROM atio_compact('t', order_by => 'a', target_file_size => {size}, dry_run => false)"
    );
    assert_eq!(row(&ctx, &compact).await, "4|300000|compacted");
    assert_eq!(row(&ctx, sums).await, before);
    let ranges = "SELECT rows FROM atio_files('t')";
    assert_eq!(rows(&ctx, ranges).await, ["75000"; 4]);
    // Files have ranges of their own: of those below one condition the others are not read.
    let table = AtioTable::named(&ctx, "t").await.unwrap();
    let low = CompactOptions {
        filter: Some(col("a").lt(lit(70_000_i64))),
        order_by: vec![col("a").sort(true, false)],
        ..CompactOptions::default()
    };
    let found = table.compact(&ctx, low).await.unwrap();
    assert_eq!((found.files_before(), found.groups[0].rows), (1, 75_000));
    assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0);
}
