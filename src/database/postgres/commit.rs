//! The commit of a transaction, and what became of it if its answer is lost.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::Client;
use tokio_postgres::error::Severity;

use super::client::{connect, failed};
use crate::database::error::{unanswered, unknown};
use crate::database::server::Server;
use crate::error::Result;

/// How long to ask a server that may be starting again.
const ASK_FOR: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What the server says of a transaction: `committed`, `aborted` or `in progress`; NULL if it
/// has forgotten it.
const STATUS: &str = "SELECT pg_xact_status($1::text::xid8)";

/// Ends the process that still has the transaction: it may wait for a request that never comes.
///
/// Not one that waits for a replica: its transaction would commit on this server alone, and be
/// lost if the replica took over.
const END: &str = "
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = $1 AND backend_xid = $2::text::xid8::xid AND wait_event IS DISTINCT FROM 'SyncRep'";

/// A transaction that is to be committed.
pub(super) struct Sent {
    /// Its number, for good.
    id: String,
    /// The process of the server that has it.
    process: i32,
}

impl Sent {
    /// The transaction that the client is in.
    pub(super) async fn of(client: &Client) -> Result<Self> {
        let sql = "SELECT pg_current_xact_id()::text, pg_backend_pid()";
        let row = client.query_one(sql, &[]).await.map_err(failed)?;
        Ok(Self {
            id: row.try_get(0).map_err(failed)?,
            process: row.try_get(1).map_err(failed)?,
        })
    }

    /// Commits it. If no answer comes, the server is asked on other connections what became of
    /// it; [`CommitUnknown`](crate::ErrorKind::CommitUnknown) if that cannot be learned.
    pub(super) async fn commit(&self, server: &Server, client: &Client) -> Result<()> {
        let committed = client.batch_execute("COMMIT");
        let lost = match timeout(server.commit_timeout, committed).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => {
                let refused = error.as_db_error().is_some_and(|said| {
                    // A server that ends the connection may have committed before.
                    let severity = said.parsed_severity();
                    !matches!(severity, Some(Severity::Fatal | Severity::Panic))
                });
                let error = failed(error);
                match refused {
                    true => return Err(error),
                    false => error,
                }
            }
            Err(_) => unanswered(server.commit_timeout),
        };
        let give_up = Instant::now() + ASK_FOR;
        while Instant::now() < give_up {
            match timeout_at(give_up, self.status(server)).await {
                Ok(Ok(Some(status))) if status == "committed" => return Ok(()),
                Ok(Ok(Some(status))) if status == "aborted" => return Err(lost),
                Ok(Ok(None)) => break,
                // It is being committed, or the server is not there yet.
                _ => sleep(ASK_EVERY).await,
            }
        }
        Err(unknown(&lost))
    }

    async fn status(&self, server: &Server) -> Result<Option<String>> {
        let client = connect(server).await?;
        let row = client
            .query_one(STATUS, &[&self.id])
            .await
            .map_err(failed)?;
        let status: Option<String> = row.try_get(0).map_err(failed)?;
        if status.as_deref() == Some("in progress") {
            // If it may not be ended, asking goes on.
            client.query(END, &[&self.process, &self.id]).await.ok();
        }
        Ok(status)
    }
}
