//! What sessions that may not create, drop or write leave as it is.

use std::sync::Arc;

use atio::{AtioCatalog, AtioPolicy, PurgeOptions, UndropOptions};

use super::{Host, NotAllowed, create};
use crate::bad_inputs::attempt;
use crate::objects::assert_same;
use crate::query::{failure, rows};

#[tokio::test]
async fn session_that_may_not_create_opens_reads_and_writes() {
    let host = Host::new().await;
    let ctx = host.session(AtioPolicy::default().with_create(false));
    let catalog = AtioCatalog::open(&ctx, &host.path("w")).unwrap();
    ctx.register_catalog("w", Arc::new(catalog));
    let before = host.files();
    for sql in [
        create("x", &host.path("data/a/new")),
        "CREATE TABLE w.public.x (a INT)".to_owned(),
        "CREATE TABLE w.public.x AS SELECT 1 AS a".to_owned(),
        "CREATE SCHEMA w.more".to_owned(),
    ] {
        let failure = attempt(&ctx, &sql).await.unwrap_err();
        failure.assert(8, &sql, Some(NotAllowed), &["may not create or drop"]);
        assert_same(&before, &host.files(), &sql);
    }
    assert!(!host.place.path().join("data/a/new").exists());
    rows(&ctx, &create("t", &host.path("data/a/t"))).await;
    rows(&ctx, "INSERT INTO t VALUES (2)").await;
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1", "2"]);
    rows(&ctx, "CREATE TABLE m AS SELECT 1 AS a").await;
}

#[tokio::test]
async fn session_that_may_not_drop_keeps_the_tables_of_a_warehouse() {
    let host = Host::new().await;
    let all = host.session(AtioPolicy::default());
    let warehouse = host.path("w");
    let catalog = AtioCatalog::open(&all, &warehouse).unwrap();
    all.register_catalog("w", Arc::new(catalog));
    rows(&all, "CREATE TABLE w.public.x AS SELECT 1 AS a").await;
    rows(&all, "CREATE SCHEMA w.empty").await;
    for policy in [
        AtioPolicy::default().with_create(false),
        AtioPolicy::default().with_write(false),
    ] {
        let ctx = host.session(policy);
        let catalog = Arc::new(AtioCatalog::open(&ctx, &warehouse).unwrap());
        ctx.register_catalog("w", Arc::clone(&catalog) as _);
        let before = host.files();
        failure(&ctx, "DROP TABLE w.public.x").await;
        failure(&ctx, "DROP SCHEMA w.empty").await;
        let error = catalog.drop_table("public", "x").await.unwrap_err();
        assert_eq!(error.kind(), NotAllowed, "{error}");
        assert_same(&before, &host.files(), "a refused DROP");
        assert_eq!(rows(&ctx, "SELECT a FROM w.public.x").await, ["1"]);
    }
}

#[tokio::test]
async fn session_that_may_not_create_brings_no_table_back_and_purges_none() {
    let host = Host::new().await;
    let all = host.session(AtioPolicy::default());
    let warehouse = host.path("w");
    AtioCatalog::register(&all, "w", &warehouse).unwrap();
    rows(&all, "CREATE TABLE w.public.x AS SELECT 1 AS a").await;
    rows(&all, "DROP TABLE w.public.x").await;
    for (policy, words) in [
        (
            AtioPolicy::default().with_create(false),
            "may not create or drop",
        ),
        (
            AtioPolicy::default().with_write(false),
            "may read and not write",
        ),
    ] {
        let ctx = host.session(policy);
        let catalog = AtioCatalog::register(&ctx, "w", &warehouse).unwrap();
        let before = host.files();
        for sql in [
            "SELECT * FROM atio_undrop('w.public.x')",
            "EXPLAIN SELECT * FROM atio_undrop('w.public.x')",
            "SELECT * FROM atio_purge('w.public.x', dry_run => false)",
        ] {
            let failure = attempt(&ctx, sql).await.unwrap_err();
            failure.assert(8, sql, Some(NotAllowed), &[words]);
        }
        let options = UndropOptions::default();
        let undropped = catalog.undrop_table("public", "x", &options).await;
        assert_eq!(undropped.unwrap_err().kind(), NotAllowed);
        let options = PurgeOptions {
            dry_run: false,
            ..PurgeOptions::default()
        };
        let purged = catalog.purge_table("public", "x", &options).await;
        assert_eq!(purged.unwrap_err().kind(), NotAllowed);
        assert_same(&before, &host.files(), "a refused undrop");
        // To look is allowed.
        assert_eq!(
            rows(&ctx, "SELECT table_name FROM atio_dropped()").await,
            ["x"]
        );
        rows(&ctx, "SELECT * FROM atio_purge('w.public.x')").await;
    }
    rows(&all, "SELECT * FROM atio_undrop('w.public.x')").await;
    assert_eq!(rows(&all, "SELECT a FROM w.public.x").await, ["1"]);
}

#[tokio::test]
async fn session_that_may_only_read_writes_nothing() {
    let host = Host::new().await;
    let ctx = host.session(AtioPolicy::default().with_write(false));
    rows(&ctx, &create("t", &host.path("data/a/t"))).await;
    let csv = host.path("data/a/t.csv");
    let open = format!("CREATE EXTERNAL TABLE c STORED AS CSV LOCATION '{csv}'");
    rows(&ctx, &open).await;
    let before = host.files();
    let expire = "SELECT * FROM expire_snapshots('t', keep_for => INTERVAL '0 days', dry_run => ";
    for sql in [
        "INSERT INTO t VALUES (2)".to_owned(),
        "INSERT OVERWRITE t VALUES (2)".to_owned(),
        "INSERT INTO c VALUES (2)".to_owned(),
        format!("COPY t TO '{}'", host.path("data/a/out.csv")),
        create("x", &host.path("data/a/new")),
        format!("{expire} false)"),
        format!("EXPLAIN {expire} false)"),
        format!("SELECT count(*) FROM ({expire} false))"),
        "SELECT * FROM atio_compact('t', dry_run => false)".to_owned(),
        "EXPLAIN SELECT * FROM atio_compact('t', order_by => 'a', dry_run => false)".to_owned(),
        "SELECT * FROM atio_tag('t', tag => 'x')".to_owned(),
        "EXPLAIN SELECT * FROM atio_untag('t', tag => 'x')".to_owned(),
        "SELECT * FROM atio_rollback('t', version => 0)".to_owned(),
        "SELECT * FROM atio_repair('t', dry_run => false)".to_owned(),
        "EXPLAIN SELECT count(*) FROM atio_repair('t', dry_run => false)".to_owned(),
    ] {
        let failure = attempt(&ctx, &sql).await.unwrap_err();
        failure.assert(8, &sql, Some(NotAllowed), &["may read and not write"]);
        assert_same(&before, &host.files(), &sql);
    }
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1"]);
    rows(&ctx, &format!("{expire} true)")).await;
    rows(&ctx, "SELECT * FROM atio_compact('t', order_by => 'a')").await;
    for reads in [
        "atio_tags('t')",
        "atio_stats('t')",
        "atio_check('t', deep => true)",
        "atio_repair('t')",
    ] {
        rows(&ctx, &format!("SELECT * FROM {reads}")).await;
    }
    // Rows in memory are not on storage.
    rows(&ctx, "CREATE TABLE m AS SELECT a FROM t").await;
    rows(&ctx, "INSERT INTO m VALUES (3)").await;
    assert_eq!(rows(&ctx, "SELECT a FROM m").await, ["1", "3"]);
}
