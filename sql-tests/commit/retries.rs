//! Statements that lose to others and are run again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atio::{CommitOptions, Error, ErrorKind, check, with_commit};
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionContext;
use tokio::task::JoinSet;

use crate::objects::{assert_settles_to, objects};
use crate::query::{failure, open, row, rows, texts};
use crate::session::{Place, limited_session_at, on_every_place, run};

on_every_place!(
    statement_that_lost_makes_what_it_makes_behind_the_winner,
    updates_at_once_are_all_counted_with_retries,
    statement_that_loses_each_time_names_the_last_winner,
    key_of_a_statement_that_is_run_again_is_written_once,
    statement_on_a_table_that_was_made_again_is_not_run_again,
);

/// Statements with all kinds of operators between the table and what is written.
const STATEMENTS: &[&str] = &[
    "UPDATE t SET a = a + 1 WHERE a < 50",
    "UPDATE t SET a = (SELECT max(a) FROM t) WHERE a < 50",
    "UPDATE t SET a = a + 1000 WHERE a IN (SELECT a + 5 FROM t)",
    "DELETE FROM t WHERE a = (SELECT min(a) FROM t)",
    "MERGE INTO t USING (SELECT max(a) AS m FROM t) AS s ON t.a = s.m WHEN MATCHED THEN UPDATE SET a = s.m + 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (s.m)",
    "INSERT OVERWRITE t SELECT count(*) FROM t",
    "INSERT OVERWRITE t SELECT min(a) + max(a) FROM t",
    "INSERT OVERWRITE t SELECT sum(a) FROM t GROUP BY a % 2",
    "INSERT OVERWRITE t SELECT x.a + y.a FROM t AS x JOIN t AS y ON x.a = y.a",
    "INSERT OVERWRITE t SELECT x.a + y.a FROM t AS x, t AS y WHERE x.a < y.a",
    "INSERT OVERWRITE t SELECT a FROM t ORDER BY a DESC LIMIT 2",
    "INSERT OVERWRITE t SELECT row_number() OVER (ORDER BY a) * 1000 + a FROM t",
    "INSERT OVERWRITE t SELECT a FROM t UNION ALL SELECT DISTINCT a + 1 FROM t",
    "INSERT OVERWRITE t WITH RECURSIVE r AS (SELECT min(a) AS a FROM t UNION ALL SELECT a + 1 FROM r WHERE a < (SELECT min(a) + 3 FROM t)) SELECT a FROM r",
    "INSERT INTO t SELECT a + 1000 FROM t WHERE a < 50",
    "TRUNCATE TABLE t",
];

const WINNER: &str = "UPDATE t SET a = a + 5 WHERE a < 50";

/// A session with the table `t`, which does much at once.
async fn wide_session(place: &Place) -> SessionContext {
    let ctx = place.session();
    for setting in ["target_partitions = 4", "batch_size = 2"] {
        rows(&ctx, &format!("SET datafusion.execution.{setting}")).await;
    }
    open(&ctx, place, "t").await;
    ctx
}

async fn fill(ctx: &SessionContext) {
    rows(ctx, "INSERT OVERWRITE t VALUES (1), (2), (2)").await;
    rows(ctx, "INSERT INTO t VALUES (6), (7), (40)").await;
    rows(ctx, "INSERT INTO t VALUES (100), (101)").await;
}

async fn statement_that_lost_makes_what_it_makes_behind_the_winner(place: Place) {
    let (one, two) = (wide_session(&place).await, wide_session(&place).await);
    rows(&one, "SET atio.isolation = 'serializable'").await;
    for statement in STATEMENTS {
        fill(&two).await;
        rows(&two, WINNER).await;
        let counted = rows(&one, statement).await;
        let expected = rows(&two, "SELECT a FROM t").await;

        // As a program keeps it, which is held to the versions of then.
        let kept = one.sql(statement).await.unwrap();
        let kept = kept.into_optimized_plan().unwrap();
        for is_kept in [false, true] {
            fill(&two).await;
            rows(&one, "SET atio.retries = 1").await;
            let planned = match is_kept {
                true => one.state().create_physical_plan(&kept).await,
                false => {
                    one.sql(statement)
                        .await
                        .unwrap()
                        .create_physical_plan()
                        .await
                }
            };
            let planned = planned.unwrap();
            rows(&two, WINNER).await;
            let made = row(&two, "SELECT max(version) FROM atio_history('t')").await;
            let made: u64 = made.parse().unwrap();
            let done = collect(planned, one.task_ctx()).await;
            let done = done.unwrap_or_else(|error| panic!("{statement}: {error}"));
            assert_eq!(texts(&done), counted, "{statement}");
            assert_eq!(rows(&two, "SELECT a FROM t").await, expected, "{statement}");
            let last = row(&two, "SELECT max(version) FROM atio_history('t')").await;
            assert_eq!(last, (made + 1).to_string(), "{statement}");
        }
    }
}

async fn updates_at_once_are_all_counted_with_retries(place: Place) {
    let mut tasks = JoinSet::new();
    rows(&wide_session(&place).await, "INSERT INTO t VALUES (0), (7)").await;
    for _ in 0..3 {
        let ctx = wide_session(&place).await;
        tasks.spawn(async move {
            for _ in 0..4 {
                rows(&ctx, "SET atio.retries = 1000").await;
                let counted = row(&ctx, "UPDATE t SET a = a + 10 WHERE a % 10 = 0").await;
                assert_eq!(counted, "1");
            }
        });
    }
    tasks.join_all().await;
    let ctx = wide_session(&place).await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["120", "7"]);
    let versions = "SELECT count(*) FROM atio_history('t') WHERE operation = 'update'";
    assert_eq!(row(&ctx, versions).await, "12");
}

/// A check that lets another session change the rows, so that the attempt which is checked is lost;
/// and how often it was asked.
fn always_late(other: &SessionContext, statement: &'static str) -> (CommitOptions, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let (other, count) = (other.clone(), Arc::clone(&asked));
    let late = check("late", move |_| {
        let (other, count) = (other.clone(), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            run(&other, statement).await.map(|_| true)
        }
    });
    let options = CommitOptions {
        checks: vec![late],
        ..CommitOptions::default()
    };
    (options, asked)
}

async fn statement_that_loses_each_time_names_the_last_winner(place: Place) {
    let (one, two) = (wide_session(&place).await, wide_session(&place).await);
    rows(&one, "INSERT INTO t VALUES (1)").await;
    for (retries, before, said) in [
        (0, 1, "External error: cannot commit"),
        (1, 2, "External error: after 1 retry: cannot commit"),
        (2, 4, "External error: after 2 retries: cannot commit"),
    ] {
        let (options, asked) = always_late(&two, "UPDATE t SET a = a + 1000");
        let options = CommitOptions { retries, ..options };
        let ctx = with_commit(&one, options).unwrap();
        let error = run(&ctx, "UPDATE t SET a = a + 1").await.unwrap_err();
        let kind = Error::find(&error).map(Error::kind);
        assert_eq!(kind, Some(ErrorKind::Conflict), "{error}");
        let error = error.strip_backtrace();
        assert!(error.starts_with(said), "{error}");
        let last = before + u64::from(retries) + 1;
        assert!(error.contains(&format!("in version {last},")), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), u64::from(retries) + 1);
        let added = row(&two, "SELECT max(a) FROM t").await;
        assert_eq!(added, ((last - 1) * 1000 + 1).to_string());
    }
    let files = objects(&place).await;
    let (options, _) = always_late(&two, "SELECT 1");
    let options = CommitOptions {
        retries: 3,
        ..options
    };
    let ctx = with_commit(&one, options).unwrap();
    failure(&ctx, "UPDATE t SET a = 1 / (a - a)").await;
    assert_settles_to(&files, &place, "a query that fails is not run again").await;
}

async fn key_of_a_statement_that_is_run_again_is_written_once(place: Place) {
    let (one, two) = (wide_session(&place).await, wide_session(&place).await);
    rows(&one, "INSERT INTO t VALUES (1)").await;
    for counted in ["2", "0"] {
        rows(&one, "SET atio.retries = 2").await;
        rows(&one, "SET atio.idempotency_key = 'once'").await;
        rows(&one, "SET atio.message = 'why'").await;
        let sql = "INSERT OVERWRITE t SELECT a * 10 FROM t";
        let planned = one.sql(sql).await.unwrap();
        let planned = planned.create_physical_plan().await.unwrap();
        rows(&two, "INSERT INTO t VALUES (2)").await;
        let done = collect(planned, one.task_ctx()).await.unwrap();
        assert_eq!(texts(&done), [counted]);
    }
    assert_eq!(rows(&two, "SELECT a FROM t").await, ["10", "2", "20"]);
    let made = "SELECT version, message FROM atio_history('t') WHERE message IS NOT NULL";
    assert_eq!(rows(&two, made).await, ["3|why"]);
    // It was for these statements alone.
    let planned = one.sql("UPDATE t SET a = a + 1").await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    rows(&two, "UPDATE t SET a = a + 1").await;
    let error = collect(planned, one.task_ctx()).await.unwrap_err();
    assert!(error.to_string().contains("cannot commit"), "{error}");
}

async fn statement_on_a_table_that_was_made_again_is_not_run_again(place: Place) {
    let (one, two) = (place.session(), place.session());
    let table = "w.public.made_again";
    rows(&two, &format!("CREATE TABLE {table} AS SELECT 1 AS a")).await;
    rows(&one, "SET atio.retries = 5").await;
    let planned = one.sql(&format!("DELETE FROM {table}")).await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    rows(&two, &format!("DROP TABLE {table}")).await;
    rows(&two, &format!("CREATE TABLE {table} AS SELECT 2 AS a")).await;
    let error = collect(planned, one.task_ctx()).await.unwrap_err();
    let error = error.strip_backtrace();
    assert!(error.contains("drop"), "{error}");
    assert!(!error.contains("retries"), "{error}");
    assert_eq!(row(&two, &format!("SELECT a FROM {table}")).await, "2");
}

#[tokio::test]
async fn merge_that_sorts_to_spill_is_planned_anew() {
    let place = Place::disk();
    let one = limited_session_at(place.path(), 64 * 1024 * 1024);
    let two = place.session();
    open(&one, &place, "t").await;
    open(&two, &place, "t").await;
    rows(&two, "INSERT INTO t VALUES (1), (2), (3)").await;
    rows(&one, "SET atio.retries = 1").await;
    let merge = "MERGE INTO t USING (SELECT value AS v FROM generate_series(2, 5)) AS s ON t.a = s.v \
                 WHEN MATCHED THEN UPDATE SET a = t.a + 100 WHEN NOT MATCHED THEN INSERT VALUES (s.v)";
    let planned = one.sql(merge).await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    let shown = displayable(planned.as_ref()).indent(false).to_string();
    assert!(shown.contains("SortMergeJoinExec"), "{shown}");
    rows(&two, "UPDATE t SET a = 4 WHERE a = 3").await;
    let done = collect(planned, one.task_ctx()).await.unwrap();
    assert_eq!(texts(&done), ["4"]);
    let expected = ["1", "102", "104", "3", "5"];
    assert_eq!(rows(&two, "SELECT a FROM t").await, expected);
}

#[tokio::test]
async fn statement_that_calls_what_writes_is_not_run_again() {
    let place = Place::memory();
    let ctx = wide_session(&place).await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;
    rows(
        &ctx,
        "CREATE VIEW tags AS SELECT version FROM atio_tag('t', tag => 'x')",
    )
    .await;
    let before = objects(&place).await;
    for (statement, function) in [
        (
            "INSERT INTO t SELECT version FROM atio_tag('t', tag => 'x')",
            "atio_tag",
        ),
        ("INSERT INTO t SELECT version FROM tags", "atio_tag"),
        (
            "UPDATE t SET a = 2 WHERE a IN (SELECT version FROM atio_rollback('t', version => 0))",
            "atio_rollback",
        ),
        (
            "INSERT INTO t SELECT count(*) FROM expire_snapshots('t', dry_run => false)",
            "expire_snapshots",
        ),
    ] {
        rows(&ctx, "SET atio.retries = 1").await;
        let error = failure(&ctx, statement).await;
        let said = format!(
            "this statement calls {function}, which would be done again: leave out atio.retries"
        );
        assert!(error.contains(&said), "{error}");
        assert_settles_to(&before, &place, statement).await;
    }
    rows(&ctx, "SET atio.retries = 1").await;
    let dry = "INSERT INTO t SELECT count(*) FROM expire_snapshots('t'), atio_tags('t')";
    assert_eq!(row(&ctx, dry).await, "1");
}

#[tokio::test]
async fn retries_that_were_set_behind_the_plan_are_refused_before_anything_is_written() {
    let place = Place::memory();
    let ctx = wide_session(&place).await;
    let planned = ctx.sql("INSERT INTO t VALUES (1)").await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    for setting in ["retries = 1", "checks.x = 'SELECT true'"] {
        rows(&ctx, &format!("SET atio.{setting}")).await;
        let before = objects(&place).await;
        let error = collect(Arc::clone(&planned), ctx.task_ctx()).await;
        let error = error.unwrap_err().strip_backtrace();
        assert!(error.contains("planned after"), "{error}");
        assert_settles_to(&before, &place, setting).await;
    }
}
