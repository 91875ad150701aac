//! The statements that the sweeps run.

#![cfg(test)]

use std::sync::Arc;

use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path;

use super::attempt::{Case, Rows, in_runtime, prepared, some};
use super::invariants::{EXPIRE_ALL, open};

const TABLE: &str = "base/t";
const MANAGED: &str = "base/warehouse/public/s";
const CREATE: &str = "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION 'memory://test/base/t' \
     OPTIONS ('atio.target_file_size' '300', 'atio.max_row_group_rows' '100')";

fn case(name: &'static str, sql: &str) -> Case {
    Case {
        name,
        root: TABLE,
        store: prepared(&[
            CREATE,
            "INSERT INTO t VALUES (1), (2)",
            "INSERT INTO t VALUES (3)",
        ]),
        open: vec![open(TABLE)],
        sql: sql.to_owned(),
        before: some(&[1, 2, 3]),
        after: some(&[1, 2, 3]),
        between: None,
        repeatable: false,
        gives: None,
    }
}

fn writes(name: &'static str, sql: &str, after: &[i64]) -> Case {
    Case {
        after: some(after),
        ..case(name, sql)
    }
}

/// A statement that changes nothing and gives `gives`.
fn reads(name: &'static str, sql: &str, gives: &[&str]) -> Case {
    Case {
        gives: Some(gives.iter().map(|row| (*row).to_owned()).collect()),
        ..case(name, sql)
    }
}

pub(super) fn insert() -> Case {
    writes("INSERT", "INSERT INTO t VALUES (4), (5)", &[1, 2, 3, 4, 5])
}

pub(super) fn insert_files() -> Case {
    let rows: Vec<_> = [1, 2, 3].into_iter().chain(1001..=1400).collect();
    let sql = "INSERT INTO t SELECT value FROM generate_series(1001, 1400)";
    let mut case = writes("INSERT of several files", sql, &rows);
    for setting in [
        "datafusion.execution.objectstore_writer_buffer_size = 100",
        "datafusion.execution.parquet.allow_single_file_parallelism = false",
        "datafusion.execution.batch_size = 100",
    ] {
        case.open.push(format!("SET {setting}"));
    }
    case
}

pub(super) fn checked_update() -> Case {
    let sql = "UPDATE t SET a = a * 10 WHERE a <> 2";
    let mut case = writes("UPDATE with checks and retries", sql, &[2, 10, 30]);
    for setting in [
        "atio.retries = 3",
        "atio.checks.rows = 'SELECT count(*) = 3 AND (SELECT count(*) FROM removed) = 2 FROM new'",
    ] {
        case.open.push(format!("SET {setting}"));
    }
    case
}

pub(super) fn overwrite() -> Case {
    let sql = "INSERT OVERWRITE t SELECT a * 10 FROM t";
    writes("INSERT OVERWRITE", sql, &[10, 20, 30])
}

pub(super) fn overwrite_with_nothing() -> Case {
    let sql = "INSERT OVERWRITE t SELECT a FROM t WHERE a < 0";
    writes("INSERT OVERWRITE of no rows", sql, &[])
}

pub(super) fn delete() -> Case {
    writes("DELETE", "DELETE FROM t WHERE a = 1", &[2, 3])
}

/// No data file is read or written.
pub(super) fn delete_of_a_whole_file() -> Case {
    writes(
        "DELETE of a whole file",
        "DELETE FROM t WHERE a > 2",
        &[1, 2],
    )
}

pub(super) fn update() -> Case {
    let sql = "UPDATE t SET a = a + 10 WHERE a IN (SELECT max(a) FROM t)";
    writes("UPDATE", sql, &[1, 2, 13])
}

pub(super) fn merge() -> Case {
    let sql = "MERGE INTO t USING (VALUES (1), (2), (7)) AS s(a) ON t.a = s.a \
               WHEN MATCHED AND s.a = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET a = 20 \
               WHEN NOT MATCHED THEN INSERT VALUES (s.a)";
    writes("MERGE", sql, &[3, 7, 20])
}

const MARKS: &str = "SET atio.delete_mode = 'mark'";

/// The table with a file of which a row is marked as deleted.
fn marked() -> InMemory {
    prepared(&[
        CREATE,
        MARKS,
        "INSERT INTO t VALUES (1), (2), (9)",
        "INSERT INTO t VALUES (3)",
        "DELETE FROM t WHERE a = 9",
    ])
}

/// Statements that mark rows of a file of which one is marked, and such that find it marked.
pub(super) fn deletion_vectors() -> Vec<Case> {
    let mut cases = vec![delete(), update(), merge(), overwrite(), truncate()];
    let sql = "UPDATE t SET a = 10 WHERE a = 1 OR a = 3";
    cases.push(writes("UPDATE of two files", sql, &[2, 10, 10]));
    cases.push(case("expire_snapshots", EXPIRE_ALL));
    cases.push(reads("SELECT", "SELECT a FROM t", &["1", "2", "3"]));
    let rollback = "SELECT committed_as FROM atio_rollback('t', version => 1)";
    cases.push(Case {
        gives: Some(vec!["4".to_owned()]),
        ..writes("atio_rollback", rollback, &[1, 2, 9])
    });
    for case in &mut cases {
        case.store = marked();
        case.open.push(MARKS.to_owned());
    }
    cases
}

pub(super) fn truncate() -> Case {
    writes("TRUNCATE", "TRUNCATE TABLE t", &[])
}

/// Two groups of files, and a version for each.
pub(super) fn compact() -> Case {
    let statements = [
        CREATE,
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (2)",
    ];
    let more = ["INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (4)"];
    let outcome = "compacted".to_owned();
    Case {
        store: prepared(&[statements.as_slice(), &more].concat()),
        before: some(&[1, 2, 3, 4]),
        after: some(&[1, 2, 3, 4]),
        gives: Some(vec![outcome.clone(), outcome]),
        ..case(
            "atio_compact",
            "SELECT outcome FROM atio_compact('t', target_file_size => 1500, dry_run => false)",
        )
    }
}

pub(super) fn insert_nothing() -> Case {
    let sql = "INSERT INTO t SELECT a FROM t WHERE a < 0";
    writes("INSERT of no rows", sql, &[1, 2, 3])
}

pub(super) fn merging_insert() -> Case {
    let mut statements = vec![CREATE.to_owned()];
    statements.extend((1..=8).map(|n| format!("INSERT INTO t VALUES ({n})")));
    let statements: Vec<_> = statements.iter().map(String::as_str).collect();
    Case {
        store: prepared(&statements),
        before: some(&[1, 2, 3, 4, 5, 6, 7, 8]),
        after: some(&[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ..case("INSERT that merges manifests", "INSERT INTO t VALUES (9)")
    }
}

pub(super) fn create() -> Case {
    Case {
        store: InMemory::new(),
        open: Vec::new(),
        before: None,
        after: some(&[]),
        // It creates or opens, so it can fail to open what it has created.
        repeatable: true,
        ..case("CREATE EXTERNAL TABLE", CREATE)
    }
}

pub(super) fn create_as() -> Case {
    Case {
        root: MANAGED,
        store: InMemory::new(),
        open: Vec::new(),
        before: None,
        between: Some(some(&[])),
        ..writes(
            "CREATE TABLE AS",
            "CREATE TABLE w.public.s AS SELECT value AS a FROM generate_series(1, 3)",
            &[1, 2, 3],
        )
    }
}

pub(super) fn drop_table() -> Case {
    Case {
        root: MANAGED,
        store: prepared(&[
            "CREATE TABLE w.public.s AS SELECT value AS a FROM generate_series(1, 3)",
            "INSERT INTO w.public.s VALUES (4)",
        ]),
        open: vec!["SELECT * FROM w.public.s".to_owned()],
        before: some(&[1, 2, 3, 4]),
        after: None,
        // The table is gone before its objects are.
        repeatable: true,
        ..case("DROP TABLE", "DROP TABLE w.public.s")
    }
}

/// The table with a tag on version 1 and one on version 3; its newest version is 4.
fn tagged() -> InMemory {
    prepared(&[
        CREATE,
        "INSERT INTO t VALUES (1), (2)",
        "INSERT INTO t VALUES (3)",
        "SELECT * FROM atio_tag('t', tag => 'first', version => 1)",
        "SELECT * FROM atio_tag('t', tag => 'third')",
    ])
}

/// Commits without rows of their own: each gives what it is about, and the version it made.
pub(super) fn marks() -> Vec<Case> {
    let tags = |name, sql: &str, gives: &str| Case {
        store: tagged(),
        ..reads(name, sql, &[gives])
    };
    vec![
        reads(
            "the first atio_tag",
            "SELECT * FROM atio_tag('t', tag => 'best', version => 1, message => 'why')",
            &["best|1|3"],
        ),
        tags(
            "atio_tag beside others",
            "SELECT * FROM atio_tag('t', tag => 'best', version => 2)",
            "best|2|5",
        ),
        tags(
            "atio_tag that moves one",
            "SELECT * FROM atio_tag('t', tag => 'first', version => 2, replace => true)",
            "first|2|5",
        ),
        tags(
            "atio_untag",
            "SELECT * FROM atio_untag('t', tag => 'first')",
            "first|1|5",
        ),
    ]
}

pub(super) fn rollback() -> Case {
    Case {
        gives: Some(vec!["1|3".to_owned()]),
        ..writes(
            "atio_rollback",
            "SELECT * FROM atio_rollback('t', version => 1)",
            &[1, 2],
        )
    }
}

/// Back to rows that other files hold.
pub(super) fn rollback_of_an_overwrite() -> Case {
    Case {
        store: prepared(&[
            CREATE,
            "INSERT INTO t VALUES (1), (2)",
            "INSERT INTO t VALUES (3)",
            "INSERT OVERWRITE t SELECT a * 10 FROM t",
            "SELECT * FROM atio_tag('t', tag => 'good', version => 2)",
        ]),
        before: some(&[10, 20, 30]),
        gives: Some(vec!["2|5".to_owned()]),
        ..writes(
            "atio_rollback of an overwrite",
            "SELECT * FROM atio_rollback('t', tag => 'good')",
            &[1, 2, 3],
        )
    }
}

/// The statement that sets the key of the next one.
pub(super) const SET_KEY: &str = "SET atio.idempotency_key = 'load'";

pub(super) fn keyed_insert() -> Case {
    let mut case = Case {
        name: "INSERT with a key",
        ..insert()
    };
    case.open.push(SET_KEY.to_owned());
    case
}

/// A table with versions to expire, and with objects that no version names.
fn worn() -> (InMemory, Rows) {
    let store = Arc::new(prepared(&[
        CREATE,
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (2)",
        "INSERT OVERWRITE t VALUES (10)",
        "INSERT INTO t VALUES (20)",
    ]));
    let txn = "0190000000007000a000000000000001";
    in_runtime(async {
        for name in [
            format!("data/{txn}/00000-00000000000000aa.parquet"),
            format!("metadata/manifest-{txn}-0.json"),
        ] {
            let path = Path::from(format!("{TABLE}/{name}"));
            store.put(&path, "abandoned".into()).await.unwrap();
        }
    });
    (store.fork(), some(&[10, 20]))
}

pub(super) fn expire() -> Case {
    let (store, rows) = worn();
    Case {
        store,
        before: rows.clone(),
        after: rows,
        ..case("expire_snapshots", EXPIRE_ALL)
    }
}

/// Two of the versions are tagged.
pub(super) fn expire_tagged() -> Case {
    Case {
        store: tagged(),
        ..case("expire_snapshots beside tags", EXPIRE_ALL)
    }
}

pub(super) fn dry_run() -> Case {
    let sql = EXPIRE_ALL.replace("false", "true");
    Case { sql, ..expire() }
}

/// Statements that only read.
pub(super) fn reading() -> Vec<Case> {
    vec![
        reads(
            "opening",
            &open(TABLE).replace("TABLE t", "TABLE IF NOT EXISTS u"),
            &[],
        ),
        reads("SELECT", "SELECT a FROM t", &["1", "2", "3"]),
        reads("SELECT count(*)", "SELECT count(*) FROM t", &["3"]),
        reads(
            "SELECT of a version",
            "SELECT a FROM atio_table('t', version => 1)",
            &["1", "2"],
        ),
        reads(
            "SELECT AS OF",
            "SELECT a FROM atio_table('t', as_of => now())",
            &["1", "2", "3"],
        ),
        reads(
            "a self-join",
            "SELECT x.a FROM t x JOIN t y ON x.a = y.a WHERE y.a > 1",
            &["2", "3"],
        ),
        reads(
            "atio_history",
            "SELECT version, rows FROM atio_history('t')",
            &["0|0", "1|2", "2|3"],
        ),
        reads(
            "atio_files",
            "SELECT rows FROM atio_files('t', version => 2)",
            &["1", "2"],
        ),
    ]
}
