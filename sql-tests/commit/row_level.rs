//! Statements that change rows of one data file at once.

use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use tokio::task::JoinSet;

use crate::query::{row, rows};
use crate::session::{Place, on_every_place};

on_every_place!(
    statements_on_different_rows_of_one_file_take_effect_both,
    statement_on_a_row_that_another_changed_is_in_conflict_and_can_be_run_again,
    many_at_once_mark_rows_of_one_file,
    rows_that_a_delete_marks_stay_deleted_where_an_insert_comes_first,
);

/// Statements that change the row `n`, and no other: what they make of it, and the statement.
const VERBS: [(Option<i64>, &str); 4] = [
    (None, "DELETE FROM t WHERE a = {n}"),
    (Some(1000), "UPDATE t SET a = a + 1000 WHERE a = {n}"),
    (
        None,
        "MERGE INTO t USING (VALUES ({n})) AS s(a) ON t.a = s.a AND t.a < 100 WHEN MATCHED THEN DELETE",
    ),
    (
        Some(2000),
        "MERGE INTO t USING (VALUES ({n})) AS s(a) ON t.a = s.a AND t.a < 100 WHEN MATCHED THEN UPDATE SET a = t.a + 2000",
    ),
];

fn changing(verb: &str, n: i64) -> String {
    verb.replace("{n}", &n.to_string())
}

/// A session with the table `t` in a directory of this name. At first it has one file, with
/// the rows 1 to 40: few enough of them are changed to be marked.
async fn session(place: &Place, name: &str) -> SessionContext {
    let ctx = place.session();
    let location = format!("{}/{name}", place.root());
    let open = format!("CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{location}'");
    rows(&ctx, &open).await;
    if row(&ctx, "SELECT count(*) FROM t").await == "0" {
        rows(
            &ctx,
            "INSERT INTO t SELECT value FROM generate_series(1, 40)",
        )
        .await;
    }
    ctx
}

/// The rows of the table, of which `changed` are no more what they were, but what is said.
fn left(changed: &[(i64, Option<i64>)]) -> Vec<String> {
    let rows = (1..=40).filter_map(
        |n| match changed.iter().find(|(changed, _)| *changed == n) {
            Some((_, more)) => more.map(|more| n + more),
            None => Some(n),
        },
    );
    let mut rows: Vec<_> = rows.map(|n| n.to_string()).collect();
    rows.sort_unstable();
    rows
}

async fn statements_on_different_rows_of_one_file_take_effect_both(place: Place) {
    for (at, (of_one, mine)) in VERBS.into_iter().enumerate() {
        for (of_two, theirs) in VERBS {
            let name = format!("t{at}{}", theirs.len());
            let (one, two) = (session(&place, &name).await, session(&place, &name).await);
            let file = row(&two, "SELECT path FROM atio_files('t')").await;
            let (mine, theirs) = (changing(mine, 3), changing(theirs, 4));
            let planned = one.sql(&mine).await.unwrap();
            let planned = planned.create_physical_plan().await.unwrap();
            rows(&two, &theirs).await;
            let done = collect(planned, one.task_ctx()).await;
            done.unwrap_or_else(|error| panic!("{mine} behind {theirs}: {error}"));
            let expected = left(&[(3, of_one), (4, of_two)]);
            for ctx in [&one, &two] {
                assert_eq!(
                    rows(ctx, "SELECT a FROM t").await,
                    expected,
                    "{mine} | {theirs}"
                );
            }
            let marked = format!("SELECT deleted_rows FROM atio_files('t') WHERE path = '{file}'");
            assert_eq!(row(&two, &marked).await, "2", "{mine} | {theirs}");
        }
    }
}

async fn statement_on_a_row_that_another_changed_is_in_conflict_and_can_be_run_again(place: Place) {
    for (at, (_, mine)) in VERBS.into_iter().enumerate() {
        for (of_two, theirs) in VERBS {
            for retries in [0, 1] {
                let name = format!("t{at}{}{retries}", theirs.len());
                let (one, two) = (session(&place, &name).await, session(&place, &name).await);
                let (mine, theirs) = (changing(mine, 3), changing(theirs, 3));
                rows(&one, &format!("SET atio.retries = {retries}")).await;
                let planned = one.sql(&mine).await.unwrap();
                let planned = planned.create_physical_plan().await.unwrap();
                rows(&two, &theirs).await;
                let done = collect(planned, one.task_ctx()).await;
                let what = format!("{mine} behind {theirs}");
                match retries {
                    0 => {
                        let error = done.unwrap_err().strip_backtrace();
                        let says = "were changed";
                        assert!(error.contains(says), "{what}: {error}");
                        assert!(error.contains("in version 2, after"), "{what}: {error}");
                    }
                    // The row is not what it was.
                    _ => drop(done.unwrap_or_else(|error| panic!("{what}: {error}"))),
                }
                let found = rows(&two, "SELECT a FROM t").await;
                assert_eq!(found, left(&[(3, of_two)]), "{what}");
            }
        }
    }
}

async fn many_at_once_mark_rows_of_one_file(place: Place) {
    let file = row(
        &session(&place, "t").await,
        "SELECT path FROM atio_files('t')",
    )
    .await;
    let mut tasks = JoinSet::new();
    for number in 0..3 {
        let ctx = session(&place, "t").await;
        tasks.spawn(async move {
            for n in 0..3 {
                let sql = changing(VERBS[0].1, 1 + number * 10 + n);
                assert_eq!(row(&ctx, &sql).await, "1", "{sql}");
            }
        });
    }
    tasks.join_all().await;
    let ctx = session(&place, "t").await;
    let gone = [1, 2, 3, 11, 12, 13, 21, 22, 23].map(|n| (n, None));
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, left(&gone));
    let files = "SELECT path, rows, deleted_rows FROM atio_files('t')";
    assert_eq!(rows(&ctx, files).await, [format!("{file}|31|9")]);
}

async fn rows_that_a_delete_marks_stay_deleted_where_an_insert_comes_first(place: Place) {
    let (one, two) = (session(&place, "t").await, session(&place, "t").await);
    for (_, verb) in VERBS {
        let verb = changing(verb, 7);
        let planned = one.sql(&verb).await.unwrap();
        let planned = planned.create_physical_plan().await.unwrap();
        rows(&two, "INSERT INTO t VALUES (7)").await;
        collect(planned, one.task_ctx()).await.unwrap();
        let found = row(&two, "SELECT count(*) FROM t WHERE a = 7").await;
        assert_eq!(found, "1", "{verb}");
    }
    assert_eq!(row(&two, "SELECT count(*) FROM t").await, "42");
}
