//! MERGE in a limited memory: of more rows than fit, and of few into a table that does not.

use super::ended::Ended;
use super::job::Job;
use crate::long_form::long;
use crate::query::{row, rows};
use crate::session::{limited_session_at, run, session_at};

/// What the pool of the session may give out, in bytes.
const POOL: usize = 64 * 1024 * 1024;
/// The bytes of a row.
const ROW: usize = 100;

/// Merges `of` rows, of which every second one is new, into a table of `rows`, by a query `source` of the
/// table `s`; tells how that ended, and the most memory that the process had, in kB.
async fn merge(rows: usize, of: usize, source: &str) -> (tempfile::TempDir, Ended, u64) {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().canonicalize().unwrap();
    let create = |name: &str| {
        format!(
            "CREATE EXTERNAL TABLE {name} (a BIGINT, b TEXT) STORED AS ATIO LOCATION '{}/{name}'",
            at.display()
        )
    };
    let insert = |name: &str, by: usize, to: usize| {
        format!(
            "INSERT INTO {name} SELECT value * {by}, concat(value, repeat('{name}', {ROW})) FROM generate_series(1, {to})"
        )
    };
    let statements = [
        create("t"),
        create("s"),
        insert("t", 1, rows),
        insert("s", 2, of),
        format!(
            "MERGE INTO t USING ({source}) AS s ON t.a = s.a \
             WHEN MATCHED THEN UPDATE SET b = s.b WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b)"
        ),
    ];
    let mut job = Job::new(&at, statements.into());
    job.pool = Some(POOL);
    let ended = job.run().await;
    let peak = ended
        .said
        .iter()
        .find_map(|line| line.strip_prefix("peak "));
    let peak = peak.unwrap().parse().unwrap();
    (directory, ended, peak)
}

/// How many rows the table has, and how many of them are from the source.
async fn counted(directory: &tempfile::TempDir) -> String {
    let counted = format!(
        "SELECT count(*), count(*) FILTER (WHERE b LIKE '%s') FROM atio_table('{}/t')",
        directory.path().canonicalize().unwrap().display()
    );
    row(&session_at(directory.path()), &counted).await
}

const MERGE: usize = 4;
const ALL: &str = "SELECT * FROM s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_of_more_rows_than_fit_into_memory_spills() {
    let rows = if long() { 2_000_000 } else { 700_000 };
    let (directory, ended, high) = merge(rows, rows, ALL).await;
    assert!(ended.done(MERGE), "{:?}", ended.said);
    // Every second row of the source is in the table, and the others are new.
    let expected = format!("{}|{rows}", rows + rows / 2);
    assert_eq!(counted(&directory).await, expected);

    let (_, ended, low) = merge(100, 100, ALL).await;
    assert!(ended.done(MERGE), "{:?}", ended.said);
    println!("{low} kB for few rows, {high} kB for {rows}");
    // What the pool does not count: encoders, the reader, and batches under way.
    let room = (2 * POOL / 1024) as u64 + 150_000;
    assert!(high < low + room, "{low} kB became {high} kB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merge_of_few_rows_into_a_table_larger_than_memory_finishes() {
    let (directory, ended, _) = merge(700_000, 1000, ALL).await;
    assert!(ended.done(MERGE), "{:?}", ended.said);
    assert_eq!(counted(&directory).await, "700000|1000");
}

#[tokio::test]
async fn join_sorts_where_neither_side_fits_and_equal_columns_are_all_it_compares() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().canonicalize().unwrap();
    let create = ["t", "s"].map(|name| {
        format!(
            "CREATE EXTERNAL TABLE {name} (a BIGINT, b BIGINT) STORED AS ATIO LOCATION '{}/{name}'",
            at.display()
        )
    });
    let ctx = session_at(&at);
    for (name, create) in ["t", "s"].iter().zip(&create) {
        run(&ctx, create).await.unwrap();
        let insert =
            format!("INSERT INTO {name} SELECT value, value AS b FROM generate_series(1, 4000)");
        run(&ctx, &insert).await.unwrap();
    }
    let (equal, more) = ("t.a = s.a", "t.a = s.a AND t.b < s.b");
    let few = "(SELECT * FROM s LIMIT 10)";
    for (pool, hashes, source, on, sorts) in [
        (POOL, true, "s", equal, false),
        (POOL, false, "s", equal, true),
        (POOL / 256, true, "s", equal, true),
        (POOL / 256, true, few, equal, false),
        (POOL / 256, true, "s", more, false),
        (POOL, false, "s", more, false),
    ] {
        let ctx = limited_session_at(&at, pool);
        let set = format!("SET datafusion.optimizer.prefer_hash_join = {hashes}");
        for statement in create.iter().chain([&set]) {
            run(&ctx, statement).await.unwrap();
        }
        let merge = format!(
            "MERGE INTO t USING {source} AS s ON {on} WHEN MATCHED THEN DELETE \
             WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b) WHEN NOT MATCHED BY SOURCE THEN DELETE"
        );
        let plan = rows(&ctx, &format!("EXPLAIN {merge}")).await.join("\n");
        let found = plan.contains("SortMergeJoinExec") && !plan.contains("HashJoinExec");
        assert_eq!(found, sorts, "{pool} {hashes} {source} {on}: {plan}");
    }
}
