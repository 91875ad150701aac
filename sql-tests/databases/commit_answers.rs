//! Answers to a commit that are lost, late, or never come.

use std::time::Duration;

use atio::{ErrorKind, IfExists, write_database};
use datafusion::prelude::DataFrame;

use super::proxy::{Cut, Proxy};
use super::site::Site;

/// Three rows.
async fn query(site: &Site) -> DataFrame {
    let sql = "SELECT value AS a FROM generate_series(1, 3)";
    site.session().sql(sql).await.unwrap()
}

/// How many bytes a server answers to a write.
async fn answers(site: &Site, if_exists: IfExists) -> usize {
    let proxy = Proxy::start(site.address().unwrap(), Cut::Never).await;
    let connection = site.connection_at(proxy.address);
    write_database(query(site).await, &connection, "t", if_exists)
        .await
        .unwrap();
    proxy.ended().await;
    proxy.counts()[1]
}

/// Writes through `proxy`, and gives up if that takes too long.
async fn written(
    site: &Site,
    proxy: &Proxy,
    if_exists: IfExists,
) -> datafusion::error::Result<u64> {
    let connection = site.impatient_at(proxy.address);
    let write = write_database(query(site).await, &connection, "t", if_exists);
    tokio::time::timeout(Duration::from_secs(60), write)
        .await
        .expect("the write does not end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_postgres_never_answers_is_looked_for() {
    let Some(site) = Site::postgres().await else {
        return;
    };
    let cut = Cut::AnswersBefore("COMMIT\0");
    let proxy = Proxy::silent(site.address().unwrap(), cut).await;
    assert_eq!(written(&site, &proxy, IfExists::Fail).await.unwrap(), 3);
    assert_eq!(site.count().await, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_postgres_never_gets_is_known_to_have_failed() {
    let Some(site) = Site::postgres().await else {
        return;
    };
    let cut = Cut::RequestsBefore("COMMIT\0");
    let proxy = Proxy::silent(site.address().unwrap(), cut).await;
    let error = written(&site, &proxy, IfExists::Fail).await.unwrap_err();
    let kind = atio::Error::find(&error).map(atio::Error::kind);
    assert_eq!(kind, Some(ErrorKind::Storage), "{error}");
    assert!(
        error.to_string().contains("did not answer the commit"),
        "{error}"
    );
    site.alone().await;
    assert_eq!(site.count().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_waits_for_a_replica_is_not_ended() {
    let Some(site) = Site::postgres().await else {
        return;
    };
    site.ask("CREATE TABLE t (a BIGINT)").await;
    let name = site.ask("SELECT current_database()").await.remove(0);
    let set = format!("ALTER DATABASE {name} SET synchronous_commit = on");
    site.ask(&set).await;
    let connection = site.impatient_at(site.address().unwrap());
    let written = write_database(query(&site).await, &connection, "t", IfExists::Append).await;
    let error = written.expect_err("no replica has it");
    let kind = atio::Error::find(&error).map(atio::Error::kind);
    assert_eq!(kind, Some(ErrorKind::CommitUnknown), "{error}");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'";
    assert_eq!(site.ask(waits).await, ["1"]);
    assert_eq!(site.count().await, Some(0));
    // As an administrator would who gives the replica up.
    site.end_connections().await;
    site.alone().await;
    assert_eq!(site.count().await, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_mariadb_never_answers_is_looked_for_or_unknown() {
    let Some(site) = Site::mariadb().await else {
        return;
    };
    // The last answer is that a new table has its name.
    let cut = Cut::Answers(answers(&site, IfExists::Fail).await - 1);
    site.ask("DROP TABLE t").await;
    let proxy = Proxy::silent(site.address().unwrap(), cut).await;
    assert_eq!(written(&site, &proxy, IfExists::Fail).await.unwrap(), 3);
    assert_eq!(site.count().await, Some(3));
    // Of a table that is there nothing tells.
    let cut = Cut::Answers(answers(&site, IfExists::Append).await - 1);
    let proxy = Proxy::silent(site.address().unwrap(), cut).await;
    let error = written(&site, &proxy, IfExists::Append).await.unwrap_err();
    let kind = atio::Error::find(&error).map(atio::Error::kind);
    assert_eq!(kind, Some(ErrorKind::CommitUnknown), "{error}");
    assert!(
        error.to_string().contains("did not answer the commit"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_away_after_a_commit_is_asked_again() {
    let Some(site) = Site::postgres().await else {
        return;
    };
    let cut = Cut::AnswersBefore("COMMIT\0");
    let proxy = Proxy::start(site.address().unwrap(), cut).await;
    proxy.refuse(3);
    assert_eq!(written(&site, &proxy, IfExists::Fail).await.unwrap(), 3);
    assert_eq!(site.count().await, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn side_table_of_mariadb_that_is_gone_is_no_success() {
    let Some(site) = Site::mariadb().await else {
        return;
    };
    for by_somebody_else in [false, true] {
        let cut = Cut::RequestsBefore("RENAME TABLE");
        let proxy = Proxy::start(site.address().unwrap(), cut).await;
        proxy.open(false);
        let end = async {
            proxy.ended().await;
            site.alone().await;
            let tables = site.tables().await;
            assert!(
                tables.len() == 1 && tables[0].starts_with("_atio_new_"),
                "{tables:?}"
            );
            site.ask(&format!("DROP TABLE {}", tables[0])).await;
            if by_somebody_else {
                site.ask("CREATE TABLE t (a BIGINT)").await;
            }
            proxy.open(true);
        };
        let (written, ()) = tokio::join!(written(&site, &proxy, IfExists::Fail), end);
        let error = written.unwrap_err();
        let kind = atio::Error::find(&error).map(atio::Error::kind);
        assert_eq!(kind, Some(ErrorKind::CommitUnknown), "{error}");
    }
}
