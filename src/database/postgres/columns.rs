//! The columns of a table, from the server's catalog.

use datafusion::arrow::datatypes::DataType;
use tokio_postgres::Client;

use super::client::{connect, failed};
use super::types;
use crate::database::column::Column;
use crate::database::name::TableName;
use crate::database::server::Server;
use crate::error::Result;

/// Tables, partitioned and foreign ones, and views; of a name without a schema the one that
/// the server itself would take.
const COLUMNS: &str = "
SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid),
           CASE WHEN t.typbasetype = 0 THEN a.atttypmod ELSE t.typtypmod END),
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',
       a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relname = $1::text AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = $2::text END
ORDER BY a.attnum";

/// None if there is no such table.
pub(in crate::database) async fn columns(
    server: &Server,
    table: &TableName,
) -> Result<Option<Vec<Column>>> {
    let client = connect(server).await?;
    of(&client, table).await
}

/// None if there is no such table, or it has no columns.
pub(super) async fn of(client: &Client, table: &TableName) -> Result<Option<Vec<Column>>> {
    let rows = client
        .query(COLUMNS, &[&table.table, &table.schema])
        .await
        .map_err(failed)?;
    let columns = rows.iter().map(|row| {
        let sql_type: String = row.try_get(1).map_err(failed)?;
        Ok(Column {
            name: row.try_get::<_, &str>(0).map_err(failed)?.to_owned(),
            data_type: types::data_type(&sql_type).unwrap_or(DataType::Utf8),
            step: types::step(&sql_type),
            sql_type,
            required: row.try_get(2).map_err(failed)?,
            generated: row.try_get(3).map_err(failed)?,
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok((!columns.is_empty()).then_some(columns))
}
