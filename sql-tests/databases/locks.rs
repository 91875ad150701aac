//! Locks that others hold, or the statement itself.

use std::time::{Duration, Instant};

use atio::{IfExists, write_database};
use mysql_async::prelude::Queryable;

use super::site::Site;
use crate::query::rows;
use crate::session::run;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_from_itself_into_sqlite_without_a_write_ahead_log() {
    let site = Site::sqlite();
    let ctx = site.session();
    assert_eq!(site.ask("PRAGMA journal_mode").await, ["delete"]);
    site.ask("CREATE TABLE t (a INTEGER, b TEXT)").await;
    // More than SQLite keeps in memory unless it is told to.
    site.ask("INSERT INTO t WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 300000) SELECT a, hex(zeroblob(30)) FROM n")
        .await;
    let open = "CREATE EXTERNAL TABLE t STORED AS SQLITE LOCATION 'db/t'";
    run(&ctx, open).await.unwrap();
    let begun = Instant::now();
    assert_eq!(
        rows(&ctx, "INSERT INTO t SELECT a + 300000, b FROM t").await,
        ["300000"]
    );
    assert!(begun.elapsed() < Duration::from_secs(28));
    assert_eq!(
        rows(&ctx, "SELECT count(DISTINCT a), min(length(b)) FROM t").await,
        ["600000|60"]
    );
    assert_eq!(site.ask("PRAGMA journal_mode").await, ["delete"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn side_tables_that_cannot_be_dropped_are_left_alone() {
    let Some(site) = Site::mariadb().await else {
        return;
    };
    let query = site.session().sql("SELECT 1 AS a").await.unwrap();
    site.ask("CREATE TABLE _atio_new_read (a INT)").await;
    site.ask("CREATE TABLE _atio_new_free (a INT)").await;
    site.ask("CREATE VIEW _atio_new_view AS SELECT 1 AS a")
        .await;
    // Somebody reads one, as a backup does.
    let mut reader = site.mysql().await;
    reader.query_drop("START TRANSACTION").await.unwrap();
    reader
        .query_drop("SELECT * FROM _atio_new_read")
        .await
        .unwrap();
    let connection = site.connection();
    let write = write_database(query, &connection, "t", IfExists::Fail);
    let written = tokio::time::timeout(Duration::from_secs(20), write).await;
    assert_eq!(written.expect("the write waits").unwrap(), 1);
    let mut tables = site.tables().await;
    tables.sort();
    assert_eq!(tables, ["_atio_new_read", "_atio_new_view", "t"]);
    reader.disconnect().await.unwrap();
}
