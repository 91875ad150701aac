//! A connection that is lost in the middle of a write.

use atio::{ErrorKind, IfExists, write_database};

use super::proxy::{Cut, Proxy};
use super::site::Site;
use super::slow_rows::Tap;
use crate::long_form::long;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_to_postgres_that_is_cut_at_any_byte_is_there_or_not() {
    if let Some(site) = Site::postgres().await {
        cut_everywhere(site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_to_mariadb_that_is_cut_at_any_byte_is_there_or_not() {
    if let Some(site) = Site::mariadb().await {
        cut_everywhere(site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backend_of_postgres_that_is_ended_leaves_nothing() {
    if let Some(site) = Site::postgres().await {
        end_in_the_middle(site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_of_mariadb_that_is_killed_leaves_nothing() {
    if let Some(site) = Site::mariadb().await {
        end_in_the_middle(site).await;
    }
}

/// The rows of `t`; None if there is no such table.
async fn found(site: &Site) -> Option<Vec<String>> {
    site.try_ask("SELECT a FROM t ORDER BY a").await.ok()
}

/// The bytes of a conversation at which it is cut, from its end: around the commit all of them in
/// the long form, and of the others every so many, from another one on in each run.
fn bytes(all: usize) -> Vec<usize> {
    let (near, step) = if long() { (48, 9) } else { (1, 41) };
    let first = uuid::Uuid::new_v4().as_u128() as usize % step;
    let chosen = |byte: &usize| all - byte <= near || byte % step == first;
    (0..all).rev().filter(chosen).collect()
}

async fn cut_everywhere(site: Site) {
    let ctx = site.session();
    let target = site.address().unwrap();
    let query = ctx
        .sql("SELECT value AS a FROM generate_series(1, 3)")
        .await
        .unwrap();
    let new: Vec<String> = ["1", "2", "3"].map(str::to_owned).into();
    let old: Vec<String> = vec!["7".to_owned()];
    let both: Vec<String> = ["1", "2", "3", "7"].map(str::to_owned).into();
    let mut endings = [0; 3];
    for (if_exists, before, after) in [
        (IfExists::Append, Some(old.clone()), both),
        (IfExists::Replace, Some(old), new.clone()),
        (IfExists::Fail, None, new),
    ] {
        let reset = async || {
            site.try_ask("DROP TABLE t").await.ok();
            if before.is_some() {
                site.ask("CREATE TABLE t (a BIGINT)").await;
                site.ask("INSERT INTO t VALUES (7)").await;
            }
        };
        reset().await;
        let proxy = Proxy::start(target, Cut::Never).await;
        let connection = site.connection_at(proxy.address);
        write_database(query.clone(), &connection, "t", if_exists)
            .await
            .unwrap();
        let [requests, answers] = proxy.counts();
        assert!(requests > 200 && answers > 100, "{requests} {answers}");
        let cuts = bytes(requests).into_iter().map(Cut::Requests);
        let cuts = cuts.chain(bytes(answers).into_iter().map(Cut::Answers));
        for cut in cuts {
            reset().await;
            let proxy = Proxy::start(target, cut).await;
            let connection = site.connection_at(proxy.address);
            let written = write_database(query.clone(), &connection, "t", if_exists).await;
            drop(proxy);
            site.alone().await;
            let now = found(&site).await;
            match written {
                Ok(rows) => {
                    endings[0] += 1;
                    assert_eq!(
                        (rows, now.as_ref()),
                        (3, Some(&after)),
                        "{if_exists:?} {cut:?}"
                    );
                }
                Err(error) => {
                    let text = format!("{error} {error:?}");
                    assert!(!text.contains("SECRET"), "{text}");
                    let kind = atio::Error::find(&error).map(atio::Error::kind);
                    if kind == Some(ErrorKind::CommitUnknown) {
                        endings[1] += 1;
                        assert!(
                            now == before || now.as_ref() == Some(&after),
                            "{cut:?} {now:?}"
                        );
                        assert!(text.contains("there completely or not at all"), "{text}");
                    } else {
                        endings[2] += 1;
                        assert_eq!(now, before, "{if_exists:?} {cut:?}: {error}");
                    }
                }
            }
        }
    }
    // Most cuts end a write, and some come after its commit.
    assert!(endings[0] > 0 && endings[2] > 20, "{endings:?}");
    // What a cut left behind goes with the next table that is made.
    site.try_ask("DROP TABLE t").await.ok();
    write_database(query, &site.connection(), "t", IfExists::Fail)
        .await
        .unwrap();
    assert_eq!(site.tables().await, ["t"]);
}

async fn end_in_the_middle(site: Site) {
    let ctx = site.session();
    site.ask("CREATE TABLE t (a BIGINT)").await;
    site.ask("INSERT INTO t VALUES (7)").await;
    for if_exists in [IfExists::Append, IfExists::Replace] {
        let (tap, query) = Tap::open(&ctx);
        let end = async {
            tap.give(0..5000).await;
            tap.taken().await;
            site.end_connections().await;
            tap.give(5000..10_000).await;
            drop(tap);
        };
        let connection = site.connection();
        let (written, ()) = tokio::join!(write_database(query, &connection, "t", if_exists), end);
        let error = written.unwrap_err();
        let kind = atio::Error::find(&error).map(atio::Error::kind);
        assert_eq!(kind, Some(ErrorKind::Storage), "{error}");
        assert!(
            error.to_string().contains("cannot write table 't' of "),
            "{error}"
        );
        site.alone().await;
        assert_eq!(found(&site).await.unwrap(), ["7"]);
    }
}
