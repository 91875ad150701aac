//! Compactions and statements that change the same files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use atio::{AtioTable, CompactOptions, ErrorKind};
use datafusion::physical_plan::collect;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::{appended, files, for_good, with_t};
use crate::query::{row, rows, texts};
use crate::session::{Place, on_every_place};

on_every_place!(
    compaction_gives_way_to_a_delete_and_does_the_rest,
    statement_that_lost_to_a_compaction_is_in_conflict_and_succeeds_with_retries,
);

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
