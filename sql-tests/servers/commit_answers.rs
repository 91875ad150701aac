//! The commit of a version when the answer to its one conditional write is lost, late or a lie.

use std::sync::Arc;
use std::time::Duration;

use atio::{ErrorKind, StreamOptions, StreamWriter};
use datafusion::arrow::array::Int64Array;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;

use super::fault_script::{Apply, Fault, Reply};
use super::place::{Server, Wire};
use super::request::Kind;
use super::{assert_table, kind, session};
use crate::query::{row, rows};
use crate::session::run;

/// The writes that make a record: with a condition, and as what a store may take it for.
const COMMIT: &[Kind] = &[Kind::Create, Kind::Put];

/// The name of the record of a version, as part of its key.
fn record(version: usize) -> String {
    format!("/t/metadata/v{version}.metadata.json")
}

/// What can become of the write and of the answer to it, and what to call it.
fn faults() -> Vec<(&'static str, Apply, Reply)> {
    use Reply::{Close, Reset, Silence, Status, True};
    let soon = Apply::After(Duration::from_millis(30));
    let later = Apply::After(Duration::from_millis(400));
    vec![
        ("applied, closed", Apply::Once, Close),
        ("applied, reset", Apply::Once, Reset),
        ("applied, 500", Apply::Once, Status(500, "InternalError")),
        ("applied, 503", Apply::Once, Status(503, "SlowDown")),
        (
            "applied, 412",
            Apply::Once,
            Status(412, "PreconditionFailed"),
        ),
        (
            "applied, 409",
            Apply::Once,
            Status(409, "BlobAlreadyExists"),
        ),
        ("applied, no answer", Apply::Once, Silence),
        ("absent, closed", Apply::Never, Close),
        ("absent, reset", Apply::Never, Reset),
        ("absent, 500", Apply::Never, Status(500, "InternalError")),
        ("absent, 503", Apply::Never, Status(503, "SlowDown")),
        ("absent, 429", Apply::Never, Status(429, "TooManyRequests")),
        (
            "absent, 409",
            Apply::Never,
            Status(409, "ConditionalRequestConflict"),
        ),
        (
            "absent, 412",
            Apply::Never,
            Status(412, "PreconditionFailed"),
        ),
        ("absent, 403", Apply::Never, Status(403, "AccessDenied")),
        ("absent, 404", Apply::Never, Status(404, "NoSuchKey")),
        ("absent, no answer", Apply::Never, Silence),
        ("twice", Apply::Twice, True),
        ("twice, closed", Apply::Twice, Close),
        ("twice, reset", Apply::Twice, Reset),
        ("soon, closed", soon, Close),
        ("soon, reset", soon, Reset),
        ("soon, 500", soon, Status(500, "InternalError")),
        ("soon, 409", soon, Status(409, "ConditionalRequestConflict")),
        ("late, closed", later, Close),
        ("late, reset", later, Reset),
        ("late, no answer", later, Silence),
    ]
}

/// One INSERT for each fault, which is met `times` times: each is acknowledged, and its row is
/// there once, in one version.
async fn each_fault_commits_once(server: Server, times: usize) {
    // Long enough for a busy machine; a silent server is waited for so long.
    let server = server.with_timeout(Duration::from_secs(1));
    let ctx = session(&server).await;
    let mut values = Vec::new();
    for (what, apply, reply) in faults() {
        let version = values.len() + 1;
        let script = server.script();
        let met = script.hits();
        let fault = Fault::on(COMMIT, &record(version)).times(times);
        script.add(fault.apply(apply).reply(reply));

        let sql = format!("INSERT INTO t VALUES ({version})");
        match run(&ctx, &sql).await {
            Ok(_) => values.push(i64::try_from(version).unwrap()),
            Err(error) => panic!("{:?}, {what}, {times} times: {error}", server.wire),
        }
        assert_ne!(script.hits(), met, "{what}: no write met the fault");
        script.clear();
        let all = row(&ctx, "SELECT count(*), count(DISTINCT a) FROM t").await;
        assert_eq!(all, format!("{version}|{version}"), "{what}");
    }
    // What lands late has landed.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_table(&server, &values, values.len() as u64).await;
    let names = server.names("t").await;
    let data = names.iter().filter(|name| name.starts_with("data/"));
    assert_eq!(data.count(), values.len(), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_on_s3_commits_once_whatever_is_answered() {
    each_fault_commits_once(Server::s3(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_on_s3_commits_once_whatever_is_answered_three_times() {
    each_fault_commits_once(Server::s3(), 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_on_s3_commits_once_whatever_is_answered_without_retries() {
    each_fault_commits_once(Server::s3().with_retries(0), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_on_gcs_commits_once_whatever_is_answered() {
    each_fault_commits_once(Server::gcs(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_on_gcs_commits_once_whatever_is_answered_without_retries() {
    each_fault_commits_once(Server::gcs().with_retries(0), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_on_azurite_commits_once_whatever_is_answered() {
    if let Some(server) = Server::azurite().await {
        each_fault_commits_once(server.through_a_proxy(), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insert_on_azurite_commits_once_whatever_is_answered_without_retries() {
    if let Some(server) = Server::azurite().await {
        each_fault_commits_once(server.through_a_proxy().with_retries(0), 1).await;
    }
}

/// The same for every other statement that makes a version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_commits_once_whatever_is_answered() {
    let faults = [
        (Apply::Once, Reply::Close),
        (Apply::Once, Reply::Reset),
        (
            Apply::Never,
            Reply::Status(409, "ConditionalRequestConflict"),
        ),
        (Apply::Twice, Reply::True),
    ];
    for (apply, reply) in faults {
        for server in [Server::s3(), Server::gcs()] {
            // Of every version that comes, the first write.
            for version in 0..6 {
                let fault = Fault::on(COMMIT, &record(version)).times(1);
                server.fault(fault.apply(apply).reply(reply));
            }
            let ctx = session(&server).await;
            rows(&ctx, "INSERT INTO t VALUES (1)").await;
            rows(&ctx, "INSERT OVERWRITE t VALUES (2), (3)").await;
            rows(&ctx, "INSERT OVERWRITE t SELECT a FROM t WHERE a = 3").await;
            super::pass_a_second().await;
            let expire = "SELECT count(*) FROM expire_snapshots('t', keep_for => INTERVAL '0 days', \
                          dry_run => false)";
            rows(&ctx, expire).await;
            rows(&ctx, "INSERT INTO t VALUES (4)").await;
            assert_eq!(server.script().hits(), 6, "{apply:?} {reply:?}");
            assert_table(&server, &[3, 4], 5).await;

            let fault = Fault::on(COMMIT, "warehouse/public/t/metadata/v");
            server.fault(fault.times(1).apply(apply).reply(reply));
            let create = "CREATE TABLE w.public.t AS SELECT CAST(1 AS BIGINT) AS a";
            rows(&ctx, create).await;
            let read = "SELECT a FROM w.public.t";
            assert_eq!(rows(&server.session(), read).await, ["1"]);
            let fault = Fault::on(COMMIT, "warehouse/public/t/metadata/v2");
            server.fault(fault.times(1).apply(apply).reply(reply));
            rows(&ctx, "DROP TABLE w.public.t").await;
            assert!(run(&server.session(), read).await.is_err());
            assert_eq!(server.script().hits(), 8, "{apply:?} {reply:?}");
        }
    }
}

/// A record of another that has the number already is told apart from the own one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answer_to_a_write_that_lost_the_race_is_a_conflict_and_not_a_success() {
    for server in [Server::s3(), Server::gcs()] {
        let (one, two) = (session(&server).await, session(&server).await);
        let plan = async |sql: &str| {
            let planned = one.sql(sql).await.unwrap();
            planned.create_physical_plan().await.unwrap()
        };
        let (append, overwrite) = (
            plan("INSERT INTO t VALUES (1)").await,
            plan("INSERT OVERWRITE t VALUES (2)").await,
        );
        rows(&two, "INSERT INTO t VALUES (3)").await;
        for version in 1..4 {
            let fault = Fault::on(COMMIT, &record(version)).times(1);
            server.fault(fault.reply(Reply::Reset));
        }
        let collect = datafusion::physical_plan::collect;
        let error = collect(overwrite, one.task_ctx()).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::Conflict), "{error}");
        collect(append, one.task_ctx()).await.unwrap();
        assert_eq!(server.script().hits(), 2);
        server.script().clear();
        assert_table(&server, &[1, 3], 2).await;
    }
}

/// Once a write of the record was seen: makes reading it fail, and lets the minute until a
/// writer gives up pass at once. Whatever it waits for, it goes on waiting without an answer.
async fn pass_the_deadline(server: &Server, version: usize, reading: Reply) {
    while server.seen(Kind::Create, &record(version)) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reads = [Kind::Get, Kind::Head];
    server.fault(Fault::on(&reads, &record(version)).reply(reading));
    tokio::time::pause();
    std::future::pending().await
}

/// Runs `work`, whose commit of this version is never answered; gives what it failed with.
async fn without_an_answer<T: std::fmt::Debug, E: std::error::Error + 'static>(
    server: &Server,
    version: usize,
    reading: Reply,
    work: impl Future<Output = Result<T, E>>,
) -> String {
    let ended = tokio::select! {
        ended = work => ended,
        () = pass_the_deadline(server, version, reading) => unreachable!(),
    };
    tokio::time::resume();
    let error = ended.unwrap_err();
    let ours = atio::Error::find(&error).unwrap();
    assert_eq!(ours.kind(), ErrorKind::CommitUnknown, "{error}");
    let said = error.to_string();
    assert!(said.contains("atio_history"), "{said}");
    // What was sent and given up while time passed at once may still be on its way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    said
}

async fn insert_without_an_answer(server: &Server, ctx: &SessionContext, reading: Reply) {
    let insert = run(ctx, "INSERT INTO t VALUES (1)");
    without_an_answer(server, 1, reading, insert).await;
}

/// The write of version 2 is held, and every later one of it is refused without an answer.
fn hold_version_2(server: &Server) {
    let late = Fault::on(COMMIT, &record(2)).times(1);
    server.fault(late.apply(Apply::Held).reply(Reply::Reset));
    let again = Fault::on(COMMIT, &record(2)).apply(Apply::Never);
    server.fault(again.reply(Reply::Status(503, "SlowDown")));
}

/// The store answers again; what it held lands now, or never does.
async fn recover(server: &Server, lands: bool) {
    server.script().clear();
    let key = format!("{}{}", server.folder, record(2));
    assert!(server.bucket().get(&key).is_none(), "it landed too soon");
    if lands {
        server.script().let_through();
        for _ in 0..10_000 {
            if server.bucket().get(&key).is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("what was held never landed");
    }
}

#[tokio::test]
async fn load_in_chunks_whose_chunk_was_never_answered_goes_on_and_writes_each_row_once() {
    for lands in [true, false] {
        let server = Server::s3().with_retries(0);
        let ctx = session(&server).await;
        rows(&ctx, "SET datafusion.execution.target_partitions = 1").await;
        let load = || {
            let options = atio::CommitOptions {
                idempotency_key: Some("load".to_owned()),
                commit_every_rows: Some(2),
                ..Default::default()
            };
            atio::with_commit(&ctx, options).unwrap()
        };
        let insert = "INSERT INTO t SELECT value FROM generate_series(1, 7)";
        hold_version_2(&server);
        let first = load();
        let said = without_an_answer(&server, 2, Reply::Reset, run(&first, insert)).await;
        assert!(
            said.contains("2 rows in version 1, and perhaps the next rows, are kept"),
            "{said}"
        );
        recover(&server, lands).await;
        let kept = if lands { 4 } else { 2 };
        assert_eq!(row(&ctx, "SELECT count(*) FROM t").await, kept.to_string());
        assert_eq!(row(&load(), insert).await, (7 - kept).to_string());
        assert_table(&server, &[1, 2, 3, 4, 5, 6, 7], 4).await;
        assert_eq!(row(&load(), insert).await, "0");
    }
}

#[tokio::test]
async fn stream_whose_commit_was_never_answered_goes_on_and_writes_each_row_once() {
    for lands in [true, false] {
        let server = Server::s3().with_retries(0);
        let ctx = session(&server).await;
        let open = async || {
            let options = StreamOptions {
                source: Some("sensor".to_owned()),
                ..Default::default()
            };
            StreamWriter::open(&ctx, "t", options).await.unwrap()
        };
        let batch = |value: u64| {
            let values = Int64Array::from(vec![value as i64]);
            RecordBatch::try_from_iter([("a", Arc::new(values) as _)]).unwrap()
        };
        hold_version_2(&server);
        let mut stream = open().await;
        stream.push(batch(1), 1).await.unwrap();
        stream.commit().await.unwrap();
        stream.push(batch(2), 2).await.unwrap();
        without_an_answer(&server, 2, Reply::Reset, stream.commit()).await;
        stream.push(batch(3), 3).await.unwrap_err();
        drop(stream);
        recover(&server, lands).await;

        let mut stream = open().await;
        let position = stream.position().unwrap();
        assert_eq!(position, if lands { 2 } else { 1 });
        for value in position + 1..=4 {
            stream.push(batch(value), value).await.unwrap();
            stream.commit().await.unwrap();
        }
        stream.close().await.unwrap();
        assert_table(&server, &[1, 2, 3, 4], 4).await;
    }
}

/// How many objects of the only transaction that writes rows are on the store, beside the
/// record: its data file, the manifest, the snapshot.
async fn staged(server: &Server) -> usize {
    let names = server.names("t").await;
    let data = names.iter().find_map(|name| name.strip_prefix("data/"));
    let txn = data.and_then(|data| data.split('/').next()).unwrap();
    names.iter().filter(|name| name.contains(txn)).count()
}

#[tokio::test]
async fn record_that_lands_after_the_deadline_is_read_whole_and_nothing_was_deleted() {
    for reading in [Reply::True, Reply::Status(503, "SlowDown"), Reply::Reset] {
        let server = Server::s3().with_retries(0);
        let ctx = session(&server).await;
        let late = Fault::on(COMMIT, &record(1)).times(1);
        server.fault(late.apply(Apply::Held).reply(Reply::Reset));
        let again = Fault::on(COMMIT, &record(1)).apply(Apply::Never);
        server.fault(again.reply(Reply::Status(503, "SlowDown")));

        insert_without_an_answer(&server, &ctx, reading).await;
        server.script().clear();
        assert_eq!(staged(&server).await, 3);
        let key = format!("{}{}", server.folder, record(1));
        assert!(server.bucket().get(&key).is_none(), "it landed too soon");
        server.script().let_through();
        while server.bucket().get(&key).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_table(&server, &[1], 1).await;
        assert_eq!(staged(&server).await, 3);
        rows(&ctx, "INSERT INTO t VALUES (2)").await;
        assert_table(&server, &[1, 2], 2).await;
    }
}

#[tokio::test]
async fn record_that_never_lands_is_unknown_at_the_deadline_and_the_table_goes_on() {
    for (reply, wire) in [
        (Reply::Status(403, "AccessDenied"), Wire::S3),
        (Reply::Status(429, "TooManyRequests"), Wire::Gcs),
        (Reply::Close, Wire::S3),
    ] {
        let server = match wire {
            Wire::Gcs => Server::gcs(),
            _ => Server::s3(),
        };
        let server = server.with_retries(1);
        let ctx = session(&server).await;
        let never = Fault::on(COMMIT, &record(1)).apply(Apply::Never);
        server.fault(never.reply(reply));
        insert_without_an_answer(&server, &ctx, Reply::True).await;
        server.script().clear();
        assert_eq!(staged(&server).await, 3);
        assert_table(&server, &[], 0).await;
        rows(&ctx, "INSERT INTO t VALUES (2)").await;
        assert_table(&server, &[2], 1).await;
    }
}
