//! COPY to servers: an object is there when the query has ended, and no upload is left.

use std::time::Duration;

use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use super::fault_script::{Apply, Fault, Reply};
use super::place::Server;
use super::request::Kind;
use crate::query::{failure, row, rows};
use crate::session::run;

const ROWS: i64 = 30_000;

fn session(server: &Server) -> SessionContext {
    server.bucket().take_small_parts();
    server.session()
}

fn copy(server: &Server, name: &str, rows: i64, divisor: i64) -> String {
    format!(
        "COPY (SELECT value AS i, {rows} AS n, 1 / (value - {divisor}) AS x, \
         md5(CAST(value AS VARCHAR)) AS s FROM generate_series(1, {rows})) TO '{}'",
        server.location(name)
    )
}

/// Everything in the bucket.
async fn names(server: &Server) -> Vec<String> {
    let listed: Vec<_> = server.client().list(None).try_collect().await.unwrap();
    let mut names: Vec<_> = listed
        .iter()
        .map(|meta| meta.location.filename().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

async fn assert_nothing_but(server: &Server, expected: &[&str], what: &str) {
    for _ in 0..200 {
        if names(server).await == expected && server.uploads().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(names(server).await, expected, "{what}");
    assert_eq!(server.uploads().await, Vec::<String>::new(), "{what}");
}

async fn is_whole_or_not_there(server: Server) {
    let ctx = session(&server);
    rows(
        &ctx,
        "SET datafusion.execution.objectstore_writer_buffer_size = 100000",
    )
    .await;
    // A query that fails at its last row, when most of it is on the store.
    let failed = failure(&ctx, &copy(&server, "a.csv", ROWS, ROWS)).await;
    assert!(failed.contains("Divide by zero"), "{failed}");
    assert_nothing_but(&server, &[], "the query fails").await;
    // One that is given up.
    let endless = copy(&server, "a.csv", 1_000_000_000, 0);
    let given_up = tokio::time::timeout(Duration::from_millis(700), rows(&ctx, &endless)).await;
    assert!(given_up.is_err());
    assert_nothing_but(&server, &[], "given up").await;

    assert_eq!(
        row(&ctx, &copy(&server, "a.csv", ROWS, 0)).await,
        ROWS.to_string()
    );
    let whole = ["a.csv"];
    assert_nothing_but(&server, &whole, "done").await;
    let parts = server.seen(Kind::PutPart, "a.csv");
    assert!(parts > 4, "{parts}");

    for (request, n) in [
        (Kind::BeginUpload, 1),
        (Kind::PutPart, 1),
        (Kind::PutPart, 3),
        (Kind::CompleteUpload, 1),
    ] {
        let what = format!("{request:?} {n} fails");
        let fault = Fault::on(&[request], "a.csv").from(n).apply(Apply::Never);
        server.fault(fault.reply(Reply::Status(400, "InvalidRequest")));
        let failed = run(&ctx, &copy(&server, "a.csv", 10 * ROWS, 0)).await;
        assert!(failed.is_err(), "{what}");
        server.script().clear();
        assert_nothing_but(&server, &whole, &what).await;
        let read = format!(
            "CREATE EXTERNAL TABLE r STORED AS CSV LOCATION '{}'",
            server.location("a.csv")
        );
        let fresh = server.session();
        rows(&fresh, &read).await;
        assert_eq!(
            row(&fresh, "SELECT count(*), max(n) FROM r").await,
            format!("{ROWS}|{ROWS}")
        );
    }
    assert_eq!(row(&ctx, &copy(&server, "a.csv", 7, 0)).await, "7");
    assert_nothing_but(&server, &whole, "replaced").await;
}

/// The client asks again by itself, and is told that its own object is there.
async fn is_done_although_it_was_asked_for_twice(server: Server) {
    let ctx = session(&server);
    for existing in ["fail", "skip"] {
        let name = format!("{existing}.csv");
        let fault = Fault::on(&[Kind::Create], &name).times(1);
        server.fault(fault.reply(Reply::Status(500, "InternalError")));
        let sql = format!(
            "{} OPTIONS ('atio.if_exists' '{existing}')",
            copy(&server, &name, 7, 0)
        );
        assert_eq!(row(&ctx, &sql).await, "7");
        server.script().clear();
        assert_eq!(server.seen(Kind::Create, &name), 2);
    }
    assert_nothing_but(&server, &["fail.csv", "skip.csv"], "done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_s3_is_done_although_it_was_asked_for_twice() {
    is_done_although_it_was_asked_for_twice(Server::s3().with_retries(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_s3_is_whole_or_not_there_and_leaves_no_upload() {
    is_whole_or_not_there(Server::s3().with_retries(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_gcs_is_whole_or_not_there_and_leaves_no_upload() {
    is_whole_or_not_there(Server::gcs().with_retries(1)).await;
}

/// Blocks of a blob that are not committed are not listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_azurite_is_whole_or_not_there() {
    let Some(server) = Server::azurite().await else {
        return;
    };
    let ctx = server.session();
    let part = "SET datafusion.execution.objectstore_writer_buffer_size = 100000";
    rows(&ctx, part).await;
    let names = async || {
        let folder = Path::from(server.folder.trim_matches('/'));
        let listed = server.client().list(Some(&folder)).try_collect().await;
        let listed: Vec<ObjectMeta> = listed.unwrap();
        let names = listed.iter().map(|meta| meta.location.filename());
        names
            .map(|name| name.unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let failed = failure(&ctx, &copy(&server, "a.csv", ROWS, ROWS)).await;
    assert!(failed.contains("Divide by zero"), "{failed}");
    assert_eq!(names().await, [""; 0]);
    let endless = copy(&server, "a.csv", 1_000_000_000, 0);
    let given_up = tokio::time::timeout(Duration::from_millis(700), rows(&ctx, &endless)).await;
    assert!(given_up.is_err());
    assert_eq!(names().await, [""; 0]);

    for n in [7, ROWS, 8] {
        assert_eq!(
            row(&ctx, &copy(&server, "a.csv", n, 0)).await,
            n.to_string()
        );
        assert_eq!(names().await, ["a.csv"]);
        let failed = failure(&ctx, &copy(&server, "a.csv", ROWS, ROWS)).await;
        assert!(failed.contains("Divide by zero"), "{failed}");
        for if_exists in ["fail", "skip"] {
            let again = copy(&server, "a.csv", 9, 0);
            let again = format!("{again} OPTIONS ('atio.if_exists' '{if_exists}')");
            match run(&ctx, &again).await {
                Ok(_) => assert_eq!(if_exists, "skip"),
                Err(error) => {
                    assert_eq!(if_exists, "fail", "{error}");
                    assert!(error.to_string().contains("is there already"), "{error}");
                }
            }
        }
        let fresh = server.session();
        let read = format!(
            "CREATE EXTERNAL TABLE r STORED AS CSV LOCATION '{}'",
            server.location("a.csv")
        );
        rows(&fresh, &read).await;
        let found = row(&fresh, "SELECT count(*), max(n) FROM r").await;
        assert_eq!(found, format!("{n}|{n}"));
    }
}
