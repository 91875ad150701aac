//! Stores that refuse for a while, or from some request on for good.

use std::time::Duration;

use atio::ErrorKind;

use super::fault_script::{Apply, Fault, Reply};
use super::place::Server;
use super::request::Kind;
use super::{assert_table, kind, session};
use crate::long_form::long;
use crate::query::rows;
use crate::session::run;

const STORMS: [Reply; 3] = [
    Reply::Status(429, "TooManyRequests"),
    Reply::Status(503, "SlowDown"),
    Reply::Status(500, "InternalError"),
];

/// The writes whose answers are worth losing.
const WRITES: &[Kind] = &[Kind::Put, Kind::Create];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_outlast_a_storm_and_write_each_row_once() {
    for server in [Server::s3(), Server::gcs()] {
        let ctx = session(&server).await;
        let mut values = Vec::new();
        for (round, reply) in (0..).zip(STORMS) {
            // Each request is refused some times, one after the other.
            for key in ["/data/", "/metadata/", "_current_version", ""] {
                let storm = Fault::on(&[], key).times(6).apply(Apply::Never);
                server.fault(storm.reply(reply));
            }
            let met = server.script().hits();
            rows(&ctx, &format!("INSERT INTO t VALUES ({})", 2 * round)).await;
            assert!(server.script().hits() > met + 6, "there was no storm");
            server.script().clear();

            // The same, while the commits are done all the same.
            let storm = Fault::on(WRITES, "/metadata/v").times(9);
            server.fault(storm.reply(reply));
            let met = server.script().hits();
            rows(&ctx, &format!("INSERT INTO t VALUES ({})", 2 * round + 1)).await;
            assert!(server.script().hits() > met, "there was no storm");
            server.script().clear();
            values.extend([2 * round, 2 * round + 1]);
        }
        assert_table(&server, &values, 6).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_in_a_storm_write_each_row_once() {
    let each = if long() { 20 } else { 5 };
    for server in [Server::s3(), Server::gcs()] {
        let sessions = [
            session(&server).await,
            session(&server).await,
            session(&server).await,
        ];
        // Every third or so: some done, some not, some without an answer.
        for n in 1..200 {
            let kinds = [Kind::Get, Kind::Head, Kind::Put, Kind::Create];
            let fault = Fault::on(&kinds, "/metadata/v").from(3 * n).times(1);
            server.fault(match n % 4 {
                0 => fault.apply(Apply::Never).reply(STORMS[0]),
                1 => fault.reply(STORMS[1]),
                2 => fault.reply(Reply::Close),
                _ => fault.apply(Apply::Twice),
            });
        }
        let writing = (0..).zip(&sessions).map(async |(number, ctx)| {
            for a in number * each..(number + 1) * each {
                rows(ctx, &format!("INSERT INTO t VALUES ({a})")).await;
            }
        });
        futures::future::join_all(writing).await;
        server.script().clear();
        let all: Vec<_> = (0..3 * each).collect();
        assert_table(&server, &all, all.len() as u64).await;
    }
}

/// Lets time pass at once when a commit is refused: a writer waits a minute for an answer.
async fn never_wait_for_a_commit(server: &Server, version: usize) {
    let key = format!("/metadata/v{version}.");
    let refused = || {
        let seen = server.script().seen();
        let mut commits = seen.iter().filter(|seen| seen.kind == Kind::Create);
        commits.any(|seen| seen.key.contains(&key) && seen.status == Some(403))
    };
    while !refused() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::pause();
    std::future::pending().await
}

/// Credentials that expire at the n-th request, for every n.
#[tokio::test]
async fn insert_that_is_refused_from_some_request_on_leaves_all_or_nothing() {
    let mut ends = Vec::new();
    for n in 1.. {
        let server = Server::s3();
        let ctx = session(&server).await;
        rows(&ctx, "INSERT INTO t VALUES (1)").await;
        let refuse = Fault::on(&[], "").from(n).apply(Apply::Never);
        server.fault(refuse.reply(Reply::Status(403, "ExpiredToken")));
        let ended = tokio::select! {
            ended = run(&ctx, "INSERT INTO t VALUES (2)") => ended,
            () = never_wait_for_a_commit(&server, 2) => unreachable!(),
        };
        if server.script().hits() == 0 {
            assert!(ended.is_ok());
            break;
        }
        let paused = matches!(&ended, Err(error) if kind(error) == Some(ErrorKind::CommitUnknown));
        if paused {
            tokio::time::resume();
        }
        server.script().clear();
        match &ended {
            Ok(_) => assert_table(&server, &[1, 2], 2).await,
            Err(error) => {
                let known = [Some(ErrorKind::Storage), Some(ErrorKind::CommitUnknown)];
                assert!(known.contains(&kind(error)), "request {n}: {error}");
                assert_table(&server, &[1], 1).await;
                rows(&session(&server).await, "INSERT INTO t VALUES (3)").await;
                assert_table(&server, &[1, 3], 2).await;
            }
        }
        ends.push(ended.map(drop).map_err(|error| kind(&error)));
    }
    let count = |end| ends.iter().filter(|found| **found == end).count();
    // Before the commit, at it, and after it, when only hints are left to write.
    assert!(count(Err(Some(ErrorKind::Storage))) > 2, "{ends:?}");
    assert_eq!(count(Err(Some(ErrorKind::CommitUnknown))), 1, "{ends:?}");
    assert!(count(Ok(())) > 0, "{ends:?}");
}
