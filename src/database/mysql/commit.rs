//! The commit of a transaction, the name of a new table, and what became of both if the answer
//! is lost.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::{connect, failed};
use super::{columns, side_table};
use crate::database::error::{unanswered, unknown};
use crate::database::name::TableName;
use crate::database::server::Server;
use crate::error::{Error, Result};

/// How long to ask a server that may be starting again.
const ASK_FOR: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What a server says that ends a statement from without, which it may have done by then: it
/// shuts down, somebody ended the statement, or the connection.
const INTERRUPTED: [u16; 3] = [1053, 1317, 1927];

/// How a statement ended.
enum Answer {
    Done,
    Refused(Error),
    /// It may have been done.
    Lost(Error),
}

/// Commits, and gives a side table its name.
///
/// Fails with [`CommitUnknown`](crate::ErrorKind::CommitUnknown) if the answer is lost and the
/// server has nothing that tells.
pub(super) async fn commit(
    server: &Server,
    connection: &mut Conn,
    table: &TableName,
    side: Option<&TableName>,
) -> Result<()> {
    let committed = answer(server, connection.query_drop("COMMIT")).await;
    let Some(side) = side else {
        return match committed {
            Answer::Done => Ok(()),
            Answer::Refused(error) => Err(error),
            Answer::Lost(error) => Err(unknown(&error)),
        };
    };
    match committed {
        Answer::Done => {}
        Answer::Refused(error) => {
            side_table::abandon(connection, side).await;
            return Err(error);
        }
        // Nobody sees the side table; the next write that makes one drops it.
        Answer::Lost(error) => return Err(error),
    }
    match answer(server, side_table::publish(connection, side, table)).await {
        Answer::Done => Ok(()),
        Answer::Refused(error) => {
            side_table::abandon(connection, side).await;
            Err(error)
        }
        Answer::Lost(error) => after_lost_answer(server, table, side, error).await,
    }
}

async fn answer(
    server: &Server,
    statement: impl Future<Output = std::result::Result<(), mysql_async::Error>>,
) -> Answer {
    match timeout(server.commit_timeout, statement).await {
        Ok(Ok(())) => Answer::Done,
        Ok(Err(mysql_async::Error::Server(said))) => {
            let lost = INTERRUPTED.contains(&said.code);
            let error = failed(mysql_async::Error::Server(said));
            match lost {
                true => Answer::Lost(error),
                false => Answer::Refused(error),
            }
        }
        Ok(Err(error)) => Answer::Lost(failed(error)),
        Err(_) => Answer::Lost(unanswered(server.commit_timeout)),
    }
}

/// What is found of a side table.
enum Found {
    /// It has its name.
    Renamed,
    /// It has not, and is dropped.
    NotRenamed,
    /// Neither: somebody else dropped or renamed it, before it got its name or after.
    Nothing,
    /// The server may still be at it.
    Busy,
}

/// Looks, on new connections, whether a side table got its name although no answer came.
async fn after_lost_answer(
    server: &Server,
    table: &TableName,
    side: &TableName,
    lost: Error,
) -> Result<()> {
    let give_up = Instant::now() + ASK_FOR;
    while Instant::now() < give_up {
        match timeout_at(give_up, look(server, table, side)).await {
            Ok(Ok(Found::Renamed)) => return Ok(()),
            Ok(Ok(Found::NotRenamed)) => return Err(lost),
            Ok(Ok(Found::Nothing)) => break,
            _ => sleep(ASK_EVERY).await,
        }
    }
    Err(unknown(&lost))
}

async fn look(server: &Server, table: &TableName, side: &TableName) -> Result<Found> {
    let mut connection = connect(server).await?;
    // The lock is free when the server has done with the connection that is lost, which may
    // wait for a request that never comes.
    let holder = "SELECT is_used_lock(?)";
    let holder: Option<Option<u64>> = connection
        .exec_first(holder, (&side.table,))
        .await
        .map_err(failed)?;
    if let Some(holder) = holder.flatten() {
        connection.query_drop(format!("KILL {holder}")).await.ok();
    }
    let wait = "SELECT get_lock(?, 5)";
    let free: Option<Option<i64>> = connection
        .exec_first(wait, (&side.table,))
        .await
        .map_err(failed)?;
    if free.flatten() != Some(1) {
        return Ok(Found::Busy);
    }
    // A name alone proves nothing: another table may have it.
    let found = match columns::comment(&mut connection, table).await? {
        Some(comment) if comment == side_table::comment(side) => Found::Renamed,
        _ => match columns::comment(&mut connection, side).await? {
            Some(_) => {
                side_table::abandon(&mut connection, side).await;
                Found::NotRenamed
            }
            None => Found::Nothing,
        },
    };
    // The answer is there, however the farewell goes.
    connection.disconnect().await.ok();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn statement_that_is_ended_from_without_may_have_been_done() {
        let said = |code| {
            let error = mysql_async::ServerError {
                code,
                message: "no".to_owned(),
                state: "HY000".to_owned(),
            };
            Err(mysql_async::Error::Server(error))
        };
        let server = Server::default();
        for code in [1053, 1317, 1927] {
            let answer = answer(&server, async { said(code) }).await;
            assert!(matches!(answer, Answer::Lost(_)), "{code}");
        }
        // A deadlock, and a table that is there.
        for code in [1213, 1050] {
            let answer = answer(&server, async { said(code) }).await;
            assert!(matches!(answer, Answer::Refused(_)), "{code}");
        }
    }
}
