//! What plans and statistics say of files with marked rows.

#![cfg(test)]

use datafusion::prelude::SessionContext;

use super::marking::mark;
use crate::query::{open, rows};
use crate::session::{Place, on_every_place};

on_every_place!(
    plan_is_a_bare_scan_and_rows_are_counted_without_one,
    limit_reads_as_many_files_as_it_takes_rows_that_are_left,
    files_say_how_many_of_their_rows_are_left,
);

/// The table `t` of the values 0 to 99 and 100 to 199, a file each.
async fn two_files(place: &Place) -> SessionContext {
    let ctx = place.session();
    open(&ctx, place, "t").await;
    for first in [0, 100] {
        let insert =
            format!("INSERT INTO t SELECT value FROM generate_series({first}, {first} + 99)");
        rows(&ctx, &insert).await;
    }
    ctx
}

/// What runs of a query, a line for each node.
async fn plan(ctx: &SessionContext, sql: &str) -> Vec<String> {
    let plan = ctx.sql(sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let shown = datafusion::physical_plan::displayable(plan.as_ref());
    let shown = shown.indent(false).to_string();
    shown.lines().map(|line| line.trim().to_owned()).collect()
}

async fn plan_is_a_bare_scan_and_rows_are_counted_without_one(place: Place) {
    let ctx = two_files(&place).await;
    mark(&place, "t", |a| a < 10).await;
    let scan = plan(&ctx, "SELECT a FROM t").await;
    assert!(
        scan.len() == 1 && scan[0].starts_with("DataSourceExec: file_groups={2 groups:"),
        "{scan:?}"
    );

    let is_folded = async |sql: &str| {
        let plan = plan(&ctx, sql).await;
        plan.iter()
            .any(|node| node.starts_with("PlaceholderRowExec"))
    };
    for (sql, folded, expected) in [
        ("SELECT count(*) FROM t", true, "190"),
        // The column has no NULL in any of the files.
        ("SELECT count(a) FROM t", true, "190"),
        // What is least is not known to be left.
        ("SELECT min(a) FROM t", false, "10"),
        ("SELECT max(a) FROM t", false, "199"),
    ] {
        assert_eq!(is_folded(sql).await, folded, "{sql}");
        assert_eq!(rows(&ctx, sql).await, [expected], "{sql}");
    }
    for sql in ["SELECT min(a) FROM t", "SELECT max(a) FROM t"] {
        let before = sql.replace("FROM t", "FROM atio_table('t', version => 2)");
        assert!(is_folded(&before).await, "{before}");
    }
}

async fn limit_reads_as_many_files_as_it_takes_rows_that_are_left(place: Place) {
    let ctx = two_files(&place).await;
    mark(&place, "t", |a| !(90..110).contains(&a)).await;
    for (limit, files) in [(1, 1), (10, 1), (11, 2), (20, 2), (200, 2)] {
        let sql = format!("SELECT a FROM t LIMIT {limit}");
        let scan = plan(&ctx, &sql).await;
        let scan = scan.iter().find(|node| node.starts_with("DataSourceExec"));
        assert_eq!(scan.unwrap().matches(".parquet").count(), files, "{sql}");
        assert_eq!(rows(&ctx, &sql).await.len(), limit.min(20), "{sql}");
    }
}

async fn files_say_how_many_of_their_rows_are_left(place: Place) {
    let ctx = two_files(&place).await;
    let files = "SELECT rows, deleted_rows FROM atio_files('t')";
    assert_eq!(rows(&ctx, files).await, ["100|0", "100|0"]);
    mark(&place, "t", |a| a % 50 == 7).await;
    assert_eq!(rows(&ctx, files).await, ["98|2", "98|2"]);
    mark(&place, "t", |a| a > 100).await;
    assert_eq!(rows(&ctx, files).await, ["1|99", "98|2"]);
    mark(&place, "t", |a| a >= 100).await;
    assert_eq!(rows(&ctx, files).await, ["98|2"]);
    let before = files.replace("'t'", "'t', version => 3");
    assert_eq!(rows(&ctx, &before).await, ["98|2", "98|2"]);
    let history = "SELECT version, rows, files FROM atio_history('t') WHERE version > 1";
    let history = rows(&ctx, history).await;
    assert_eq!(history, ["2|200|2", "3|196|2", "4|99|2", "5|98|1"]);
}

/// A file that is opened is left out by its bounds, which marked rows have no say in.
#[tokio::test]
async fn top_rows_leave_out_files_by_the_bounds_of_all_of_their_rows() {
    let place = Place::memory();
    let ctx = place.session();
    rows(&ctx, "SET datafusion.execution.target_partitions = 1").await;
    open(&ctx, &place, "t").await;
    for first in [0, 100, 200, 300] {
        let insert =
            format!("INSERT INTO t SELECT value FROM generate_series({first}, {first} + 99)");
        rows(&ctx, &insert).await;
    }
    mark(&place, "t", |a| a % 50 == 49).await;
    let pruned = async |t: &str| {
        let sql = format!("EXPLAIN ANALYZE SELECT a FROM {t} ORDER BY a DESC LIMIT 3");
        let shown = rows(&ctx, &sql).await.concat();
        let (_, pruned) = shown.split_once("files_ranges_pruned_statistics=").unwrap();
        pruned.split(',').next().unwrap().to_owned()
    };
    let before = pruned("atio_table('t', version => 4)").await;
    assert_eq!(before, "4 total → 1 matched");
    assert_eq!(pruned("t").await, before);
    let top = rows(&ctx, "SELECT a FROM t ORDER BY a DESC LIMIT 3").await;
    assert_eq!(top, ["396", "397", "398"]);
}
