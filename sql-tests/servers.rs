//! Tables on servers that speak S3, GCS and Azure.
//!
//! Two of the servers are of this folder: they fail as their scripts say. The others are
//! programs that `.ci/servers` installs; where they are missing the tests say so and pass,
//! unless `CI` is set.

#![cfg(test)]

mod bucket;
mod commit_answers;
mod copy;
mod every_server;
mod fake_server;
mod fake_server_conformance;
mod fault_script;
mod multipart_uploads;
#[path = "../crates/atio-core/tests/shared/object_store_servers.rs"]
mod object_store_servers;
mod place;
mod protocol;
mod racing_conditions;
mod request;
#[path = "../crates/atio-core/tests/shared/server_program.rs"]
pub(crate) mod server_program;
mod short_reads;
mod store_probe;
mod throttling;

use atio::ErrorKind;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::query::{row, rows};
use crate::session::run;
use place::Server;

/// Runs each check on every server that keeps its promises.
macro_rules! on_every_server {
    ($($check:ident),+ $(,)?) => { $(
        mod $check {
            use crate::servers::place::Server;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_s3() {
                super::$check(Server::s3()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_gcs() {
                super::$check(Server::gcs()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_azurite() {
                if let Some(server) = Server::azurite().await {
                    super::$check(server).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_moto() {
                if let Some(server) = Server::moto().await {
                    super::$check(server).await;
                }
            }
        }
    )+ };
}
use on_every_server;

/// Whether there is time for the larger sizes.
/// Stores tell the time in whole seconds, and an expiry asks them for it: what was committed
/// in the present second is not old yet.
async fn pass_a_second() {
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
}

/// Opens or creates the table `t`, with a column `a`.
async fn open(ctx: &SessionContext, server: &Server) {
    create(ctx, server, "a BIGINT", "").await;
}

/// Opens or creates the table `t` with these columns and options.
async fn create(ctx: &SessionContext, server: &Server, columns: &str, options: &str) {
    let location = server.location("t");
    let sql = format!(
        "CREATE EXTERNAL TABLE t ({columns}) STORED AS ATIO LOCATION '{location}' {options}"
    );
    rows(ctx, &sql).await;
}

/// A session with the table `t`, which it opens or creates.
async fn session(server: &Server) -> SessionContext {
    let ctx = server.session();
    open(&ctx, server).await;
    ctx
}

/// Passes if a session that knows nothing finds exactly these values in `t`, as the rows of
/// versions 0 to `versions`.
async fn assert_table(server: &Server, values: &[i64], versions: u64) {
    let ctx = session(server).await;
    let mut expected: Vec<_> = values.iter().map(i64::to_string).collect();
    expected.sort_unstable();
    assert_eq!(rows(&ctx, "SELECT a FROM t").await, expected);
    let history = "SELECT count(*), min(version), max(version) FROM atio_history('t')";
    assert_eq!(
        row(&ctx, history).await,
        format!("{}|0|{versions}", versions + 1)
    );
}

/// The kind and the text of the error of a statement that must fail.
async fn refusal(ctx: &SessionContext, sql: &str) -> (Option<ErrorKind>, String) {
    match run(ctx, sql).await {
        Ok(_) => panic!("{sql} succeeded"),
        Err(error) => (kind(&error), error.strip_backtrace()),
    }
}

/// The kind of the error of atio that is in `error`; None if the engine alone speaks.
fn kind(error: &DataFusionError) -> Option<ErrorKind> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<atio::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}
