//! Versions before and after rows were marked, side by side.

#![cfg(test)]

use atio::AtioTable;
use datafusion::catalog::TableProvider;

use super::marking::mark;
use crate::query::{failure, open, row, rows};
use crate::session::{Place, on_every_place};

on_every_place!(
    version_before_the_marks_has_all_rows,
    statement_over_two_versions_reads_each_with_its_own_marks,
    rollback_brings_marked_rows_back,
    version_with_marks_that_expired_is_named,
    provider_of_a_version_whose_vectors_expired_says_so,
);

const EXPIRE: &str = "SELECT kind, deleted FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
     retain_last => 1, orphan_age => INTERVAL '0 days', dry_run => false)";

/// The values 0 to 99 in version 1; in version 2 without those below 10, in 3 without multiples of 3.
async fn three_versions(place: &Place) -> datafusion::prelude::SessionContext {
    let ctx = place.session();
    open(&ctx, place, "t").await;
    rows(
        &ctx,
        "INSERT INTO t SELECT value FROM generate_series(0, 99)",
    )
    .await;
    mark(place, "t", |a| a < 10).await;
    mark(place, "t", |a| a % 3 == 0).await;
    ctx
}

async fn version_before_the_marks_has_all_rows(place: Place) {
    let ctx = three_versions(&place).await;
    for (version, expected) in [(1, "100|0|4950"), (2, "90|10|4905"), (3, "60|10|3240")] {
        let at = format!("atio_table('t', version => {version})");
        let sql = format!("SELECT count(*), min(a), sum(a) FROM {at}");
        assert_eq!(row(&ctx, &sql).await, expected, "{sql}");
        let sql = format!("SELECT count(*) FROM {at} WHERE a IN (3, 10, 30)");
        let of_three = ["3", "2", "1"][version - 1];
        assert_eq!(row(&ctx, &sql).await, of_three, "{sql}");
    }
}

async fn statement_over_two_versions_reads_each_with_its_own_marks(place: Place) {
    let ctx = three_versions(&place).await;
    let at = |version| format!("atio_table('t', version => {version})");
    let gone = format!(
        "SELECT o.a FROM {} o LEFT JOIN t n ON n.a = o.a WHERE n.a IS NULL AND o.a < 20",
        at(1)
    );
    let mut expected: Vec<i64> = (0..20).filter(|a| *a < 10 || a % 3 == 0).collect();
    let mut found: Vec<i64> = rows(&ctx, &gone)
        .await
        .iter()
        .map(|a| a.parse().unwrap())
        .collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let both = format!(
        "SELECT count(*), sum(x.a) FROM {} x JOIN {} y ON x.a = y.a JOIN t z ON y.a = z.a",
        at(1),
        at(2)
    );
    assert_eq!(row(&ctx, &both).await, "60|3240");
    let counts = format!(
        "SELECT (SELECT count(*) FROM {}) AS x, (SELECT count(*) FROM {}) AS y, (SELECT count(*) FROM t) AS z",
        at(1),
        at(2)
    );
    assert_eq!(row(&ctx, &counts).await, "100|90|60");
}

async fn rollback_brings_marked_rows_back(place: Place) {
    let ctx = three_versions(&place).await;
    rows(&ctx, "SELECT * FROM atio_rollback('t', version => 2)").await;
    assert_eq!(row(&ctx, "SELECT count(*), sum(a) FROM t").await, "90|4905");
    rows(&ctx, "SELECT * FROM atio_rollback('t', version => 1)").await;
    assert_eq!(
        row(&ctx, "SELECT count(*), min(a), sum(a) FROM t").await,
        "100|0|4950"
    );
    mark(&place, "t", |a| a >= 50).await;
    assert_eq!(row(&ctx, "SELECT count(*), max(a) FROM t").await, "50|49");
}

async fn version_with_marks_that_expired_is_named(place: Place) {
    let ctx = three_versions(&place).await;
    let reader = place.session();
    open(&reader, &place, "t").await;
    let old = "SELECT sum(a) FROM atio_table('t', version => 2)";
    // Planned while the version was there.
    let planned = reader.sql(old).await.unwrap().create_physical_plan().await;
    let planned = planned.unwrap();
    let expired = rows(&ctx, EXPIRE).await;
    assert!(
        expired.contains(&"deletion vector|true".to_owned()),
        "{expired:?}"
    );
    // Its data file is that of the newest version, which has other marks.
    let plan = datafusion::physical_plan::collect(planned, reader.task_ctx());
    assert_eq!(crate::query::texts(&plan.await.unwrap()), ["4905"]);
    let other = place.session();
    open(&other, &place, "t").await;
    for ctx in [reader, other] {
        let error = failure(&ctx, old).await;
        assert!(error.contains("version 2 of 't' has expired"), "{error}");
        assert_eq!(row(&ctx, "SELECT sum(a) FROM t").await, "3240");
    }
}

/// Who has the version, and the lists of its files, misses nothing but the vectors.
async fn provider_of_a_version_whose_vectors_expired_says_so(place: Place) {
    let ctx = three_versions(&place).await;
    let reader = place.session();
    let location = format!("{}/t", place.root());
    let table = AtioTable::open(&reader, &location).await.unwrap();
    let old = table.at(2).await.unwrap();
    assert_eq!(table.files(2).await.unwrap()[0].deleted_rows, 10);
    rows(&ctx, EXPIRE).await;
    let state = reader.state();
    let planned = old.scan(&state, None, &[], None).await;
    let error = planned.unwrap_err().strip_backtrace();
    assert!(error.contains("version 2 of 't' has expired"), "{error}");
}
