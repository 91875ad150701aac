//! What is found out about a store before the first write to it: that it is there, and that
//! it keeps writers apart.

use std::time::Duration;

use atio::ErrorKind;
use datafusion::prelude::SessionContext;

use super::bucket::Conditions;
use super::fault_script::{Apply, Fault, Reply};
use super::place::{BUCKET, Server};
use super::request::Kind;
use super::{assert_table, kind, on_every_server, refusal, session};
use crate::long_form::long;
use crate::query::rows;
use crate::session::run;

on_every_server!(
    store_that_keeps_conditions_is_tried_out_once_and_a_note_of_it_is_left,
    missing_bucket_is_told_apart_from_a_missing_table,
);

fn create(server: &Server, bucket: &str, options: &str) -> String {
    let location = format!("{}/{}/t", server.url_of(bucket), server.folder);
    format!("CREATE EXTERNAL TABLE t (a BIGINT) STORED AS ATIO LOCATION '{location}' {options}")
}

async fn assert_refused(ctx: &SessionContext, sql: &str) {
    let (kind, error) = refusal(ctx, sql).await;
    assert_eq!(kind, Some(ErrorKind::UnsafeStore), "{error}");
    assert!(error.contains("atio.single_writer"), "{error}");
}

async fn store_that_keeps_conditions_is_tried_out_once_and_a_note_of_it_is_left(server: Server) {
    // To count what comes in.
    let server = server.through_a_proxy();
    let ctx = session(&server).await;
    let tried = server.seen(Kind::Create, "_atio_tmp/");
    assert!(tried >= 8, "{tried} writes tell nothing");
    for a in 0..3 {
        rows(&ctx, &format!("INSERT INTO t VALUES ({a})")).await;
    }
    assert_eq!(server.seen(Kind::Create, "_atio_tmp/"), tried);
    assert_table(&server, &[0, 1, 2], 3).await;
    let mut names = server.names("t").await;
    names.retain(|name| name.starts_with("_atio_tmp/"));
    names.sort_unstable();
    let note = ["_atio_tmp/store/note.json", "_atio_tmp/store/tried"];
    assert_eq!(names, note);
    // A process that comes later need not try it out again.
    rows(&session(&server).await, "INSERT INTO t VALUES (3)").await;
    assert_eq!(server.seen(Kind::Create, "_atio_tmp/"), tried + 1);
}

async fn missing_bucket_is_told_apart_from_a_missing_table(server: Server) {
    let open = create(&server, "atio-nothing", "").replace("(a BIGINT)", "");
    for sql in [create(&server, "atio-nothing", ""), open] {
        let ctx = server.session_of("atio-nothing");
        let (kind, error) = refusal(&ctx, &sql).await;
        assert_eq!(kind, Some(ErrorKind::StoreNotFound), "{sql}: {error}");
        assert!(error.contains("atio-nothing"), "{error}");
    }
    let open = create(&server, BUCKET, "").replace("(a BIGINT)", "");
    let (kind, error) = refusal(&server.session(), &open).await;
    assert_eq!(kind, Some(ErrorKind::TableNotFound), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_ignores_or_races_conditions_is_refused_before_the_first_write() {
    for server in [Server::s3(), Server::gcs()] {
        for conditions in [
            Conditions::Ignored,
            // Long enough for a busy machine to let all requests in.
            Conditions::Raced(Duration::from_millis(400)),
        ] {
            server.bucket().treat(conditions);
            for sql in [
                create(&server, BUCKET, ""),
                "CREATE TABLE w.public.t (a BIGINT)".to_owned(),
                "CREATE TABLE w.public.t AS SELECT 1 AS a".to_owned(),
            ] {
                // A session of its own each time: what one has found out it remembers.
                assert_refused(&server.session(), &sql).await;
            }
            for table in ["t", "warehouse/public/t"] {
                assert_eq!(server.names(table).await, Vec::<String>::new());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_on_a_store_that_became_unsafe_is_read_and_not_written() {
    for server in [Server::s3(), Server::gcs()] {
        rows(&session(&server).await, "INSERT INTO t VALUES (1)").await;
        server.bucket().treat(Conditions::Ignored);
        let before = server.names("t").await;
        let ctx = session(&server).await;
        assert_eq!(rows(&ctx, "SELECT a FROM t").await, ["1"]);
        assert_refused(&ctx, "INSERT INTO t VALUES (2)").await;
        assert_refused(&ctx, "INSERT OVERWRITE t VALUES (2)").await;
        assert_eq!(server.names("t").await, before);
        assert_table(&server, &[1], 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_writer_may_use_a_store_that_ignores_conditions() {
    for server in [Server::s3(), Server::gcs()] {
        server.bucket().treat(Conditions::Ignored);
        let ctx = server.session();
        let single = "OPTIONS ('atio.single_writer' 'true')";
        rows(&ctx, &create(&server, BUCKET, single)).await;
        for a in 0..3 {
            rows(&ctx, &format!("INSERT INTO t VALUES ({a})")).await;
        }
        assert_eq!(server.seen(Kind::Create, "_atio_tmp/"), 0);
        assert_table(&server, &[0, 1, 2], 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_while_a_store_is_tried_out_do_not_make_it_unsafe() {
    for (apply, reply) in [
        (Apply::Once, Reply::Close),
        (Apply::Once, Reply::Reset),
        (Apply::Once, Reply::Status(500, "InternalError")),
        (Apply::Never, Reply::Reset),
        (Apply::Never, Reply::Status(503, "SlowDown")),
        (
            Apply::Never,
            Reply::Status(409, "ConditionalRequestConflict"),
        ),
    ] {
        for server in [Server::s3(), Server::gcs()] {
            for n in 1..=10 {
                server.script().clear();
                let fault = Fault::on(&[Kind::Create], "_atio_tmp/").from(n).times(1);
                server.fault(fault.apply(apply).reply(reply));
                let ctx = session(&server).await;
                let sql = format!("INSERT INTO t VALUES ({n})");
                // It may be undecided; then the statement works when it is run again.
                if let Err(error) = run(&ctx, &sql).await {
                    assert_eq!(kind(&error), Some(ErrorKind::Storage), "{n}: {error}");
                    rows(&ctx, &sql).await;
                }
            }
            assert_table(&server, &(1..=10).collect::<Vec<_>>(), 10).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3s_fs_is_refused_by_most_sessions() {
    let Some(server) = Server::s3s_fs().await else {
        return;
    };
    let sessions = if long() { 100 } else { 30 };
    let mut refused = 0;
    for n in 0..sessions {
        let create = format!("CREATE TABLE w.public.t{n} (a BIGINT)");
        if let Err(error) = run(&server.session(), &create).await {
            assert_eq!(kind(&error), Some(ErrorKind::UnsafeStore), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 0, "none of {sessions} sessions noticed");
}
