//! Checks: what must hold of a version before it is committed.

use std::sync::{Arc, Mutex};

use atio::{AtioTable, CommitOptions, Committed, Error, ErrorKind, check, sql_check, with_commit};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;

use crate::objects::{assert_settles_to, objects};
use crate::query::{failure, open, row, rows, texts};
use crate::session::{Place, on_every_place, run};

on_every_place!(
    each_statement_shows_its_checks_the_rows_that_come_and_go,
    check_that_does_not_hold_leaves_nothing_behind,
    check_is_asked_again_behind_another_version,
    checks_of_catalog_statements_hold_for_their_rows,
    load_stops_at_the_chunk_that_is_not_right,
    ticket_is_committed_if_its_checks_hold,
    statement_with_a_key_that_was_committed_is_not_checked_again,
);

/// What a check sees: the relations, sorted.
type Seen = Arc<Mutex<Vec<[Vec<String>; 4]>>>;

/// A check that holds, and notes what it sees.
fn looks(seen: &Seen) -> CommitOptions {
    let seen = Arc::clone(seen);
    let look = check("looks", move |ctx: SessionContext| {
        let seen = Arc::clone(&seen);
        async move {
            let mut found = Vec::new();
            for relation in ["old", "new", "removed", "added"] {
                let rows = run(&ctx, &format!("SELECT a FROM {relation}")).await?;
                // What is folded from statistics is the same.
                let counted = format!("SELECT count(*), min(a), max(a) FROM {relation}");
                let counted = texts(&run(&ctx, &counted).await?);
                let rows = texts(&rows);
                let filtered = format!("SELECT a FROM {relation} WHERE a > 0 ORDER BY a LIMIT 100");
                assert_eq!(texts(&run(&ctx, &filtered).await?), rows);
                let one = run(&ctx, &format!("SELECT a FROM {relation} LIMIT 1")).await?;
                assert_eq!(texts(&one).len(), rows.len().min(1));
                let mut numbers: Vec<i64> = rows.iter().map(|row| row.parse().unwrap()).collect();
                numbers.sort_unstable();
                let bound = |number: Option<&i64>| number.map_or("NULL".to_owned(), i64::to_string);
                let expected = format!(
                    "{}|{}|{}",
                    rows.len(),
                    bound(numbers.first()),
                    bound(numbers.last())
                );
                assert_eq!(counted, [expected], "{relation}");
                found.push(rows);
            }
            seen.lock().unwrap().push(found.try_into().unwrap());
            Ok(true)
        }
    });
    CommitOptions {
        checks: vec![look],
        ..CommitOptions::default()
    }
}

async fn each_statement_shows_its_checks_the_rows_that_come_and_go(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    let all = ["1", "2", "3", "4", "5", "6"];
    for (statement, old, new, removed, added) in [
        (
            "INSERT INTO t VALUES (7), (8)",
            &all[..],
            &["1", "2", "3", "4", "5", "6", "7", "8"][..],
            &[][..],
            &["7", "8"][..],
        ),
        (
            "INSERT OVERWRITE t SELECT a + 10 FROM t WHERE a > 4",
            &all,
            &["15", "16"],
            &all,
            &["15", "16"],
        ),
        (
            "INSERT OVERWRITE t SELECT a FROM t WHERE a < 0",
            &all,
            &[],
            &all,
            &[],
        ),
        ("TRUNCATE TABLE t", &all, &[], &all, &[]),
        // Some rows of one file, all of a file, and all by statistics.
        (
            "DELETE FROM t WHERE a IN (2, 4)",
            &all,
            &["1", "3", "5", "6"],
            &["2", "4"],
            &[],
        ),
        (
            "DELETE FROM t WHERE a + 0 < 5",
            &all,
            &["5", "6"],
            &["1", "2", "3", "4"],
            &[],
        ),
        (
            "DELETE FROM t WHERE a > 4",
            &all,
            &["1", "2", "3", "4"],
            &["5", "6"],
            &[],
        ),
        ("DELETE FROM t", &all, &[], &all, &[]),
        (
            "UPDATE t SET a = a * 10 WHERE a % 2 = 1",
            &all,
            &["10", "2", "30", "4", "50", "6"],
            &["1", "3", "5"],
            &["10", "30", "50"],
        ),
        (
            "MERGE INTO t USING (VALUES (1), (6), (9)) AS s(b) ON t.a = s.b WHEN MATCHED AND s.b = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET a = 60 WHEN NOT MATCHED THEN INSERT VALUES (s.b)",
            &all,
            &["2", "3", "4", "5", "60", "9"],
            &["1", "6"],
            &["60", "9"],
        ),
    ] {
        rows(&ctx, "INSERT OVERWRITE t VALUES (1), (2), (3), (4)").await;
        rows(&ctx, "INSERT INTO t VALUES (5), (6)").await;
        let seen = Seen::default();
        let checked = with_commit(&ctx, looks(&seen)).unwrap();
        rows(&checked, statement).await;
        let relations = [old, new, removed, added];
        let expected: [Vec<String>; 4] =
            relations.map(|rows| rows.iter().map(|row| (*row).to_owned()).collect());
        assert_eq!(*seen.lock().unwrap(), [expected], "{statement}");
        assert_eq!(rows(&ctx, "SELECT a FROM t").await, new, "{statement}");
        // It is used up.
        rows(&checked, "INSERT INTO t VALUES (1)").await;
        assert_eq!(seen.lock().unwrap().len(), 1);
    }
}

async fn check_that_does_not_hold_leaves_nothing_behind(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1), (2), (3)").await;
    for statement in [
        "INSERT INTO t VALUES (4)",
        "INSERT OVERWRITE t VALUES (4)",
        "DELETE FROM t WHERE a = 1",
        "UPDATE t SET a = a + 1 WHERE a = 1",
        "TRUNCATE TABLE t",
        "MERGE INTO t USING (VALUES (1), (4)) AS s(b) ON t.a = s.b WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.b)",
    ] {
        for (check, said) in [
            ("SELECT false", "gave false, and must be true"),
            (
                "SELECT CAST(NULL AS BOOLEAN)",
                "gave NULL, and must be true",
            ),
            (
                "SELECT true FROM old WHERE a > 99",
                "gave no row, and must give one, which is true",
            ),
            (
                "SELECT true FROM old",
                "gave several rows, and must give one, as by bool_and(..)",
            ),
        ] {
            let before = objects(&place).await;
            rows(&ctx, "SET atio.checks.holds = 'SELECT true'").await;
            rows(&ctx, &format!("SET atio.checks.fails = '{check}'")).await;
            let error = run(&ctx, statement).await.unwrap_err();
            let kind = Error::find(&error).map(Error::kind);
            assert_eq!(kind, Some(ErrorKind::CheckFailed), "{statement}: {error}");
            let error = error.strip_backtrace();
            let named = format!("the check 'fails' ({check}) {said}; nothing was committed to 't'");
            assert!(error.contains(&named), "{statement}: {error}");
            assert_settles_to(&before, &place, statement).await;
        }
    }
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "2", "3"]);
    // Nothing is asked where there is no version.
    rows(&ctx, "SET atio.checks.fails = 'SELECT false'").await;
    assert_eq!(row(&ctx, "DELETE FROM t WHERE a = 99").await, "0");
    assert_eq!(row(&ctx, "DELETE FROM t WHERE a = 1").await, "1");
}

async fn check_is_asked_again_behind_another_version(place: Place) {
    let (one, two) = (place.session(), place.session());
    open(&one, &place, "t").await;
    open(&two, &place, "t").await;
    rows(&one, "INSERT INTO t VALUES (10), (20)").await;
    for (statement, meanwhile, said) in [
        (
            "INSERT INTO t VALUES (30)",
            "INSERT INTO t VALUES (50)",
            "gave false",
        ),
        (
            "UPDATE t SET a = 40 WHERE a = 10",
            "INSERT INTO t VALUES (41)",
            "gave false",
        ),
    ] {
        rows(
            &one,
            "SET atio.checks.total = 'SELECT sum(a) < 101 FROM new'",
        )
        .await;
        let planned = one.sql(statement).await.unwrap();
        let planned = planned.create_physical_plan().await.unwrap();
        rows(&two, meanwhile).await;
        let before = objects(&place).await;
        let error = collect(planned, one.task_ctx()).await.unwrap_err();
        let kind = Error::find(&error).map(Error::kind);
        assert_eq!(kind, Some(ErrorKind::CheckFailed), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_settles_to(&before, &place, statement).await;
        rows(&two, "DELETE FROM t WHERE a > 20").await;
    }
    // What both attempts showed.
    let seen = Seen::default();
    let checked = with_commit(&one, looks(&seen)).unwrap();
    let planned = checked.sql("INSERT INTO t VALUES (30)").await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    rows(&two, "INSERT INTO t VALUES (5)").await;
    collect(planned, checked.task_ctx()).await.unwrap();
    let seen = seen.lock().unwrap();
    let of = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
    let first = [
        of(&["10", "20"]),
        of(&["10", "20", "30"]),
        of(&[]),
        of(&["30"]),
    ];
    let second = [
        of(&["10", "20", "5"]),
        of(&["10", "20", "30", "5"]),
        of(&[]),
        of(&["30"]),
    ];
    assert_eq!(*seen, [first, second]);
}

async fn checks_of_catalog_statements_hold_for_their_rows(place: Place) {
    let ctx = place.session();
    let sql = async |text: &str| -> datafusion::error::Result<Vec<RecordBatch>> {
        atio::sql(&ctx, text).await?.collect().await
    };
    for text in [
        "SET atio.checks.few = 'SELECT count(*) < 3 FROM added'",
        "CREATE TABLE w.public.t AS SELECT 1 AS a",
        "SET atio.checks.other = 'SELECT sum(b) = 2 AND (SELECT sum(a) FROM old) = 1 FROM new'",
        "CREATE OR REPLACE TABLE w.public.t AS SELECT 2 AS b",
    ] {
        sql(text).await.unwrap();
    }
    assert_eq!(row(&ctx, "SELECT b FROM w.public.t").await, "2");
    let before = objects(&place).await;
    for text in [
        "CREATE TABLE w.public.many AS SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3",
        "CREATE OR REPLACE TABLE w.public.t AS SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3",
    ] {
        rows(
            &ctx,
            "SET atio.checks.few = 'SELECT count(*) < 3 FROM added'",
        )
        .await;
        let error = sql(text).await.unwrap_err();
        let kind = Error::find(&error).map(Error::kind);
        assert_eq!(kind, Some(ErrorKind::CheckFailed), "{error}");
    }
    if matches!(place, Place::Disk(_)) {
        assert_settles_to(&before, &place, "no table is left").await;
    }
    failure(&ctx, "SELECT * FROM w.public.many").await;
    assert_eq!(row(&ctx, "SELECT b FROM w.public.t").await, "2");
    for text in [
        "CREATE TABLE w.public.declared (a INT)",
        "SELECT * FROM atio_tag('w.public.t', tag => 'x')",
        "SELECT * FROM atio_rollback('w.public.t', version => 1)",
    ] {
        rows(&ctx, "SET atio.checks.few = 'SELECT true'").await;
        let error = sql(text).await.unwrap_err().strip_backtrace();
        assert!(error.contains("cannot be checked"), "{text}: {error}");
        rows(&ctx, "SET atio.retries = 1").await;
        let error = sql(text).await.unwrap_err().strip_backtrace();
        assert!(
            error.contains("no query that could be run again"),
            "{error}"
        );
    }
}

async fn load_stops_at_the_chunk_that_is_not_right(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    for setting in [
        "datafusion.execution.batch_size = 10",
        "atio.commit_every_rows = 10",
        "atio.checks.small = 'SELECT max(a) <= 20 AND (SELECT count(*) FROM added) = 10 FROM new'",
    ] {
        rows(&ctx, &format!("SET {setting}")).await;
    }
    let load = "INSERT INTO t SELECT value FROM generate_series(1, 30)";
    let error = failure(&ctx, load).await;
    assert!(
        error.contains("20 rows in versions 1 to 2 are kept"),
        "{error}"
    );
    assert!(error.contains("the check 'small'"), "{error}");
    assert_eq!(row(&ctx, "SELECT max(a), count(*) FROM t").await, "20|20");
}

async fn ticket_is_committed_if_its_checks_hold(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(&ctx, "INSERT INTO t VALUES (1), (2)").await;
    let location = format!("{}/t", place.root());
    let table = AtioTable::open(&ctx, &location).await.unwrap();
    for (op, check, holds) in [
        (InsertOp::Append, "SELECT count(*) = 3 FROM new", true),
        (InsertOp::Append, "SELECT count(*) = 3 FROM new", false),
        (
            InsertOp::Overwrite,
            "SELECT count(*) = 3 AND (SELECT count(*) FROM added) = 1 FROM removed",
            true,
        ),
    ] {
        let ticket = table.begin(&ctx, op).await.unwrap();
        let part = ctx.sql("SELECT CAST(3 AS BIGINT) AS a").await.unwrap();
        let part = part.execute_stream().await.unwrap();
        let part = table.prepare(&ctx, &ticket, part).await.unwrap();
        let options = CommitOptions {
            checks: vec![sql_check("rows", check)],
            ..CommitOptions::default()
        };
        let parts = [part];
        let done = table.commit(&ctx, &ticket, &parts, options.clone()).await;
        match (done, holds) {
            (Ok(done), true) => {
                // What was committed is not checked again, even if it cannot be any more.
                let options = CommitOptions {
                    checks: vec![sql_check("rows", "SELECT true FROM nowhere")],
                    ..CommitOptions::default()
                };
                let again = table.commit(&ctx, &ticket, &parts, options).await;
                assert_eq!(again.unwrap(), Committed::Before(done.version()));
            }
            (Err(error), false) => assert_eq!(error.kind(), ErrorKind::CheckFailed, "{error}"),
            (done, _) => panic!("{check}: {done:?}"),
        }
        let options = CommitOptions {
            retries: 1,
            ..options
        };
        let refused = table.commit(&ctx, &ticket, &[b""], options).await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("no query that could be run again"),
            "{refused}"
        );
    }
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["3"]);
}

async fn statement_with_a_key_that_was_committed_is_not_checked_again(place: Place) {
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    for (statement, counted) in [
        ("INSERT INTO t VALUES (1), (2)", "2"),
        ("INSERT OVERWRITE t VALUES (3)", "1"),
        ("UPDATE t SET a = 1", "1"),
    ] {
        rows(&ctx, "CREATE TABLE known AS SELECT 1 AS a").await;
        for counted in [counted, "0"] {
            let check = "SELECT count(*) = 1 FROM known";
            rows(&ctx, &format!("SET atio.checks.known = '{check}'")).await;
            rows(&ctx, &format!("SET atio.idempotency_key = '{statement}'")).await;
            assert_eq!(row(&ctx, statement).await, counted, "{statement}");
            run(&ctx, "DROP TABLE IF EXISTS known").await.unwrap();
        }
        // Nor is it told that it cannot be run again, where it need not be.
        let options = CommitOptions {
            idempotency_key: Some(statement.to_owned()),
            retries: 1,
            ..CommitOptions::default()
        };
        let planned = ctx.sql(statement).await.unwrap();
        let planned = planned.create_physical_plan().await.unwrap();
        let late = with_commit(&ctx, options).unwrap().task_ctx();
        assert_eq!(texts(&collect(planned, late).await.unwrap()), ["0"]);
    }
}

#[tokio::test]
async fn checks_find_the_tables_and_functions_of_their_session() {
    let place = Place::memory();
    let ctx = place.session();
    open(&ctx, &place, "t").await;
    rows(
        &ctx,
        "CREATE TABLE allowed AS VALUES (CAST(1 AS BIGINT)), (2)",
    )
    .await;
    let check = "SELECT count(*) = 0 FROM added WHERE a NOT IN (SELECT column1 FROM allowed)";
    for (value, fine) in [(1, true), (3, false)] {
        rows(&ctx, &format!("SET atio.checks.known = '{check}'")).await;
        let done = run(&ctx, &format!("INSERT INTO t VALUES ({value})")).await;
        assert_eq!(done.is_ok(), fine, "{done:?}");
    }
    // The table by its own name is as it is; the relations are as names are in SQL.
    let check = "SELECT (SELECT count(*) FROM t) = 1 AND count(*) = 2 AND (SELECT count(*) FROM OLD) = 1 FROM atio_table(''t'', version => 0) RIGHT JOIN new ON true";
    rows(&ctx, &format!("SET atio.checks.\"it\"\"s\" = '{check}'")).await;
    rows(&ctx, "INSERT INTO t VALUES (2)").await;
    let sum = ctx.sql("SELECT sum(a) FROM t").await.unwrap();
    let sum = sum.collect().await.unwrap();
    assert_eq!(sum[0].column(0).as_primitive::<Int64Type>().value(0), 3);
}

#[test]
fn names_that_mean_nothing_are_refused() {
    for (names, said) in [
        (vec![""], "a check must have a name"),
        (vec!["x", "y", "x"], "there are two checks called 'x'"),
    ] {
        let options = CommitOptions {
            checks: names
                .iter()
                .map(|name| sql_check(*name, "SELECT true"))
                .collect(),
            ..CommitOptions::default()
        };
        let error = options.check().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
