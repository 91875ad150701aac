//! Rows that others add while a statement runs: it goes on unless it would have selected one of them.
//!
//! The table of a case has two data files, with the ids 1 to 20 and 101 to 120. `x` is the id as a
//! float, and `name` is `n` and the id. Where both statements take effect, the rows are those that
//! they make one after the other.

mod cases;

use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use tokio::task::JoinSet;

use cases::{CASES, SERIALIZABLE};

use crate::query::{row, rows};
use crate::session::{Place, on_every_place};
use Ending::{Added, Removed, Yes};

on_every_place!(merges_of_different_keys_at_once_take_effect_all);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Both take effect.
    Yes,
    /// In conflict with rows that came.
    Added,
    /// In conflict with rows that went or changed.
    Removed,
}

/// How the engine may join: settings that the first statement has.
const JOINS: [&[&str]; 4] = [
    &[],
    // Readers leave out rows by what the other side has.
    &["datafusion.execution.parquet.pushdown_filters = true"],
    &["datafusion.optimizer.prefer_hash_join = false"],
    &[
        "datafusion.optimizer.hash_join_single_partition_threshold = 0",
        "datafusion.optimizer.hash_join_single_partition_threshold_rows = 0",
        "datafusion.execution.target_partitions = 3",
    ],
];

/// What stands for a MERGE of some ids is one.
fn spelled(sql: &str) -> String {
    let merge = |ids: &str, matched: &str| {
        format!(
            "MERGE INTO t USING (VALUES {ids}) AS s(id) ON t.id = s.id {matched} WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, 7)"
        )
    };
    match sql.split_once(' ') {
        Some(("UPSERT", ids)) => merge(ids, "WHEN MATCHED THEN UPDATE SET x = t.x + 0.5"),
        Some(("ADD", ids)) => merge(ids, ""),
        _ => sql.to_owned(),
    }
}

/// A session with the table `t` in a directory of this name, and 1,000 numbers in `s`.
async fn session(place: &Place, name: &str) -> SessionContext {
    let ctx = place.session();
    let root = place.root();
    for (table, directory, columns, fill) in [
        (
            "t",
            name,
            "id BIGINT, x DOUBLE, name TEXT",
            &[
                "INSERT INTO t SELECT value AS id, value AS x, concat('n', value) FROM generate_series(1, 20)",
                "INSERT INTO t SELECT value AS id, value AS x, concat('n', value) FROM generate_series(101, 120)",
            ][..],
        ),
        (
            "s",
            "source",
            "k BIGINT",
            &["INSERT INTO s SELECT value FROM generate_series(1, 1000)"][..],
        ),
    ] {
        let open = format!(
            "CREATE EXTERNAL TABLE {table} ({columns}) STORED AS ATIO LOCATION '{root}/{directory}'"
        );
        rows(&ctx, &open).await;
        if row(&ctx, &format!("SELECT count(*) FROM {table}")).await == "0" {
            for sql in fill {
                rows(&ctx, sql).await;
            }
        }
    }
    rows(&ctx, "SET atio.delete_mode = 'mark'").await;
    ctx
}

const CONTENT: &str = "SELECT id, x, name FROM t";

/// Plans `mine`, runs `theirs`, and then what was planned.
async fn race(
    one: &SessionContext,
    two: &SessionContext,
    (mine, theirs): (&str, &str),
    what: &str,
) -> Ending {
    let planned = one.sql(mine).await.unwrap();
    let planned = planned.create_physical_plan().await.unwrap();
    rows(two, theirs).await;
    let before = rows(two, CONTENT).await;
    match collect(planned, one.task_ctx()).await {
        Ok(_) => Yes,
        Err(error) => {
            let error = error.strip_backtrace();
            assert!(error.contains("in version 3, after"), "{what}: {error}");
            assert_eq!(rows(two, CONTENT).await, before, "{what}");
            match error.contains("rows that it has not seen were added") {
                true => Added,
                false => Removed,
            }
        }
    }
}

/// Runs cases, and checks how each ends, and what it leaves.
async fn check(
    place: &Place,
    isolation: &str,
    cases: impl Iterator<Item = &(&'static str, &'static str, Ending)>,
    settings: &[&str],
) {
    let mut wrong = Vec::new();
    for (at, (mine, theirs, expected)) in cases.enumerate() {
        let (mine, theirs) = (spelled(mine), spelled(theirs));
        let what = format!("{isolation}, {settings:?}: {mine} | {theirs}");
        let name = format!("t{at}");
        let (one, two) = (session(place, &name).await, session(place, &name).await);
        rows(&one, &format!("SET atio.isolation = '{isolation}'")).await;
        for setting in settings {
            rows(&one, &format!("SET {setting}")).await;
        }
        let ending = race(&one, &two, (&mine, &theirs), &what).await;
        if ending != *expected {
            wrong.push(format!("{what}: {ending:?}"));
            continue;
        }
        if ending == Yes {
            let twin = session(place, &format!("{name}twin")).await;
            for sql in [&theirs, &mine] {
                rows(&twin, sql).await;
            }
            let expected = rows(&twin, CONTENT).await;
            assert_eq!(rows(&two, CONTENT).await, expected, "{what}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn statements_take_effect_both_unless_one_adds_a_row_that_the_other_selects() {
    for settings in JOINS {
        // Only a MERGE joins.
        let cases = CASES.iter();
        let cases = cases.filter(|(mine, _, _)| settings.is_empty() || !mine.starts_with("UPDATE"));
        check(&Place::memory(), "write-serializable", cases, settings).await;
    }
}

#[tokio::test]
async fn serializable_statement_stands_beside_an_insert_of_rows_that_it_does_not_select() {
    let cases = CASES.iter().chain(SERIALIZABLE);
    check(&Place::memory(), "serializable", cases, &[]).await;
}

/// Whoever changes more than a quarter of a file writes it anew, and all of its rows change.
#[tokio::test]
async fn statements_take_effect_both_only_if_they_mark_rows() {
    for (modulus, mode, expected) in [(10, "auto", Yes), (2, "auto", Removed), (2, "mark", Yes)] {
        let place = Place::memory();
        let (one, two) = (session(&place, "t").await, session(&place, "t").await);
        for ctx in [&one, &two] {
            rows(ctx, &format!("SET atio.delete_mode = '{mode}'")).await;
        }
        let update = |rest: i32| format!("UPDATE t SET x = {rest} WHERE id % {modulus} = {rest}");
        let (mine, theirs) = (update(0), update(1));
        let what = format!("{mode}: {mine}");
        let ending = race(&one, &two, (&mine, &theirs), &what).await;
        assert_eq!(ending, expected, "{what}");
    }
}

async fn merges_of_different_keys_at_once_take_effect_all(place: Place) {
    session(&place, "t").await;
    let mut tasks = JoinSet::new();
    for task in 0..3 {
        let ctx = session(&place, "t").await;
        tasks.spawn(async move {
            for at in 0..3 {
                // One that is there, and two that are new.
                let n = 1 + at * 3 + task;
                let sql = spelled(&format!("UPSERT ({n}), ({}), ({})", n + 40, n + 400));
                assert_eq!(row(&ctx, &sql).await, "3", "{sql}");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let ctx = session(&place, "t").await;
    let found = "SELECT count(*), count(DISTINCT id) FROM t";
    assert_eq!(row(&ctx, found).await, "58|58");
    let changed = "SELECT count(*) FROM t WHERE id < 10 AND x = id + 0.5";
    assert_eq!(row(&ctx, changed).await, "9");
}

/// The rows of a file that is not there cannot be asked for.
#[tokio::test]
async fn statement_is_in_conflict_with_rows_that_cannot_be_read_any_more() {
    let place = Place::memory();
    let Place::Memory(store) = &place else {
        panic!("it is in memory");
    };
    for (at, (mine, theirs)) in [
        (
            "UPDATE t SET x = -1 WHERE id % 2 = 0",
            "UPDATE t SET x = -2 WHERE id % 2 = 1",
        ),
        ("UPSERT (3), (500)", "UPSERT (4), (501)"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("t{at}");
        let (one, two) = (session(&place, &name).await, session(&place, &name).await);
        let files = "SELECT path FROM atio_files('t')";
        let before = rows(&two, files).await;
        let planned = one.sql(&spelled(mine)).await.unwrap();
        let planned = planned.create_physical_plan().await.unwrap();
        rows(&two, &spelled(theirs)).await;
        let after = rows(&two, files).await;
        let new: Vec<_> = after.iter().filter(|path| !before.contains(path)).collect();
        assert!(!new.is_empty());
        let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
        for object in objects {
            let is_new = |path: &&String| object.location.as_ref().ends_with(path.as_str());
            if new.iter().any(is_new) {
                store.delete(&object.location).await.unwrap();
            }
        }
        let error = collect(planned, one.task_ctx()).await.unwrap_err();
        let error = error.strip_backtrace();
        assert!(error.contains("has not seen were added"), "{error}");
        assert!(!error.contains("missing"), "{error}");
    }
}
