//! What becomes of a statement that another one overtakes, by what both read and change.

use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;

use crate::query::{open, row, rows};
use crate::session::{Place, on_every_place};

on_every_place!(statement_that_is_overtaken_goes_on_unless_what_it_read_has_changed);

use Ending::{Conflict, Yes};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both take effect.
    Yes,
    Conflict,
}

/// One statement that is planned, another that runs, and how the first ends under
/// 'write-serializable' and under 'serializable'.
///
/// The table has two data files, with the rows 1 and 2, and 100 and 101.
const CASES: &[(&str, &str, &str, Ending, Ending)] = &[
    // Of one another's rows.
    (
        "lost update",
        "UPDATE t SET a = a + 1 WHERE a = 1",
        "UPDATE t SET a = a + 2 WHERE a = 1",
        Conflict,
        Conflict,
    ),
    (
        "rows that went",
        "UPDATE t SET a = 3 WHERE a = 1",
        "DELETE FROM t WHERE a = 1",
        Conflict,
        Conflict,
    ),
    (
        "rows that changed",
        "DELETE FROM t WHERE a = 1",
        "UPDATE t SET a = 3 WHERE a = 1",
        Conflict,
        Conflict,
    ),
    (
        "the same rows",
        "DELETE FROM t WHERE a = 1",
        "DELETE FROM t WHERE a = 1",
        Conflict,
        Conflict,
    ),
    (
        "rows of other files",
        "DELETE FROM t WHERE a = 1",
        "DELETE FROM t WHERE a = 100",
        Yes,
        Yes,
    ),
    (
        "rows of other files",
        "UPDATE t SET a = 3 WHERE a = 1",
        "DELETE FROM t WHERE a = 100",
        Yes,
        Yes,
    ),
    (
        "rows that match now",
        "DELETE FROM t WHERE a < 50",
        "UPDATE t SET a = 7 WHERE a = 100",
        Conflict,
        Conflict,
    ),
    (
        "rows that do not",
        "DELETE FROM t WHERE a < 50",
        "UPDATE t SET a = 700 WHERE a = 100",
        Yes,
        Yes,
    ),
    (
        "write skew",
        "UPDATE t SET a = (SELECT max(a) FROM t) WHERE a = 1",
        "UPDATE t SET a = 5 WHERE a = 100",
        Conflict,
        Conflict,
    ),
    (
        "rows of a file that was looked into",
        "DELETE FROM t WHERE a % 1000 = 1",
        "DELETE FROM t WHERE a = 100",
        Yes,
        Yes,
    ),
    (
        "write skew",
        "DELETE FROM t WHERE a = 1 AND (SELECT count(*) FROM t) > 3",
        "DELETE FROM t WHERE a = 2",
        Conflict,
        Conflict,
    ),
    (
        "all rows of a file",
        "DELETE FROM t WHERE a < 50",
        "DELETE FROM t WHERE a = 1",
        Conflict,
        Conflict,
    ),
    (
        "row that keeps another from coming",
        "MERGE INTO t USING (VALUES (1), (50)) AS s(a) ON t.a = s.a WHEN MATCHED AND s.a > 5 THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "DELETE FROM t WHERE a = 1",
        Conflict,
        Conflict,
    ),
    (
        "row that is matched and changed",
        "MERGE INTO t USING (VALUES (1), (50)) AS s(a) ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = 3 WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "DELETE FROM t WHERE a = 1",
        Conflict,
        Conflict,
    ),
    // Of rows that come.
    (
        "phantom",
        "DELETE FROM t WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Yes,
        Conflict,
    ),
    (
        "phantom",
        "UPDATE t SET a = 3 WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Yes,
        Conflict,
    ),
    (
        "no phantom",
        "DELETE FROM t WHERE a < 50",
        "INSERT INTO t VALUES (70)",
        Yes,
        Yes,
    ),
    (
        "phantom",
        "MERGE INTO t USING (VALUES (7)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "INSERT INTO t VALUES (7)",
        Yes,
        Conflict,
    ),
    // Of appends.
    (
        "append",
        "INSERT INTO t VALUES (9)",
        "UPDATE t SET a = 3 WHERE a = 1",
        Yes,
        Yes,
    ),
    (
        "append",
        "INSERT INTO t VALUES (9)",
        "INSERT OVERWRITE t VALUES (5)",
        Yes,
        Yes,
    ),
    (
        "rows that it copies",
        "INSERT INTO t SELECT a + 1000 FROM t",
        "DELETE FROM t WHERE a = 1",
        Yes,
        Conflict,
    ),
    (
        "rows that it copies",
        "INSERT INTO t SELECT a + 1000 FROM t",
        "INSERT INTO t VALUES (7)",
        Yes,
        Conflict,
    ),
    (
        "rows that it does not",
        "INSERT INTO t SELECT a + 1000 FROM t WHERE a < 50",
        "DELETE FROM t WHERE a = 100",
        Yes,
        Yes,
    ),
    // All rows.
    (
        "all rows",
        "INSERT OVERWRITE t SELECT a FROM t",
        "INSERT INTO t VALUES (7)",
        Conflict,
        Conflict,
    ),
    (
        "all rows",
        "TRUNCATE TABLE t",
        "INSERT INTO t VALUES (7)",
        Conflict,
        Conflict,
    ),
    (
        "all rows",
        "DELETE FROM t",
        "INSERT INTO t VALUES (7)",
        Yes,
        Conflict,
    ),
];

/// The same of statements that change different rows of one file: both take effect where rows are
/// marked, and the second is in conflict where the file is written anew.
const OF_ONE_FILE: &[(&str, &str)] = &[
    ("DELETE FROM t WHERE a = 1", "DELETE FROM t WHERE a = 2"),
    (
        "UPDATE t SET a = 3 WHERE a = 1",
        "DELETE FROM t WHERE a = 2",
    ),
    (
        "DELETE FROM t WHERE a = 1",
        "UPDATE t SET a = 3 WHERE a = 2",
    ),
    (
        "MERGE INTO t USING (VALUES (1)) AS s(a) ON t.a = s.a WHEN MATCHED THEN DELETE",
        "DELETE FROM t WHERE a = 2",
    ),
    (
        "MERGE INTO t USING (VALUES (1), (50)) AS s(a) ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = 3 WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "DELETE FROM t WHERE a = 2",
    ),
    (
        "MERGE INTO t USING (VALUES (1), (2)) AS s(a) ON t.a = s.a WHEN MATCHED AND s.a = 1 THEN DELETE",
        "DELETE FROM t WHERE a = 2",
    ),
    (
        "MERGE INTO t USING (VALUES (1)) AS s(a) ON t.a = s.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE AND t.a > 100 THEN DELETE",
        "DELETE FROM t WHERE a = 2",
    ),
];

async fn statement_that_is_overtaken_goes_on_unless_what_it_read_has_changed(place: Place) {
    let (one, two) = (place.session(), place.session());
    for (number, mode) in (0..).zip(["rewrite", "mark"]) {
        for ctx in [&one, &two] {
            rows(ctx, &format!("SET atio.delete_mode = '{mode}'")).await;
        }
        for (isolation, strong) in [("write-serializable", false), ("serializable", true)] {
            rows(&one, &format!("SET atio.isolation = '{isolation}'")).await;
            let cases = CASES.iter().map(|case| {
                let (what, mine, theirs, if_weak, if_strong) = *case;
                (what, mine, theirs, if strong { if_strong } else { if_weak })
            });
            let of_one_file = OF_ONE_FILE.iter().map(|(mine, theirs)| {
                let ending = if mode == "mark" { Yes } else { Conflict };
                ("rows of one file", *mine, *theirs, ending)
            });
            for (at, case) in cases.chain(of_one_file).enumerate() {
                let (what, mine, theirs, expected) = case;
                let what = format!("{mode}, {isolation}, {what}: {mine} | {theirs}");
                let name = format!("t{number}x{strong}x{at}");
                let ending = race(&place, (&one, &two), &name, (mine, theirs), &what).await;
                assert_eq!(ending, expected, "{what}");
            }
        }
    }
}

/// Plans `mine`, runs `theirs`, and then what was planned.
pub(super) async fn race(
    place: &Place,
    (one, two): (&SessionContext, &SessionContext),
    name: &str,
    (mine, theirs): (&str, &str),
    what: &str,
) -> Ending {
    for ctx in [one, two] {
        let root = place.root();
        let sql = format!(
            "CREATE EXTERNAL TABLE {name} (a BIGINT) STORED AS ATIO LOCATION '{root}/{name}'"
        );
        rows(ctx, &sql).await;
    }
    rows(two, &format!("INSERT INTO {name} VALUES (1), (2)")).await;
    rows(two, &format!("INSERT INTO {name} VALUES (100), (101)")).await;
    let mine = named(mine, name);
    let planned = one.sql(&mine).await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    rows(two, &named(theirs, name)).await;
    let content = format!("SELECT count(*), sum(a) FROM {name}");
    let before = row(two, &content).await;
    match collect(planned, one.task_ctx()).await {
        Ok(_) => {
            let made = format!("SELECT max(version) FROM atio_history('{name}')");
            assert_eq!(row(two, &made).await, "4", "{what}");
            Yes
        }
        Err(error) => {
            let error = error.strip_backtrace();
            assert!(
                error.contains("in version 3, after this statement started"),
                "{what}: {error}"
            );
            assert_eq!(row(two, &content).await, before, "{what}");
            Conflict
        }
    }
}

/// The statement on the table called `name`.
fn named(sql: &str, name: &str) -> String {
    let words = sql.split(' ').map(|word| match word {
        "t" => name.to_owned(),
        "t)" => format!("{name})"),
        "t.a" => format!("{name}.a"),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn appended_row_stays_beside_a_delete_that_did_not_see_it() {
    let place = Place::memory();
    let (one, two) = (place.session(), place.session());
    open(&one, &place, "t").await;
    open(&two, &place, "t").await;
    rows(&one, "INSERT INTO t VALUES (1), (2)").await;
    let planned = one.sql("DELETE FROM t WHERE a > 0").await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    rows(&two, "INSERT INTO t VALUES (3)").await;
    collect(planned, one.task_ctx()).await.unwrap();
    assert_eq!(rows(&two, "SELECT a FROM t").await, ["3"]);
}
