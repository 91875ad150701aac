//! A workbook is there completely or not at all.

use datafusion::physical_plan::execute_stream;
use futures::StreamExt;

use crate::long_form::long;
use crate::objects::{assert_settles_to, objects};
use crate::session::{Place, on_every_place, run};

use super::{copy, only, sheets, statement};

on_every_place!(
    query_that_fails_half_way_leaves_the_old_workbook,
    statement_that_is_dropped_leaves_the_old_workbook,
    plan_that_is_not_run_writes_nothing,
);

/// Fails in its last row, long after its first.
const FAILS: &str = "SELECT 1000 / (199999 - value) AS a, repeat('x', 100) AS b FROM range(200000)";
const LONG: &str = "SELECT value AS a, repeat('x', 100) AS b FROM range(200000)";

async fn query_that_fails_half_way_leaves_the_old_workbook(place: Place) {
    let ctx = place.session();
    let failing = statement(&place, FAILS, "");
    let error = run(&ctx, &failing).await.unwrap_err();
    assert!(error.to_string().contains("Divide by zero"), "{error}");
    assert_eq!(only(&place, "x.xlsx").await, None);

    copy(&ctx, &place, "SELECT 1 AS a", "").await;
    let before = objects(&place).await;
    run(&ctx, &failing).await.unwrap_err();
    assert_eq!(objects(&place).await, before);
}

async fn statement_that_is_dropped_leaves_the_old_workbook(place: Place) {
    let ctx = place.session();
    copy(&ctx, &place, "SELECT 1 AS a", "").await;
    let before = objects(&place).await;
    for millis in [0, 1, 20, 100] {
        let frame = ctx.sql(&statement(&place, LONG, "")).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let mut rows = execute_stream(plan, ctx.task_ctx()).unwrap();
        let wait = std::time::Duration::from_millis(millis);
        let ended = tokio::time::timeout(wait, rows.next()).await;
        assert!(ended.is_err(), "it was too fast to be dropped");
        drop(rows);
        // What nobody sees may take a moment to go.
        assert_settles_to(&before, &place, &format!("{millis} ms")).await;
    }
    // What goes on for a moment must not show anything either.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(objects(&place).await, before);
}

async fn plan_that_is_not_run_writes_nothing(place: Place) {
    let ctx = place.session();
    let before = objects(&place).await;
    let copy = statement(&place, "SELECT 1 AS a", "sheet_name 'Sales'");
    let plan = crate::query::rows(&ctx, &format!("EXPLAIN {copy}")).await;
    let sink = "AtioPublish: format=xlsx";
    assert!(plan.concat().contains(sink), "{plan:?}");
    let option = "format.sheet_name Sales";
    assert!(plan.concat().contains(option), "{plan:?}");
    ctx.sql(&copy)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    assert_eq!(objects(&place).await, before);
}

/// The limit of a sheet, for real.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_rows_than_a_sheet_holds_are_refused_or_split() {
    if !long() {
        println!("not run: set ATIO_LONG=1");
        return;
    }
    let place = Place::disk();
    let ctx = place.session();
    let rows = |count: u32| format!("SELECT value AS a FROM range({count})");
    let error = run(&ctx, &statement(&place, &rows(1_048_576), ""))
        .await
        .unwrap_err();
    assert_eq!(
        error.strip_backtrace(),
        "External error: there are more rows than the 1048575 that a sheet holds: go on in \
         further sheets with OPTIONS (split_sheets 'true'), or write CSV or Parquet"
    );
    assert_eq!(only(&place, "x.xlsx").await, None);

    for (count, options, expected) in [
        (1_048_575, "", vec![("Sheet1", 1_048_576)]),
        (1_048_576, "header false", vec![("Sheet1", 1_048_576)]),
        (
            1_048_577,
            "split_sheets true, sheet_name 'Rows'",
            vec![("Rows", 1_048_576), ("Rows (2)", 3)],
        ),
    ] {
        copy(&ctx, &place, &rows(count), options).await;
        let found = sheets(only(&place, "x.xlsx").await.unwrap());
        let found: Vec<_> = found
            .iter()
            .map(|(name, rows)| (name.as_str(), rows.len()))
            .collect();
        assert_eq!(found, expected);
    }
}
