//! A table that is filled beside the one it becomes: MySQL commits a CREATE at once.
//!
//! 1. A lock with the name of the side table is taken. It ends with the connection.
//! 2. The side table is made, and filled in one transaction. A crash leaves it behind, under
//!    a name that nobody takes for a table of theirs.
//! 3. It is renamed, which the server does whole or not at all. Its comment stays, and tells
//!    whose table it is if the answer is lost.
//!
//! Side tables whose lock is free belong to nobody any more: the next write that makes a
//! table drops them, as far as it may and nobody reads them.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::client::failed;
use crate::database::name::{TableName, quoted};
use crate::error::Result;

/// What the names of side tables begin with.
const PREFIX: &str = "_atio_new_";

/// So that a DROP does not wait, for a day or a year, until nobody reads the table.
const HURRY: &str = "SET SESSION lock_wait_timeout = 1";

/// The name of a side table for `table`, locked for this connection.
pub(super) async fn begin(connection: &mut Conn, table: &TableName) -> Result<TableName> {
    drop_abandoned(connection, table).await?;
    let side = TableName {
        schema: table.schema.clone(),
        table: format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()),
    };
    connection
        .exec_drop("SELECT get_lock(?, 0)", (&side.table,))
        .await
        .map_err(failed)?;
    Ok(side)
}

async fn drop_abandoned(connection: &mut Conn, table: &TableName) -> Result<()> {
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = coalesce(?, database()) AND left(table_name, ?) = ? AND is_free_lock(table_name)";
    let abandoned: Vec<String> = connection
        .exec(sql, (&table.schema, PREFIX.len(), PREFIX))
        .await
        .map_err(failed)?;
    if abandoned.is_empty() {
        return Ok(());
    }
    connection.query_drop(HURRY).await.map_err(failed)?;
    for name in abandoned {
        let side = TableName {
            schema: table.schema.clone(),
            table: name,
        };
        let sql = format!("DROP TABLE IF EXISTS {}", side.quoted('`'));
        match connection.query_drop(sql).await {
            // Somebody reads it, or only its owner may drop it: it is in nobody's way.
            Err(error @ mysql_async::Error::Server(_)) => {
                ::log::warn!(
                    "cannot drop the abandoned table '{side}': {}",
                    failed(error)
                );
            }
            dropped => dropped.map_err(failed)?,
        }
    }
    let patient = "SET SESSION lock_wait_timeout = DEFAULT";
    connection.query_drop(patient).await.map_err(failed)
}

/// What a table that was made beside says of itself. No character of it needs a quote.
pub(super) fn comment(side: &TableName) -> String {
    format!("made by atio as {}", side.table)
}

/// Gives the side table its name. Fails if there is a table of this name by now.
pub(super) async fn publish(
    connection: &mut Conn,
    side: &TableName,
    table: &TableName,
) -> std::result::Result<(), mysql_async::Error> {
    let sql = format!("RENAME TABLE {} TO {}", side.quoted('`'), table.quoted('`'));
    connection.query_drop(sql).await
}

/// Removes the side table of a write that failed.
pub(super) async fn abandon(connection: &mut Conn, side: &TableName) {
    // If this fails, the next write does it.
    connection.query_drop(HURRY).await.ok();
    let sql = format!("DROP TABLE IF EXISTS {}", side.quoted('`'));
    connection.query_drop(sql).await.ok();
}

/// As a column is defined. Always with NULL: MariaDB gives a timestamp a default otherwise.
pub(super) fn definition(name: &str, sql_type: &str) -> String {
    format!("{} {sql_type} NULL", quoted(name, '`'))
}
