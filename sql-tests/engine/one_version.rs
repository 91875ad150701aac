//! One statement, many names of one table, and others who commit meanwhile.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use url::Url;

use crate::query::{open, row, rows};
use crate::session::{Place, on_every_place};
use crate::stores::racing::Racing;

on_every_place!(every_name_of_a_table_in_one_statement_reads_one_version_while_others_commit);

/// Pairs of statements' parts that must agree if the statement reads one version: each
/// gives one row whose cells are all equal.
const AGREEING: &[&str] = &[
    "SELECT (SELECT sum(a) FROM t) AS i, (SELECT sum(a) FROM t2) AS j, (SELECT sum(a) FROM v) AS k, \
     (SELECT sum(a) FROM atio_table('t')) AS l, (SELECT sum(a) FROM atio_table('{root}/t')) AS m",
    "SELECT (SELECT count(*) FROM t) AS i, (SELECT count(*) FROM t2) AS j, (SELECT count(*) FROM v) AS k, \
     (SELECT count(a) FROM atio_table('t')) AS l, (SELECT count(*) FROM atio_table('{root}/t')) AS m",
    "SELECT count(x.a), count(y.a), count(*) FROM t x FULL JOIN t y ON x.a = y.a",
    "SELECT count(x.a), count(y.a), count(*) FROM t x FULL JOIN t2 y ON x.a = y.a",
    "SELECT count(x.a), count(y.a), count(*) FROM v x FULL JOIN atio_table('t') y ON x.a = y.a",
    "SELECT count(x.a), count(y.a), count(*) FROM t3 x FULL JOIN atio_table('t2') y ON x.a = y.a",
    "WITH c AS (SELECT a FROM t) \
     SELECT (SELECT count(*) FROM c) AS i, count(*) AS j, max(x.a) AS k FROM c x JOIN c y ON x.a = y.a",
    "SELECT min(n), max(n) FROM (SELECT count(*) AS n FROM t UNION ALL SELECT count(*) FROM t2 \
     UNION ALL SELECT count(*) FROM v UNION ALL SELECT count(a) FROM t3)",
    "SELECT count(*), 0 FROM t WHERE a NOT IN (SELECT a FROM t2)",
    "SELECT count(*), 0 FROM t2 WHERE NOT EXISTS (SELECT 1 FROM v WHERE v.a = t2.a)",
    "SELECT max(a) AS i, (SELECT max(a) FROM v) AS j FROM t WHERE a >= (SELECT max(a) FROM t2)",
];

/// A session with all names of `AGREEING`, and the statements for it.
async fn all_names(place: &Place, ctx: &SessionContext) -> Vec<String> {
    open(ctx, place, "t").await;
    open(ctx, place, "t2").await;
    let location = match place {
        Place::Memory(_) => format!("{}/t/", place.root()),
        Place::Disk(_) => Url::from_directory_path(format!("{}/t", place.root()))
            .unwrap()
            .to_string(),
    };
    rows(
        ctx,
        &format!("CREATE EXTERNAL TABLE t3 STORED AS ATIO LOCATION '{location}'"),
    )
    .await;
    rows(ctx, "CREATE VIEW v AS SELECT a FROM t").await;
    AGREEING
        .iter()
        .map(|sql| sql.replace("{root}", &place.root()))
        .collect()
}

pub(super) fn assert_agrees(sql: &str, row: &str) {
    let mut cells = row.split('|');
    let first = cells.next().unwrap();
    assert!(
        cells.all(|cell| cell == first),
        "{sql} read more than one version: {row}"
    );
}

async fn every_name_of_a_table_in_one_statement_reads_one_version_while_others_commit(
    place: Place,
) {
    let ctx = place.session();
    let statements = all_names(&place, &ctx).await;
    rows(&ctx, "INSERT INTO t VALUES (1)").await;

    let writer = place.session();
    open(&writer, &place, "t").await;
    let writer = tokio::spawn(async move {
        for a in 2..=50 {
            rows(&writer, &format!("INSERT INTO t VALUES ({a})")).await;
        }
    });
    while !writer.is_finished() {
        for sql in &statements {
            assert_agrees(sql, &row(&ctx, sql).await);
        }
    }
    writer.await.unwrap();
    for sql in &statements {
        assert_agrees(sql, &row(&ctx, sql).await);
    }
    assert_eq!(row(&ctx, "SELECT count(*), sum(a) FROM t").await, "50|1275");
}

/// Every look-up that finds the newest version is followed by a commit, so that a second
/// look-up of the same statement would find another one.
#[tokio::test]
async fn statement_looks_the_newest_version_up_once_by_all_names_of_a_table() {
    let place = Place::memory();
    let Place::Memory(inner) = &place else {
        unreachable!()
    };
    let writer = place.session();
    open(&writer, &place, "t").await;
    rows(&writer, "INSERT INTO t VALUES (1)").await;

    let (racing, store) = Racing::store(Arc::clone(inner) as _, writer);
    let ctx = SessionContext::new();
    ctx.register_object_store(&Url::parse("memory://test/").unwrap(), store);
    atio::register(&ctx).unwrap();
    let statements = all_names(&place, &ctx).await;

    for sql in &statements {
        let before = racing.commits();
        racing.arm(true);
        let found = row(&ctx, sql).await;
        racing.arm(false);
        assert_ne!(racing.commits(), before, "nobody committed during {sql}");
        assert_agrees(sql, &found);
    }
}
