//! Effects happen when a plan runs, once and completely, and never before.

#![cfg(test)]

use datafusion::prelude::SessionContext;
use futures::StreamExt;

use crate::objects::{Objects, assert_same, in_t, objects};
use crate::query::{failure, open, row, rows, texts};
use crate::session::{Place, on_every_place};

on_every_place!(
    expiry_that_is_not_run_deletes_nothing,
    expiry_that_is_run_deletes_what_its_dry_run_named,
    expiry_run_twice_finds_nothing_more_to_do,
    expiry_is_complete_before_its_first_row_is_read,
    expiry_in_a_statement_that_runs_it_twice_loses_nothing,
    write_that_is_not_run_writes_nothing,
    name_or_rollback_that_is_not_run_changes_nothing,
    name_or_rollback_that_is_run_twice_changes_nothing_more,
    what_describes_a_commit_is_used_up_by_one_statement_of_one_session,
    write_of_no_rows_makes_a_version_only_where_it_removes_some,
    statement_of_definition_that_is_explained_changes_nothing,
);

const EXPIRE: &str = "expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => false)";
const DRY_RUN: &str = "expire_snapshots('t', keep_for => INTERVAL '0 days')";

/// A table `t` with versions 0 to 5 of which only the newest is needed.
async fn worn(place: &Place) -> (SessionContext, Objects) {
    let ctx = place.session();
    open(&ctx, place, "t").await;
    for n in 1..=4 {
        rows(&ctx, &format!("INSERT INTO t VALUES ({n})")).await;
    }
    rows(&ctx, "INSERT OVERWRITE t VALUES (10), (20)").await;
    let before = objects(place).await;
    (ctx, before)
}

async fn expiry_that_is_not_run_deletes_nothing(place: Place) {
    let (ctx, before) = worn(&place).await;
    let unharmed = async |what: &str| assert_same(&before, &objects(&place).await, what);

    for sql in [
        format!("EXPLAIN SELECT * FROM {EXPIRE}"),
        format!("EXPLAIN VERBOSE SELECT * FROM {EXPIRE}"),
        format!("EXPLAIN FORMAT TREE SELECT count(*) FROM {EXPIRE}"),
        format!("SELECT * FROM {EXPIRE} LIMIT 0"),
        format!("SELECT path FROM {EXPIRE} WHERE false"),
        format!("SELECT a FROM t WHERE false AND a IN (SELECT bytes FROM {EXPIRE})"),
        format!("PREPARE p AS SELECT * FROM {EXPIRE}"),
        format!("CREATE VIEW v AS SELECT * FROM {EXPIRE}"),
        format!("DESCRIBE SELECT * FROM {EXPIRE}"),
        format!("SELECT * FROM {DRY_RUN}"),
        format!("SELECT count(*) FROM {DRY_RUN}"),
        format!("EXPLAIN ANALYZE SELECT * FROM {DRY_RUN}"),
        "SELECT count(*) FROM expire_snapshots('t')".to_owned(),
        "SELECT table_name, column_name FROM information_schema.columns".to_owned(),
    ] {
        rows(&ctx, &sql).await;
        unharmed(&sql).await;
    }

    let frame = ctx.sql(&format!("SELECT * FROM {EXPIRE}")).await.unwrap();
    unharmed("a frame").await;
    let plan = frame.clone().create_physical_plan().await.unwrap();
    unharmed("a physical plan").await;
    drop((frame, plan));
    ctx.table("v").await.unwrap();
    unharmed("looking a view up").await;

    // What is left of it works: nothing above has used anything up.
    let named = row(&ctx, &format!("SELECT count(*) FROM {DRY_RUN}")).await;
    assert_ne!(named, "0");
    assert_eq!(row(&ctx, "SELECT count(*) FROM v").await, named);
    assert_ne!(before, objects(&place).await, "running the view deletes");
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["10", "20"]);
}

async fn expiry_that_is_run_deletes_what_its_dry_run_named(place: Place) {
    for run in [
        format!("SELECT count(*) FROM {EXPIRE}"),
        format!("SELECT count(path) FROM {EXPIRE} WHERE deleted"),
        format!("EXPLAIN ANALYZE SELECT * FROM {EXPIRE}"),
    ] {
        let place = match place {
            Place::Memory(_) => Place::memory(),
            Place::Disk(_) => Place::disk(),
        };
        let (ctx, before) = worn(&place).await;
        let named = rows(&ctx, &format!("SELECT path FROM {DRY_RUN}")).await;
        assert!(!named.is_empty());
        let counted = rows(&ctx, &run).await;
        if !run.starts_with("EXPLAIN") {
            assert_eq!(counted, [named.len().to_string()], "{run}");
        }

        let after = objects(&place).await;
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        let mut gone: Vec<_> = gone.map(|name| in_t(name)).collect();
        gone.sort_unstable();
        assert_eq!(gone, named, "{run}");
        assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["10", "20"]);
        let error = failure(&ctx, "SELECT * FROM atio_table('t', version => 4)").await;
        assert!(
            error.contains("version 4 of 't' has expired; readable versions are 5 to 6"),
            "{error}"
        );
    }
}

async fn expiry_run_twice_finds_nothing_more_to_do(place: Place) {
    let (ctx, _) = worn(&place).await;
    let frame = ctx
        .sql(&format!("SELECT path FROM {EXPIRE}"))
        .await
        .unwrap();
    assert!(!texts(&frame.clone().collect().await.unwrap()).is_empty());
    let once = objects(&place).await;

    assert!(texts(&frame.collect().await.unwrap()).is_empty());
    assert_same(&once, &objects(&place).await, "the second expiry");
    assert_eq!(
        row(&ctx, &format!("SELECT count(*) FROM {EXPIRE}")).await,
        "0"
    );
    assert_same(&once, &objects(&place).await, "the third expiry");
    assert_eq!(
        row(&ctx, "SELECT max(version) FROM atio_history('t')").await,
        "6"
    );
}

async fn expiry_is_complete_before_its_first_row_is_read(place: Place) {
    let (ctx, _) = worn(&place).await;
    let frame = ctx
        .sql(&format!("SELECT path FROM {EXPIRE}"))
        .await
        .unwrap();
    let mut stream = frame.execute_stream().await.unwrap();
    assert_ne!(stream.next().await.unwrap().unwrap().num_rows(), 0);
    let after_one = objects(&place).await;
    drop(stream);
    assert_eq!(
        row(&ctx, &format!("SELECT count(*) FROM {EXPIRE}")).await,
        "0"
    );
    assert_same(
        &after_one,
        &objects(&place).await,
        "an expiry after one whose rows were not read",
    );

    let place = match place {
        Place::Memory(_) => Place::memory(),
        Place::Disk(_) => Place::disk(),
    };
    let (ctx, _) = worn(&place).await;
    rows(&ctx, &format!("SELECT path FROM {EXPIRE} LIMIT 1")).await;
    assert_eq!(
        row(&ctx, &format!("SELECT count(*) FROM {EXPIRE}")).await,
        "0"
    );
}

async fn expiry_in_a_statement_that_runs_it_twice_loses_nothing(place: Place) {
    let (ctx, _) = worn(&place).await;
    rows(&ctx, &format!("WITH e AS (SELECT * FROM {EXPIRE}) SELECT count(*) FROM e x FULL JOIN e y ON x.path = y.path"))
        .await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["10", "20"]);
    assert_eq!(
        row(&ctx, &format!("SELECT count(*) FROM {EXPIRE}")).await,
        "0"
    );
    assert_eq!(
        rows(
            &place.session(),
            &format!("SELECT * FROM atio_table('{}/t')", place.root())
        )
        .await,
        ["10", "20"]
    );
}

async fn write_that_is_not_run_writes_nothing(place: Place) {
    let (ctx, before) = worn(&place).await;
    let unharmed = async |what: &str| assert_same(&before, &objects(&place).await, what);
    for sql in [
        "EXPLAIN INSERT INTO t VALUES (1)",
        "EXPLAIN VERBOSE INSERT INTO t SELECT a + 1 FROM t",
        "EXPLAIN INSERT OVERWRITE t SELECT a FROM t WHERE a > 10",
        "EXPLAIN INSERT OVERWRITE t SELECT a FROM t WHERE false",
        "PREPARE i AS INSERT INTO t VALUES (1)",
    ] {
        rows(&ctx, sql).await;
        unharmed(sql).await;
    }
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT OVERWRITE t SELECT a FROM t",
    ] {
        let frame = ctx.sql(sql).await.unwrap();
        unharmed(sql).await;
        let plan = frame.create_physical_plan().await.unwrap();
        unharmed(sql).await;
        drop(plan);
        unharmed(sql).await;
    }
    // Analyzing runs the statement, and says so by doing it.
    rows(&ctx, "EXPLAIN ANALYZE INSERT INTO t VALUES (30)").await;
    rows(&ctx, "EXECUTE i").await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "10", "20", "30"]);
}

/// Functions that make a version without rows of its own.
const MARKS: [&str; 4] = [
    "atio_tag('t', tag => 'new', version => 2)",
    "atio_tag('t', tag => 'old', version => 2, replace => true)",
    "atio_untag('t', tag => 'old')",
    "atio_rollback('t', version => 2)",
];

async fn name_or_rollback_that_is_not_run_changes_nothing(place: Place) {
    let (ctx, _) = worn(&place).await;
    rows(&ctx, "SELECT * FROM atio_tag('t', tag => 'old')").await;
    let before = objects(&place).await;
    for (at, mark) in MARKS.iter().enumerate() {
        let unharmed = async |what: &str| assert_same(&before, &objects(&place).await, what);
        for sql in [
            format!("EXPLAIN SELECT * FROM {mark}"),
            format!("EXPLAIN VERBOSE SELECT * FROM {mark}"),
            format!("SELECT * FROM {mark} LIMIT 0"),
            format!("SELECT version FROM {mark} WHERE false"),
            format!("PREPARE p{at} AS SELECT * FROM {mark}"),
            format!("CREATE VIEW v{at} AS SELECT * FROM {mark}"),
            format!("DESCRIBE SELECT * FROM {mark}"),
            "SELECT table_name, column_name FROM information_schema.columns".to_owned(),
        ] {
            rows(&ctx, &sql).await;
            unharmed(&sql).await;
        }
        let frame = ctx.sql(&format!("SELECT * FROM {mark}")).await.unwrap();
        let plan = frame.clone().create_physical_plan().await.unwrap();
        drop((frame, plan));
        unharmed(mark).await;
    }
    // What is left of it works, in whatever way it is run.
    rows(&ctx, "SELECT count(*) FROM v0").await;
    rows(&ctx, "EXECUTE p1").await;
    let tags = "SELECT tag, version FROM atio_tags('t')";
    assert_eq!(rows(&ctx, tags).await, ["new|2", "old|2"]);
    rows(&ctx, &format!("EXPLAIN ANALYZE SELECT * FROM {}", MARKS[2])).await;
    assert_eq!(rows(&ctx, tags).await, ["new|2"]);
    rows(&ctx, &format!("SELECT version FROM {} LIMIT 1", MARKS[3])).await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "2"]);
}

async fn name_or_rollback_that_is_run_twice_changes_nothing_more(place: Place) {
    let (ctx, _) = worn(&place).await;
    rows(&ctx, "SELECT * FROM atio_tag('t', tag => 'old')").await;
    for (version, mark) in [(7, MARKS[0]), (8, MARKS[1]), (9, MARKS[2]), (10, MARKS[3])] {
        let sql = format!(
            "WITH m AS (SELECT * FROM {mark}) SELECT count(*) FROM m x FULL JOIN m y ON x.version = y.version"
        );
        assert_eq!(row(&ctx, &sql).await, "1");
        if mark == MARKS[2] {
            // A name that is gone is an error to those who run it again.
            let error = crate::query::failure(&ctx, &format!("SELECT * FROM {mark}")).await;
            assert!(error.contains("has no tag 'old'"), "{error}");
            continue;
        }
        let frame = ctx.sql(&format!("SELECT * FROM {mark}")).await.unwrap();
        for _ in 0..2 {
            let again = texts(&frame.clone().collect().await.unwrap());
            assert!(again.concat().ends_with("2|NULL"), "{mark}: {again:?}");
        }
        assert_eq!(
            row(&ctx, "SELECT max(version) FROM atio_history('t')").await,
            version.to_string()
        );
    }
}

async fn what_describes_a_commit_is_used_up_by_one_statement_of_one_session(place: Place) {
    let (ctx, _) = worn(&place).await;
    let property = ("trainedBy".to_owned(), "Run 4".to_owned());
    let options = atio::CommitOptions {
        message: Some("from Rust".to_owned()),
        properties: [property].into(),
        idempotency_key: Some("Load".to_owned()),
        ..atio::CommitOptions::default()
    };
    rows(&ctx, "SET atio.message = 'of the session'").await;
    let once = atio::with_commit(&ctx, options.clone()).unwrap();
    // A frame is planned before the session knows what it is to be described by.
    let insert = ctx.sql("INSERT INTO t VALUES (5)").await.unwrap();
    rows(&once, "INSERT INTO t VALUES (6)").await;
    assert_eq!(texts(&insert.collect().await.unwrap()), ["1"]);
    rows(&once, "INSERT INTO t VALUES (7)").await;
    let again = atio::with_commit(&once, options).unwrap();
    assert_eq!(row(&again, "INSERT INTO t VALUES (8)").await, "0");
    let history = "SELECT version, message, properties['trainedBy'], idempotency_key \
                   FROM atio_history('t') WHERE version > 5";
    assert_eq!(
        rows(&ctx, history).await,
        [
            "6|from Rust|Run 4|Load",
            "7|of the session|NULL|NULL",
            "8|NULL|NULL|NULL"
        ]
    );
    let wrong = atio::CommitOptions {
        idempotency_key: Some(String::new()),
        ..Default::default()
    };
    let error = atio::with_commit(&ctx, wrong).err().unwrap().to_string();
    assert!(
        error.contains("an idempotency key must not be empty"),
        "{error}"
    );
}

async fn write_of_no_rows_makes_a_version_only_where_it_removes_some(place: Place) {
    let (ctx, before) = worn(&place).await;
    assert_eq!(
        row(&ctx, "INSERT INTO t SELECT a FROM t WHERE a < 0").await,
        "0"
    );
    assert_eq!(
        row(&ctx, "INSERT INTO t SELECT a FROM t LIMIT 0").await,
        "0"
    );
    assert_same(&before, &objects(&place).await, "an INSERT of no rows");

    assert_eq!(
        row(&ctx, "INSERT OVERWRITE t SELECT a FROM t WHERE a < 0").await,
        "0"
    );
    assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, "0");
    let newest =
        "SELECT version, operation, rows_removed, rows FROM atio_history('t') WHERE version > 5";
    assert_eq!(rows(&ctx, newest).await, ["6|overwrite|2|0"]);
    assert_eq!(
        rows(&ctx, "SELECT a FROM atio_table('t', version => 5)").await,
        ["10", "20"]
    );
}

async fn statement_of_definition_that_is_explained_changes_nothing(place: Place) {
    let (ctx, _) = worn(&place).await;
    rows(&ctx, "CREATE TABLE w.public.s AS SELECT 1 AS x").await;
    let before = objects(&place).await;
    let location = format!("{}/fresh", place.root());
    for sql in [
        "EXPLAIN CREATE TABLE w.public.fresh (a INT)".to_owned(),
        "EXPLAIN CREATE TABLE w.public.fresh AS SELECT a FROM t".to_owned(),
        format!("EXPLAIN CREATE EXTERNAL TABLE fresh (a INT) STORED AS ATIO LOCATION '{location}'"),
        "EXPLAIN DROP TABLE w.public.s".to_owned(),
        "CREATE TABLE IF NOT EXISTS w.public.s AS SELECT 2 AS x".to_owned(),
    ] {
        // The engine may refuse to explain some of these; none may act.
        let _ = crate::session::run(&ctx, &sql).await;
        assert_same(&before, &objects(&place).await, &sql);
    }
    assert_eq!(rows(&ctx, "SELECT x FROM w.public.s").await, ["1"]);
}
