//! What can happen to statements beside each other: the table of anomalies in `src/docs/tables.md`, with
//! a test for each cell.
//!
//! The table of a test has two data files, with the rows 1 and 2, and 100 and 101. Each is run where
//! statements write files anew, and where they mark rows.

use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;

use super::isolation::Ending::{self, Conflict, Yes};
use super::isolation::race;
use super::row_source::{End, Source};
use crate::query::{open, row, rows};
use crate::session::{Place, run};

const WEAK: &str = "write-serializable";
const STRONG: &str = "serializable";

/// Tests of one statement that another overtakes: the isolation, the statement, the other, how the
/// first ends, and the rows afterwards.
macro_rules! overtaken {
    ($($name:ident: $isolation:ident, $mine:literal, $theirs:literal, $ending:ident, $left:expr;)+) => { $(
        #[tokio::test]
        async fn $name() {
            assert_overtaken($isolation, ($mine, $theirs), $ending, &$left).await;
        }
    )+ };
}

overtaken! {
    lost_update_cannot_happen_if_write_serializable: WEAK,
        "UPDATE t SET a = a + 10 WHERE a = 1",
        "UPDATE t SET a = a + 20 WHERE a = 1",
        Conflict, [2, 21, 100, 101];
    lost_update_cannot_happen_if_serializable: STRONG,
        "UPDATE t SET a = a + 10 WHERE a = 1",
        "UPDATE t SET a = a + 20 WHERE a = 1",
        Conflict, [2, 21, 100, 101];
    write_skew_of_updates_cannot_happen_if_write_serializable: WEAK,
        "UPDATE t SET a = 0 WHERE a = 2 AND (SELECT sum(a) FROM t) > 203",
        "UPDATE t SET a = 0 WHERE a = 101 AND (SELECT sum(a) FROM t) > 203",
        Conflict, [0, 1, 2, 100];
    write_skew_of_updates_cannot_happen_if_serializable: STRONG,
        "UPDATE t SET a = 0 WHERE a = 2 AND (SELECT sum(a) FROM t) > 203",
        "UPDATE t SET a = 0 WHERE a = 101 AND (SELECT sum(a) FROM t) > 203",
        Conflict, [0, 1, 2, 100];
    write_skew_of_merges_cannot_happen_if_write_serializable: WEAK,
        "MERGE INTO t USING (SELECT 2 AS a, sum(a) AS n FROM t) AS s ON t.a = s.a WHEN MATCHED AND s.n > 203 THEN DELETE",
        "MERGE INTO t USING (SELECT 101 AS a, sum(a) AS n FROM t) AS s ON t.a = s.a WHEN MATCHED AND s.n > 203 THEN DELETE",
        Conflict, [1, 2, 100];
    write_skew_of_merges_cannot_happen_if_serializable: STRONG,
        "MERGE INTO t USING (SELECT 2 AS a, sum(a) AS n FROM t) AS s ON t.a = s.a WHEN MATCHED AND s.n > 203 THEN DELETE",
        "MERGE INTO t USING (SELECT 101 AS a, sum(a) AS n FROM t) AS s ON t.a = s.a WHEN MATCHED AND s.n > 203 THEN DELETE",
        Conflict, [1, 2, 100];
    write_skew_of_inserts_can_happen_if_write_serializable: WEAK,
        "INSERT INTO t SELECT 1000 + count(*) FROM t",
        "INSERT INTO t SELECT 2000 + count(*) FROM t",
        Yes, [1, 2, 100, 101, 1004, 2004];
    write_skew_of_inserts_cannot_happen_if_serializable: STRONG,
        "INSERT INTO t SELECT 1000 + count(*) FROM t",
        "INSERT INTO t SELECT 2000 + count(*) FROM t",
        Conflict, [1, 2, 100, 101, 2004];
    phantom_of_a_delete_can_happen_if_write_serializable: WEAK,
        "DELETE FROM t WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Yes, [7, 100, 101];
    phantom_of_a_delete_cannot_happen_if_serializable: STRONG,
        "DELETE FROM t WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
    phantom_of_an_update_can_happen_if_write_serializable: WEAK,
        "UPDATE t SET a = 0 WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Yes, [0, 0, 7, 100, 101];
    phantom_of_an_update_cannot_happen_if_serializable: STRONG,
        "UPDATE t SET a = 0 WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
    key_that_a_merge_and_an_insert_add_can_happen_if_write_serializable: WEAK,
        "MERGE INTO t USING (VALUES (7)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "INSERT INTO t VALUES (7)",
        Yes, [1, 2, 7, 7, 100, 101];
    key_that_a_merge_and_an_insert_add_cannot_happen_if_serializable: STRONG,
        "MERGE INTO t USING (VALUES (7)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
    key_that_two_merges_add_cannot_happen_if_write_serializable: WEAK,
        "MERGE INTO t USING (VALUES (7)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "MERGE INTO t USING (VALUES (7)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        Conflict, [1, 2, 7, 100, 101];
    key_that_two_merges_add_cannot_happen_if_serializable: STRONG,
        "MERGE INTO t USING (VALUES (7)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        "MERGE INTO t USING (VALUES (7)) AS s(a) ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)",
        Conflict, [1, 2, 7, 100, 101];
    row_that_moves_into_a_condition_cannot_happen_if_write_serializable: WEAK,
        "UPDATE t SET a = 0 WHERE a % 2 = 1 AND a < 50",
        "UPDATE t SET a = 5 WHERE a = 100",
        Conflict, [1, 2, 5, 101];
    row_that_moves_into_a_condition_cannot_happen_if_serializable: STRONG,
        "UPDATE t SET a = 0 WHERE a % 2 = 1 AND a < 50",
        "UPDATE t SET a = 5 WHERE a = 100",
        Conflict, [1, 2, 5, 101];
    phantom_of_a_copy_can_happen_if_write_serializable: WEAK,
        "INSERT INTO t SELECT a + 1000 FROM t WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Yes, [1, 2, 7, 100, 101, 1001, 1002];
    phantom_of_a_copy_cannot_happen_if_serializable: STRONG,
        "INSERT INTO t SELECT a + 1000 FROM t WHERE a < 50",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
    copy_of_rows_that_went_can_happen_if_write_serializable: WEAK,
        "INSERT INTO t SELECT a + 1000 FROM t WHERE a < 50",
        "DELETE FROM t WHERE a = 1",
        Yes, [2, 100, 101, 1001, 1002];
    copy_of_rows_that_went_cannot_happen_if_serializable: STRONG,
        "INSERT INTO t SELECT a + 1000 FROM t WHERE a < 50",
        "DELETE FROM t WHERE a = 1",
        Conflict, [2, 100, 101];
    lost_insert_of_an_overwrite_cannot_happen_if_write_serializable: WEAK,
        "INSERT OVERWRITE t SELECT a FROM t WHERE a > 50",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
    lost_insert_of_an_overwrite_cannot_happen_if_serializable: STRONG,
        "INSERT OVERWRITE t SELECT a FROM t WHERE a > 50",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
    lost_insert_of_a_truncate_cannot_happen_if_write_serializable: WEAK,
        "TRUNCATE TABLE t",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
    lost_insert_of_a_truncate_cannot_happen_if_serializable: STRONG,
        "TRUNCATE TABLE t",
        "INSERT INTO t VALUES (7)",
        Conflict, [1, 2, 7, 100, 101];
}

/// Two sessions over one place, of which both have the isolation.
async fn sessions(place: &Place, isolation: &str) -> (SessionContext, SessionContext) {
    let (one, two) = (place.session(), place.session());
    for ctx in [&one, &two] {
        rows(ctx, &format!("SET atio.isolation = '{isolation}'")).await;
    }
    (one, two)
}

async fn assert_overtaken(
    isolation: &str,
    (mine, theirs): (&str, &str),
    ending: Ending,
    left: &[i64],
) {
    for mode in ["rewrite", "mark"] {
        let place = Place::memory();
        let (one, two) = sessions(&place, isolation).await;
        for ctx in [&one, &two] {
            rows(ctx, &format!("SET atio.delete_mode = '{mode}'")).await;
        }
        let found = race(&place, (&one, &two), "t", (mine, theirs), mine).await;
        assert_eq!(found, ending, "{mode}");
        assert_left(&two, left).await;
    }
}

async fn assert_left(ctx: &SessionContext, left: &[i64]) {
    let mut left: Vec<_> = left.iter().map(i64::to_string).collect();
    left.sort_unstable();
    assert_eq!(rows(ctx, "SELECT a FROM t").await, left);
}

/// A DELETE that has not seen a row which is inserted meanwhile, and an UPDATE that sees both that
/// row and those which the DELETE removes: it is before none of the others, and after none.
async fn three_statements(isolation: &str) -> Result<SessionContext, String> {
    let place = Place::memory();
    let (one, two) = sessions(&place, isolation).await;
    open(&one, &place, "t").await;
    open(&two, &place, "t").await;
    rows(&two, "INSERT INTO t VALUES (1), (2)").await;
    rows(&two, "INSERT INTO t VALUES (100), (101)").await;
    let delete = one.sql("DELETE FROM t WHERE a < 50").await.unwrap();
    let delete = delete.create_physical_plan().await.unwrap();
    rows(&two, "INSERT INTO t VALUES (7)").await;
    let update = "UPDATE t SET a = 1000 + (SELECT sum(a) FROM t WHERE a < 50) WHERE a = 100";
    rows(&two, update).await;
    match collect(delete, one.task_ctx()).await {
        Ok(_) => Ok(two),
        Err(error) => Err(error.strip_backtrace()),
    }
}

#[tokio::test]
async fn three_statements_in_no_order_can_happen_if_write_serializable() {
    let ctx = three_statements(WEAK).await.unwrap();
    assert_left(&ctx, &[7, 101, 1010]).await;
}

#[tokio::test]
async fn three_statements_in_no_order_cannot_happen_if_serializable() {
    let error = three_statements(STRONG).await.err().unwrap();
    assert!(error.contains("in version 3"), "{error}");
}

/// What is written, and not committed, is not read; and what a statement reads stays the same
/// while it runs.
async fn reads_beside_writes(isolation: &str) {
    let place = Place::memory();
    let (one, two) = sessions(&place, isolation).await;
    open(&one, &place, "t").await;
    open(&two, &place, "t").await;
    rows(&one, "INSERT INTO t VALUES (-1)").await;
    let source = Source::new(3, End::Gate);
    source.register(&one, "u");
    let writer = one.clone();
    let write = tokio::spawn(async move { run(&writer, "INSERT INTO t SELECT a FROM u").await });
    source.ended().await;
    let count = "SELECT count(x.a), count(y.a) FROM t x FULL JOIN t y ON x.a = y.a";
    assert_eq!(row(&two, count).await, "1|1");
    let planned = two.sql(count).await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    source.open();
    write.await.unwrap().unwrap();
    let found = collect(planned, two.task_ctx()).await.unwrap();
    assert_eq!(crate::query::texts(&found), ["1|1"]);
    let all = source.rows() + 1;
    assert_eq!(row(&two, count).await, format!("{all}|{all}"));
}

#[tokio::test]
async fn dirty_and_non_repeatable_reads_cannot_happen_if_write_serializable() {
    reads_beside_writes(WEAK).await;
}

#[tokio::test]
async fn dirty_and_non_repeatable_reads_cannot_happen_if_serializable() {
    reads_beside_writes(STRONG).await;
}
