//! Answers that are cut off or too short: an error or all rows, never fewer.

use super::fault_script::{Fault, Reply};
use super::place::Server;
use super::request::Kind;
use super::session;
use crate::query::{row, rows};
use crate::session::run;

/// What a table is made of, by parts of the keys.
const OBJECTS: [&str; 7] = [
    "/data/",
    "/metadata/manifest",
    "/metadata/snapshot",
    "/metadata/schema",
    "/metadata/v2.",
    "/_current_version.json",
    "",
];

/// Queries that need a footer, one column, and all of the bytes.
const QUERIES: [(&str, &str); 3] = [
    ("SELECT count(*) FROM t", "2000"),
    (
        "SELECT sum(a), count(a), min(a), max(a) FROM t",
        "2001000|2000|1|2000",
    ),
    (
        "SELECT sum(a) FROM t WHERE a > 1000 AND a % 2 = 0",
        "750500",
    ),
];

async fn table(server: &Server) {
    let ctx = session(server).await;
    for insert in ["generate_series(1, 1000)", "generate_series(1001, 2000)"] {
        rows(&ctx, &format!("INSERT INTO t SELECT value FROM {insert}")).await;
    }
}

/// Reads the table in a session that knows nothing; how many queries met an error.
async fn read(server: &Server, what: &str) -> usize {
    let mut errors = 0;
    for (sql, expected) in QUERIES {
        let ctx = server.session();
        let location = server.location("t");
        let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
        if run(&ctx, &open).await.is_err() {
            errors += 1;
            continue;
        }
        match run(&ctx, sql).await {
            Ok(found) => assert_eq!(crate::query::texts(&found), [expected], "{what}: {sql}"),
            Err(_) => errors += 1,
        }
    }
    errors
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_or_short_answer_is_an_error_or_all_rows_and_never_fewer() {
    for server in [Server::s3(), Server::gcs()] {
        let server = server.with_retries(2);
        table(&server).await;
        assert_eq!(read(&server, "no fault").await, 0);
        for key in OBJECTS {
            let mut errors = 0;
            for reply in [
                Reply::Cut(0),
                Reply::Cut(1),
                Reply::Cut(40),
                Reply::Short(1),
                Reply::Short(8),
                Reply::Short(100),
                Reply::Short(usize::MAX),
            ] {
                let met = server.script().hits();
                server.fault(Fault::on(&[Kind::Get], key).reply(reply));
                let what = format!("{:?}, '{key}', {reply:?}", server.wire);
                errors += read(&server, &what).await;
                assert_ne!(server.script().hits(), met, "{what}: nothing met it");
                server.script().clear();
            }
            // The pointer is a hint: without it the newest version is found by listing.
            assert!(errors > 0 || key.contains("pointer"), "'{key}' is not read");
        }
        assert_eq!(read(&server, "no fault any more").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_is_cut_off_once_is_read_on_from_there() {
    for server in [Server::s3(), Server::gcs()] {
        table(&server).await;
        for key in OBJECTS {
            let met = server.script().hits();
            server.fault(Fault::on(&[Kind::Get], key).times(1).reply(Reply::Cut(1)));
            let what = format!("'{key}' cut off once");
            assert_eq!(read(&server, &what).await, 0, "{what}");
            assert_eq!(server.script().hits(), met + 1);
            server.script().clear();
        }
    }
}

/// Half an answer is no reason to write: what it says about the table is not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_that_reads_cut_or_short_metadata_fails_or_keeps_all_rows() {
    for server in [Server::s3(), Server::gcs()] {
        let server = server.with_retries(2);
        table(&server).await;
        let mut count = 2000;
        for key in OBJECTS {
            for reply in [Reply::Cut(1), Reply::Short(1), Reply::Short(usize::MAX)] {
                let ctx = server.session();
                let location = server.location("t");
                let open = format!("CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{location}'");
                rows(&ctx, &open).await;
                server.fault(Fault::on(&[Kind::Get], key).reply(reply));
                if run(&ctx, "INSERT INTO t VALUES (0)").await.is_ok() {
                    count += 1;
                }
                server.script().clear();
                let found = row(&session(&server).await, "SELECT count(*) FROM t").await;
                assert_eq!(found, count.to_string(), "'{key}', {reply:?}");
            }
        }
    }
}
