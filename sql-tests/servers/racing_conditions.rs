//! What tells a store that keeps its promise from one that does not: the controls of the
//! tests that meet no lost row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectStore, ObjectStoreExt, PutMode};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::bucket::Conditions;
use super::place::Server;
use super::session;
use crate::long_form::long;
use crate::query::{row, texts};
use crate::session::run;

/// How many of `racers` who create one object at once are told that they did: for each round.
pub(super) async fn winners(server: &Server, racers: usize, rounds: usize) -> Vec<usize> {
    let clients: Vec<_> = (0..racers).map(|_| server.client()).collect();
    let mut winners = Vec::new();
    for round in 0..rounds {
        let key = Path::from(format!("{}/race-{round}", server.folder));
        let barrier = Arc::new(Barrier::new(racers));
        let mut tasks = JoinSet::new();
        for (number, client) in clients.iter().enumerate() {
            let (client, key, barrier) = (Arc::clone(client), key.clone(), Arc::clone(&barrier));
            tasks.spawn(async move {
                let body = number.to_string().into();
                barrier.wait().await;
                let put = client.put_opts(&key, body, PutMode::Create.into()).await;
                put.is_ok().then_some(number)
            });
        }
        let won: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        if let [winner] = won.as_slice() {
            let found = clients[0].get(&key).await.unwrap().bytes().await.unwrap();
            assert_eq!(found, winner.to_string(), "not the bytes of the winner");
        }
        winners.push(won.len());
    }
    winners
}

/// The rows of the table `t` that several writers were told of, but that cannot be read, or
/// more than once; with how often they can. `before_writing` runs when the table is there.
async fn wrong_rows(
    server: &Server,
    writers: i64,
    each: i64,
    before_writing: impl FnOnce(),
) -> Result<BTreeMap<i64, usize>, String> {
    let mut sessions = Vec::new();
    for _ in 0..writers {
        let ctx = session(server).await;
        // Its writes are under way as if it had written before.
        row(&ctx, "INSERT INTO t VALUES (-1)").await;
        sessions.push(ctx);
    }
    before_writing();
    let mut tasks = JoinSet::new();
    for (number, ctx) in (0..).zip(sessions) {
        tasks.spawn(async move {
            let mut told = Vec::new();
            for a in number * each..(number + 1) * each {
                if run(&ctx, &format!("INSERT INTO t VALUES ({a})"))
                    .await
                    .is_ok()
                {
                    told.push(a);
                }
            }
            told
        });
    }
    let told: Vec<i64> = tasks.join_all().await.concat();
    assert!(!told.is_empty(), "no writer wrote anything");
    let ctx = server.session();
    let location = server.location("t");
    let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
    // That the table cannot be read at all is wrong, too.
    let read = async {
        run(&ctx, &open).await?;
        run(&ctx, "SELECT a FROM t WHERE a >= 0").await
    };
    let read = texts(&read.await.map_err(|error| error.strip_backtrace())?);
    let mut wrong = BTreeMap::new();
    for a in told {
        let text = a.to_string();
        let times = read.iter().filter(|read| **read == text).count();
        if times != 1 {
            wrong.insert(a, times);
        }
    }
    Ok(wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_of_a_store_that_keeps_conditions_is_right() {
    let each = if long() { 25 } else { 5 };
    for server in [Server::s3(), Server::gcs()] {
        let wrong = wrong_rows(&server, 4, each, || ()).await;
        assert_eq!(wrong, Ok(BTreeMap::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_of_a_store_that_races_conditions_is_found_wrong() {
    for server in [Server::s3(), Server::gcs()] {
        // Only once the table is there: to begin with, a store that races is refused.
        let race = || {
            let window = Duration::from_millis(30);
            server.bucket().treat(Conditions::Raced(window));
        };
        let wrong = wrong_rows(&server, 4, 5, race).await;
        assert_ne!(wrong, Ok(BTreeMap::new()), "no row was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_of_a_store_that_ignores_conditions_is_found_wrong() {
    for server in [Server::s3(), Server::gcs()] {
        let ignore = || server.bucket().treat(Conditions::Ignored);
        let wrong = wrong_rows(&server, 4, 5, ignore).await;
        assert_ne!(wrong, Ok(BTreeMap::new()), "no row was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_creators_win_on_a_store_that_races_or_ignores_conditions() {
    for server in [Server::s3(), Server::gcs()] {
        for conditions in [
            Conditions::Raced(Duration::from_millis(50)),
            Conditions::Ignored,
        ] {
            server.bucket().treat(conditions);
            let winners = winners(&server, 8, 3).await;
            assert!(winners.iter().all(|winners| *winners > 1), "{winners:?}");
            let conditional = server.client();
            let key = Path::from("race-0");
            let again = conditional
                .put_opts(&key, "x".into(), PutMode::Create.into())
                .await;
            assert!(again.is_ok());
            let again = conditional
                .put_opts(&key, "y".into(), PutMode::Create.into())
                .await;
            assert_eq!(again.is_ok(), conditions == Conditions::Ignored);
            conditional.delete(&key).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_creators_win_on_s3s_fs() {
    let Some(server) = Server::s3s_fs().await else {
        return;
    };
    let rounds = if long() { 400 } else { 100 };
    let winners = winners(&server, 8, rounds).await;
    let raced = winners.iter().filter(|winners| **winners > 1).count();
    assert!(raced > 0, "of {rounds} rounds none had two winners");
}
