//! The columns of a table, from the server's catalog.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::client::{connect, failed};
use super::types;
use crate::database::column::Column;
use crate::database::name::TableName;
use crate::database::server::Server;
use crate::error::Result;

const COLUMNS: &str = "
SELECT column_name, column_type, is_nullable = 'NO' AND column_default IS NULL AND extra NOT LIKE '%auto_increment%',
       extra LIKE '%GENERATED%' AND extra NOT LIKE 'DEFAULT_GENERATED%'
FROM information_schema.columns
WHERE table_schema = coalesce(?, database()) AND table_name = ?
ORDER BY ordinal_position";

const ENGINE: &str = "
SELECT t.engine, e.transactions = 'YES'
FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine
WHERE t.table_schema = coalesce(?, database()) AND t.table_name = ?";

/// None if there is no such table.
pub(in crate::database) async fn columns(
    server: &Server,
    table: &TableName,
) -> Result<Option<Vec<Column>>> {
    let mut connection = connect(server).await?;
    let columns = of(&mut connection, table).await?;
    // The answer is there, however the farewell goes.
    connection.disconnect().await.ok();
    Ok(columns)
}

/// None if there is no such table.
pub(super) async fn of(connection: &mut Conn, table: &TableName) -> Result<Option<Vec<Column>>> {
    let names = (&table.schema, &table.table);
    let rows: Vec<(String, String, bool, bool)> =
        connection.exec(COLUMNS, names).await.map_err(failed)?;
    let columns = rows
        .into_iter()
        .map(|(name, sql_type, required, generated)| Column {
            name,
            data_type: types::data_type(&sql_type),
            step: types::step(&sql_type),
            sql_type,
            required,
            generated,
        });
    let columns: Vec<_> = columns.collect();
    Ok((!columns.is_empty()).then_some(columns))
}

/// What a table says of itself; None if there is no such table.
pub(super) async fn comment(connection: &mut Conn, table: &TableName) -> Result<Option<String>> {
    let sql = "SELECT table_comment FROM information_schema.tables WHERE table_schema = coalesce(?, database()) AND table_name = ?";
    connection
        .exec_first(sql, (&table.schema, &table.table))
        .await
        .map_err(failed)
}

/// The engine of a table if it cannot undo what a transaction did.
pub(super) async fn engine_without_transactions(
    connection: &mut Conn,
    table: &TableName,
) -> Result<Option<String>> {
    let names = (&table.schema, &table.table);
    let found: Option<(Option<String>, Option<bool>)> =
        connection.exec_first(ENGINE, names).await.map_err(failed)?;
    // A view has no engine, and those of its tables are not known.
    let Some((engine, transactions)) = found else {
        return Ok(None);
    };
    match transactions {
        Some(true) => Ok(None),
        _ => Ok(Some(engine.unwrap_or_else(|| "a view".to_owned()))),
    }
}
