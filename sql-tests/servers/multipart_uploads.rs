//! Uploads in parts of which one fails: no object, no version, nothing left on the store.

use std::time::Duration;

use datafusion::prelude::SessionContext;

use super::create;
use super::fault_script::{Apply, Fault, Reply};
use super::place::Server;
use super::request::Kind;
use crate::query::{failure, row, rows};
use crate::session::run;

const LARGE: &str = "INSERT INTO t SELECT value, repeat(md5(CAST(value AS VARCHAR)), 4096) \
                     FROM generate_series(1, 4)";

/// A session whose data files go to the store in parts of 100 kB.
async fn in_parts(server: &Server) -> SessionContext {
    let ctx = server.session();
    let options = "OPTIONS ('atio.compression' 'uncompressed', 'atio.max_row_group_rows' '1')";
    create(&ctx, server, "a BIGINT, s VARCHAR", options).await;
    for setting in [
        "datafusion.execution.objectstore_writer_buffer_size = 100000",
        "datafusion.execution.parquet.allow_single_file_parallelism = false",
    ] {
        rows(&ctx, &format!("SET {setting}")).await;
    }
    ctx
}

/// Passes if soon the table has exactly these objects, and no upload is under way.
async fn assert_nothing_is_left(server: &Server, before: &[String], what: &str) {
    for _ in 0..100 {
        if server.names("t").await == before && server.uploads().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.names("t").await, before, "{what}");
    assert_eq!(server.uploads().await, Vec::<String>::new(), "{what}");
}

/// Fails each request of an upload in turn, for each way to fail.
async fn each_part_fails(server: Server) {
    let ctx = in_parts(&server).await;
    rows(&ctx, LARGE).await;
    let parts = server.seen(Kind::PutPart, "/data/");
    assert!(parts >= 4, "the file went in {parts} parts");
    let before = server.names("t").await;

    let mut requests = vec![(Kind::BeginUpload, 1), (Kind::CompleteUpload, 1)];
    requests.extend((1..=parts).map(|n| (Kind::PutPart, n)));
    for (request, n) in requests {
        for reply in [
            Reply::Status(400, "InvalidRequest"),
            Reply::Status(500, "InternalError"),
            Reply::Close,
        ] {
            // In parts of Azure the beginning has no request of its own.
            if server.seen(request, "/data/") == 0 {
                continue;
            }
            let what = format!("{:?} {request:?} {n} {reply:?}", server.wire);
            // More often than a client tries.
            let fault = Fault::on(&[request], "/data/").from(n).apply(Apply::Never);
            server.fault(fault.reply(reply));
            assert!(run(&ctx, LARGE).await.is_err(), "{what}: no error");
            server.script().clear();
            assert_nothing_is_left(&server, &before, &what).await;
        }
    }
    let fresh = server.session();
    create(&fresh, &server, "a BIGINT, s VARCHAR", "").await;
    assert_eq!(row(&fresh, "SELECT count(*) FROM t").await, "4");
    rows(&fresh, LARGE).await;
    assert_eq!(row(&fresh, "SELECT count(*) FROM t").await, "8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_that_fails_on_s3_fails_the_insert_and_leaves_nothing() {
    let server = Server::s3().with_retries(1);
    server.bucket().take_small_parts();
    each_part_fails(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_that_fails_on_gcs_fails_the_insert_and_leaves_nothing() {
    let server = Server::gcs().with_retries(1);
    server.bucket().take_small_parts();
    each_part_fails(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_that_fails_on_azurite_fails_the_insert_and_leaves_nothing() {
    if let Some(server) = Server::azurite().await {
        each_part_fails(server.through_a_proxy().with_retries(1)).await;
    }
}

/// The end of an upload is done, but the answer is lost: the rows are in once, or the object
/// is gone with its statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answer_to_the_end_of_an_upload_leaves_all_or_nothing() {
    for server in [Server::s3(), Server::gcs()] {
        server.bucket().take_small_parts();
        for reply in [
            Reply::Close,
            Reply::Reset,
            Reply::Status(500, "InternalError"),
        ] {
            let ctx = in_parts(&server).await;
            let before = server.names("t").await;
            let count: usize = row(&ctx, "SELECT count(*) FROM t").await.parse().unwrap();
            let fault = Fault::on(&[Kind::CompleteUpload], "/data/").times(1);
            server.fault(fault.reply(reply));
            let ended = run(&ctx, LARGE).await;
            server.script().clear();
            let added = match &ended {
                Ok(_) => 4,
                Err(_) => {
                    assert_nothing_is_left(&server, &before, "the end of an upload").await;
                    0
                }
            };
            let found = row(&ctx, "SELECT count(*) FROM t").await;
            assert_eq!(found, (count + added).to_string(), "{reply:?}: {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_are_too_small_for_the_store_fail_the_insert_and_leave_nothing() {
    let server = Server::s3();
    let ctx = in_parts(&server).await;
    let before = server.names("t").await;
    let error = failure(&ctx, LARGE).await;
    assert!(error.contains("EntityTooSmall"), "{error}");
    assert_nothing_is_left(&server, &before, "small parts").await;
}

/// The store has begun an upload, and nobody waits for its answer any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upload_that_is_begun_for_a_statement_that_was_given_up_is_aborted() {
    for server in [Server::s3(), Server::gcs()] {
        server.bucket().take_small_parts();
        let ctx = in_parts(&server).await;
        let before = server.names("t").await;
        let copy = format!(
            "COPY (SELECT value, repeat(md5(CAST(value AS VARCHAR)), 4096) \
             FROM generate_series(1, 4)) TO '{}'",
            server.location("t/copied.csv")
        );
        for sql in [LARGE, &copy] {
            let late = Fault::on(&[Kind::BeginUpload], "/t/").times(1);
            server.fault(late.reply(Reply::Late));
            let begun = async {
                while server.uploads().await.is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                ended = run(&ctx, sql) => panic!("it ended too early: {ended:?}"),
                () = begun => {}
            }
            server.script().let_through();
            assert_nothing_is_left(&server, &before, sql).await;
            server.script().clear();
        }
    }
}
