//! Compactions beside other statements, cut short, and in little memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use atio::{AtioTable, CommitOptions, CompactOptions, ErrorKind, VersionRef};
use atio_core::format::{Manifest, Reads};
use atio_core::log::{OpenOptions, RowChange, Table, Transaction};
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionContext, col, lit};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, block_in_place};

use crate::objects::{assert_same, assert_settles_to, objects};
use crate::query::{failure, open, row, rows, texts};
use crate::session::{Place, limited_session_at, on_every_place, run};

on_every_place!(
    many_small_appends_become_one_file_and_every_version_keeps_its_rows,
    compaction_beside_appends_is_never_in_conflict_and_loses_no_row,
    compaction_gives_way_to_a_delete_and_does_the_rest,
    statement_that_lost_to_a_compaction_is_in_conflict_and_succeeds_with_retries,
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

/// Two groups: the files of 1 to 4, and those of 5 to 8. While the first is written a row of the other
/// goes.
async fn compaction_gives_way_to_a_delete_and_does_the_rest(place: Place) {
    let (ctx, other) = (appended(&place, 8).await, with_t(&place).await);
    let size = row(&ctx, "SELECT max(bytes) FROM atio_files('t')").await;
    let size = 4 * size.parse::<u64>().unwrap();
    let table = AtioTable::named(&ctx, "t").await.unwrap();
    let options = CompactOptions {
        target_file_size: Some(size),
        ..for_good()
    };
    // Planned are both groups, and the delete comes before either is written.
    let planned = table.compact(
        &ctx,
        CompactOptions {
            dry_run: true,
            ..options.clone()
        },
    );
    let planned = planned.await.unwrap();
    let before: Vec<_> = planned
        .groups
        .iter()
        .map(|group| group.files_before)
        .collect();
    assert_eq!(before, [4, 4]);
    let compaction = table.compact(&ctx, options.clone());
    let deletion = async {
        // The first group is committed as version 9.
        loop {
            let newest = table.current_version().await.unwrap();
            if newest.get() >= 9 {
                break;
            }
            tokio::task::yield_now().await;
        }
        rows(&other, "SET atio.retries = 9").await;
        rows(&other, "DELETE FROM t WHERE a = 6").await
    };
    let (compacted, deleted) = tokio::join!(compaction, deletion);
    assert_eq!(deleted, ["1"]);
    // If the delete was first the second group gave way, and its files were chosen anew.
    let compacted = compacted.unwrap();
    assert_eq!(compacted.gave_way(), 0, "{compacted:?}");
    assert!(compacted.groups.len() >= 2);
    let rest = ["1", "2", "3", "4", "5", "7", "8"];
    assert_eq!(rows(&other, "SELECT a FROM t").await, rest);
    assert!(files(&other).await <= 3);
    assert_eq!(rows(&with_t(&place).await, "SELECT a FROM t").await, rest);
}

/// Three groups of four files. While the first is written a row of the last one goes, which the second,
/// that is committed in between, must not hide. What gave way is chosen anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_whose_row_went_while_an_earlier_one_was_written_is_chosen_anew() {
    let place = Place::memory();
    let (ctx, other) = (appended(&place, 12).await, with_t(&place).await);
    let size = row(&ctx, "SELECT max(bytes) FROM atio_files('t')").await;
    let table = AtioTable::named(&ctx, "t").await.unwrap();
    let options = CompactOptions {
        target_file_size: Some(4 * size.parse::<u64>().unwrap()),
        ..for_good()
    };
    let is_first = AtomicBool::new(true);
    atio::on_progress(&ctx, move |now| {
        if now.done > 0 && is_first.swap(false, Ordering::Relaxed) {
            let delete = rows(&other, "DELETE FROM t WHERE a = 12");
            let deleted = block_in_place(|| Handle::current().block_on(delete));
            assert_eq!(deleted, ["1"]);
        }
    });
    let compacted = table.compact(&ctx, options).await.unwrap();
    assert_eq!(compacted.gave_way(), 0, "{compacted:?}");
    // Two of the first round, and what was chosen then.
    let versions: Vec<_> = compacted.groups.iter().map(|group| group.version).collect();
    assert!(versions.len() >= 3 && versions.is_sorted(), "{versions:?}");
    let mut expected: Vec<_> = (1..=11).map(|a: i32| a.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, expected);
}

/// Where somebody changes a row of a group whenever it is written, it gives way in the end. The text is the
/// same however the row goes, and whether the compaction finds out before it writes or when it commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_whose_rows_always_change_gives_way_in_the_end() {
    for mode in ["mark", "rewrite"] {
        let place = Place::memory();
        let (ctx, other) = (appended(&place, 4).await, with_t(&place).await);
        rows(
            &other,
            "INSERT INTO t SELECT value FROM generate_series(10, 40)",
        )
        .await;
        rows(&other, &format!("SET atio.delete_mode = '{mode}'")).await;
        let table = AtioTable::named(&ctx, "t").await.unwrap();
        let rounds = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&rounds);
        let is_written = AtomicBool::new(false);
        atio::on_progress(&ctx, move |now| {
            // Each round begins at 0.
            if now.done == 0 {
                is_written.store(false, Ordering::Relaxed);
            } else if !is_written.swap(true, Ordering::Relaxed) {
                counted.fetch_add(1, Ordering::Relaxed);
                let update = rows(&other, "UPDATE t SET a = a + 100 WHERE a % 100 = 10");
                let updated = block_in_place(|| Handle::current().block_on(update));
                assert_eq!(updated, ["1"]);
            }
        });
        let compacted = table.compact(&ctx, for_good()).await.unwrap();
        assert_eq!(rounds.load(Ordering::Relaxed), 3);
        assert_eq!((compacted.groups.len(), compacted.gave_way()), (1, 1));
        let said = compacted.groups[0].outcome.to_string();
        let newest = row(&ctx, "SELECT max(version) FROM atio_history('t')").await;
        assert_eq!(
            said,
            format!("gave way to version {newest}: its files were changed (update)")
        );
        let sums = "SELECT count(*), sum(a) FROM t";
        assert_eq!(row(&ctx, sums).await, "35|1085");
        let compactions = "SELECT count(*) FROM atio_history('t') WHERE operation = 'compact'";
        assert_eq!(row(&ctx, compactions).await, "0");
    }
}

async fn statement_that_lost_to_a_compaction_is_in_conflict_and_succeeds_with_retries(
    place: Place,
) {
    let (ctx, other) = (appended(&place, 4).await, with_t(&place).await);
    for (statement, expected) in [
        ("DELETE FROM t WHERE a = 2", ["1", "3", "4"].as_slice()),
        ("UPDATE t SET a = 30 WHERE a = 3", &["1", "30", "4"]),
        (
            "MERGE INTO t USING (VALUES (4)) AS s(a) ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = 40",
            &["1", "30", "40"],
        ),
    ] {
        for retries in [0, 1] {
            rows(&ctx, &format!("SET atio.retries = {retries}")).await;
            let planned = ctx.sql(statement).await.unwrap();
            let planned = planned.create_physical_plan().await.unwrap();
            rows(&other, "INSERT INTO t VALUES (1000)").await;
            rows(&other, "DELETE FROM t WHERE a = 1000").await;
            rows(&other, "INSERT INTO t VALUES (1000)").await;
            let sorted = "SELECT outcome FROM atio_compact('t', order_by => 'a', dry_run => false)";
            assert_eq!(rows(&other, sorted).await, ["compacted"]);
            let ended = collect(planned, ctx.task_ctx()).await;
            match retries {
                0 => {
                    let error = ended.unwrap_err();
                    let kind = atio::Error::find(&error).map(atio::Error::kind);
                    assert_eq!(kind, Some(ErrorKind::Conflict), "{statement}: {error}");
                    assert!(error.to_string().contains("(compact)"), "{error}");
                }
                _ => assert_eq!(texts(&ended.unwrap()), ["1"], "{statement}"),
            }
            rows(&other, "DELETE FROM t WHERE a = 1000").await;
        }
        assert_eq!(
            rows(&other, "SELECT a FROM t").await,
            expected,
            "{statement}"
        );
    }
    // One that counts on all rows, and an append, which counts on none, stand beside it.
    for (statement, expected) in [
        (
            "INSERT INTO t VALUES (5)",
            ["1", "30", "40", "5"].as_slice(),
        ),
        (
            "INSERT OVERWRITE t SELECT a + 1 FROM t",
            &["2", "31", "41", "6"],
        ),
    ] {
        let planned = ctx.sql(statement).await.unwrap();
        let planned = planned.create_physical_plan().await.unwrap();
        let sorted = "SELECT outcome FROM atio_compact('t', order_by => 'a', dry_run => false)";
        assert_eq!(rows(&other, sorted).await, ["compacted"]);
        collect(planned, ctx.task_ctx()).await.unwrap();
        assert_eq!(
            rows(&other, "SELECT a FROM t").await,
            expected,
            "{statement}"
        );
    }
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

#[tokio::test]
async fn what_cannot_be_compacted_leaves_nothing_behind() {
    let place = Place::memory();
    let ctx = appended(&place, 3).await;
    let table = AtioTable::named(&ctx, "t").await.unwrap();
    let before = objects(&place).await;
    let refused = async |options: CompactOptions| {
        let error = table.compact(&ctx, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_settles_to(&before, &place, &error.to_string()).await;
        error.to_string()
    };
    for (options, says) in [
        (
            CompactOptions {
                target_file_size: Some(0),
                ..for_good()
            },
            "a file cannot have 0 bytes",
        ),
        (
            CompactOptions {
                filter: Some(col("b").is_null()),
                ..for_good()
            },
            "the condition of the compaction cannot be used for 't'",
        ),
        (
            CompactOptions {
                filter: Some(col("a") + lit(1)),
                ..for_good()
            },
            "must be true or false, and it is of the type Int64",
        ),
        (
            CompactOptions {
                order_by: vec![col("b").sort(true, true)],
                ..for_good()
            },
            "the order of the compaction cannot be used for 't'",
        ),
        (
            CompactOptions {
                commit: CommitOptions {
                    retries: 1,
                    ..CommitOptions::default()
                },
                ..for_good()
            },
            "a compaction has no query that could be run again",
        ),
    ] {
        let said = refused(options).await;
        assert!(said.contains(says), "{said}");
    }
    let old = table.at(2).await.unwrap();
    let error = old.compact(&ctx, for_good()).await.unwrap_err();
    assert!(
        error.to_string().contains("only the newest version"),
        "{error}"
    );
    // A sort that fails on its way: the rows are there, and files were begun.
    let fails = CompactOptions {
        order_by: vec![(lit(1_i64) / (col("a") - lit(2_i64))).sort(true, false)],
        ..for_good()
    };
    let error = table.compact(&ctx, fails).await.unwrap_err();
    assert!(error.to_string().contains("cannot compact 't'"), "{error}");
    assert_settles_to(&before, &place, "a sort that fails").await;
    assert_eq!(table.files(VersionRef::Newest).await.unwrap().len(), 3);
    // A data file that lost its rows. Of a file with one row its statistics tell all.
    rows(&ctx, "INSERT OVERWRITE t VALUES (1), (2)").await;
    rows(&ctx, "INSERT INTO t VALUES (3)").await;
    let before = objects(&place).await;
    let path = row(&ctx, "SELECT path FROM atio_files('t') WHERE rows = 2").await;
    let Place::Memory(store) = &place else {
        panic!()
    };
    let path = Path::from(format!("base/t/{path}"));
    assert!(before.contains_key(path.as_ref()));
    store.put(&path, "gone".into()).await.unwrap();
    let damaged = objects(&place).await;
    let error = table.compact(&ctx, for_good()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_settles_to(&damaged, &place, "a damaged file").await;
    assert_same(&damaged, &objects(&place).await, "a damaged file");
}

#[tokio::test]
async fn compaction_that_is_not_run_writes_nothing() {
    let place = Place::memory();
    let ctx = appended(&place, 3).await;
    let before = objects(&place).await;
    let compact = "atio_compact('t', dry_run => false)";
    for sql in [
        format!("EXPLAIN SELECT * FROM {compact}"),
        format!("EXPLAIN VERBOSE SELECT * FROM {compact}"),
        format!("SELECT * FROM {compact} LIMIT 0"),
        format!("SELECT outcome FROM {compact} WHERE false"),
        format!("PREPARE p AS SELECT * FROM {compact}"),
        format!("CREATE VIEW v AS SELECT * FROM {compact}"),
        format!("DESCRIBE SELECT * FROM {compact}"),
        "SELECT * FROM atio_compact('t')".to_owned(),
        "EXPLAIN ANALYZE SELECT * FROM atio_compact('t', order_by => 'a')".to_owned(),
    ] {
        rows(&ctx, &sql).await;
        assert_same(&before, &objects(&place).await, &sql);
    }
    let insert = format!("INSERT INTO t SELECT rows FROM {compact}");
    rows(&ctx, "SET atio.retries = 1").await;
    let said = failure(&ctx, &insert).await;
    assert!(
        said.contains("this statement calls atio_compact, which would be done again"),
        "{said}"
    );
    assert_settles_to(&before, &place, &insert).await;
    // It is complete before its first row, and the work of a plan that has it twice is done once.
    let twice = format!(
        "WITH c AS (SELECT * FROM {compact}) SELECT x.outcome FROM c x JOIN c y ON x.rows = y.rows"
    );
    rows(&ctx, "SELECT count(*) FROM v").await;
    assert_eq!(files(&ctx).await, 1);
    rows(&ctx, "INSERT INTO t VALUES (4)").await;
    assert_eq!(rows(&ctx, &twice).await, ["compacted"]);
    assert_eq!(
        row(&ctx, "SELECT max(version) FROM atio_history('t')").await,
        "6"
    );
    let ended = run(&ctx, "EXECUTE p").await.unwrap();
    assert!(texts(&ended).is_empty());
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "2", "3", "4"]);
}

/// Marks the first so many rows of each file of the table `t` as deleted.
async fn mark(store: &Arc<InMemory>, rows: u64) {
    let options = OpenOptions::default();
    let location = "memory://test/base/t".to_owned();
    let table = Table::new(
        Arc::clone(store) as _,
        "base/t".into(),
        location,
        None,
        options,
    );
    let table = Arc::new(table);
    let txn = Transaction::begin(&table);
    let base = table.newest().await.unwrap();
    let manifests = table.manifests(&base).await.unwrap();
    let files = manifests.iter().flat_map(|manifest| &manifest.files);
    let marks = files.map(|file| (file.path.clone(), (0..rows).collect()));
    let none = Manifest::new(base.schema.id, Vec::new(), Vec::new());
    let change = RowChange::delete(BTreeSet::new(), none, Reads::default());
    let change = change.marking(marks.collect());
    let committed = table.commit(txn, base, change, Vec::new(), CommitOptions::default());
    committed.await.unwrap();
}

#[tokio::test]
async fn rows_that_are_marked_as_deleted_are_left_out() {
    let place = Place::memory();
    let Place::Memory(store) = &place else {
        panic!()
    };
    let ctx = with_t(&place).await;
    rows(
        &ctx,
        "INSERT INTO t SELECT value FROM generate_series(1, 1000)",
    )
    .await;
    let compact = "SELECT files_before, files_after, rows, deleted_rows, version, outcome \
                   FROM atio_compact('t', dry_run => false)";
    mark(store, 100).await;
    // A tenth is little.
    assert_eq!(rows(&ctx, compact).await, [""; 0]);
    rows(&ctx, "SELECT * FROM atio_rollback('t', version => 1)").await;
    mark(store, 101).await;
    let sums = "SELECT count(*), sum(a), min(a) FROM t";
    let before = row(&ctx, sums).await;
    assert_eq!(row(&ctx, compact).await, "1|1|899|101|5|compacted");
    assert_eq!(row(&ctx, sums).await, before);
    assert!(
        before.starts_with("899|") && before.ends_with("|102"),
        "{before}"
    );
    assert_eq!(
        rows(&ctx, "SELECT rows FROM atio_files('t')").await,
        ["899"]
    );
    let counts = "SELECT (SELECT count(*) FROM atio_table('t', version => 1)) AS old, (SELECT count(*) FROM atio_table('t', version => 4)) AS new";
    assert_eq!(row(&ctx, counts).await, "1000|899");
    // Its vector goes with the old file.
    let left = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false) WHERE path LIKE '%.dv'";
    assert_eq!(row(&ctx, left).await, "2");
    assert_eq!(row(&with_t(&place).await, sums).await, before);
}
