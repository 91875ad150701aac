//! Compactions that are refused or not run, and write nothing.

use atio::{AtioTable, CommitOptions, CompactOptions, ErrorKind, VersionRef};
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::path::Path;
use datafusion::prelude::{col, lit};

use super::{appended, files, for_good};
use crate::objects::{assert_same, assert_settles_to, objects};
use crate::query::{failure, row, rows, texts};
use crate::session::{Place, run};

#[tokio::test]
async fn what_cannot_be_compacted_leaves_nothing_behind() {
    let place = Place::memory();
    let ctx = appended(&place, 3).await;
    let table = AtioTable::named(&ctx, "t").await.unwrap();
    let before = objects(&place).await;
    let refused = async |options: CompactOptions| {
        let error = table.compact(&ctx, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_settles_to(&before, &place, &error.to_string()).await;
        error.to_string()
    };
    for (options, says) in [
        (
            CompactOptions {
                target_file_size: Some(0),
                ..for_good()
            },
            "a file cannot have 0 bytes",
        ),
        (
            CompactOptions {
                filter: Some(col("b").is_null()),
                ..for_good()
            },
            "the condition of the compaction cannot be used for 't'",
        ),
        (
            CompactOptions {
                filter: Some(col("a") + lit(1)),
                ..for_good()
            },
            "must be true or false, and it is of the type Int64",
        ),
        (
            CompactOptions {
                order_by: vec![col("b").sort(true, true)],
                ..for_good()
            },
            "the order of the compaction cannot be used for 't'",
        ),
        (
            CompactOptions {
                commit: CommitOptions {
                    retries: 1,
                    ..CommitOptions::default()
                },
                ..for_good()
            },
            "a compaction has no query that could be run again",
        ),
    ] {
        let said = refused(options).await;
        assert!(said.contains(says), "{said}");
    }
    let old = table.at(2).await.unwrap();
    let error = old.compact(&ctx, for_good()).await.unwrap_err();
    assert!(
        error.to_string().contains("only the newest version"),
        "{error}"
    );
    // A sort that fails on its way: the rows are there, and files were begun.
    let fails = CompactOptions {
        order_by: vec![(lit(1_i64) / (col("a") - lit(2_i64))).sort(true, false)],
        ..for_good()
    };
    let error = table.compact(&ctx, fails).await.unwrap_err();
    assert!(error.to_string().contains("cannot compact 't'"), "{error}");
    assert_settles_to(&before, &place, "a sort that fails").await;
    assert_eq!(table.files(VersionRef::Newest).await.unwrap().len(), 3);
    // A data file that lost its rows. Of a file with one row its statistics tell all.
    rows(&ctx, "INSERT OVERWRITE t VALUES (1), (2)").await;
    rows(&ctx, "INSERT INTO t VALUES (3)").await;
    let before = objects(&place).await;
    let path = row(&ctx, "SELECT path FROM atio_files('t') WHERE rows = 2").await;
    let Place::Memory(store) = &place else {
        panic!()
    };
    let path = Path::from(format!("base/t/{path}"));
    assert!(before.contains_key(path.as_ref()));
    store.put(&path, "gone".into()).await.unwrap();
    let damaged = objects(&place).await;
    let error = table.compact(&ctx, for_good()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_settles_to(&damaged, &place, "a damaged file").await;
    assert_same(&damaged, &objects(&place).await, "a damaged file");
}

#[tokio::test]
async fn compaction_that_is_not_run_writes_nothing() {
    let place = Place::memory();
    let ctx = appended(&place, 3).await;
    let before = objects(&place).await;
    let compact = "atio_compact('t', dry_run => false)";
    for sql in [
        format!("EXPLAIN SELECT * FROM {compact}"),
        format!("EXPLAIN VERBOSE SELECT * FROM {compact}"),
        format!("SELECT * FROM {compact} LIMIT 0"),
        format!("SELECT outcome FROM {compact} WHERE false"),
        format!("PREPARE p AS SELECT * FROM {compact}"),
        format!("CREATE VIEW v AS SELECT * FROM {compact}"),
        format!("DESCRIBE SELECT * FROM {compact}"),
        "SELECT * FROM atio_compact('t')".to_owned(),
        "EXPLAIN ANALYZE SELECT * FROM atio_compact('t', order_by => 'a')".to_owned(),
    ] {
        rows(&ctx, &sql).await;
        assert_same(&before, &objects(&place).await, &sql);
    }
    let insert = format!("INSERT INTO t SELECT rows FROM {compact}");
    rows(&ctx, "SET atio.retries = 1").await;
    let said = failure(&ctx, &insert).await;
    assert!(
        said.contains("this statement calls atio_compact, which would be done again"),
        "{said}"
    );
    assert_settles_to(&before, &place, &insert).await;
    // It is complete before its first row, and the work of a plan that has it twice is done once.
    let twice = format!(
        "WITH c AS (SELECT * FROM {compact}) SELECT x.outcome FROM c x JOIN c y ON x.rows = y.rows"
    );
    rows(&ctx, "SELECT count(*) FROM v").await;
    assert_eq!(files(&ctx).await, 1);
    rows(&ctx, "INSERT INTO t VALUES (4)").await;
    assert_eq!(rows(&ctx, &twice).await, ["compacted"]);
    assert_eq!(
        row(&ctx, "SELECT max(version) FROM atio_history('t')").await,
        "6"
    );
    let ended = run(&ctx, "EXECUTE p").await.unwrap();
    assert!(texts(&ended).is_empty());
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "2", "3", "4"]);
}
