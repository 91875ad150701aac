//! The columns of a table, from the database's own tables.

use std::path::Path;

use datafusion::common::runtime::SpawnedTask;
use rusqlite::OptionalExtension;

use super::open::{Purpose, failed, open};
use super::types;
use crate::database::column::Column;
use crate::database::name::{TableName, quoted};
use crate::error::{Error, ErrorKind, Result};

/// None if there is no such table.
pub(in crate::database) async fn columns(
    path: &Path,
    table: &TableName,
) -> Result<Option<Vec<Column>>> {
    let (path, table) = (path.to_owned(), table.clone());
    let task = SpawnedTask::spawn_blocking(move || {
        let Some(connection) = open(&path, Purpose::Read)? else {
            return Ok(None);
        };
        columns_of(&connection, &table).map_err(failed)
    });
    task.join().await.map_err(|error| {
        Error::new(ErrorKind::Storage, "SQLite's thread ended").with_source(error)
    })?
}

/// The columns of a table or view; None if there is none of this name.
pub(super) fn columns_of(
    connection: &rusqlite::Connection,
    table: &TableName,
) -> rusqlite::Result<Option<Vec<Column>>> {
    let schema = table.schema.as_deref().unwrap_or("main");
    // Names are compared without their case by SQLite, and letter by letter here.
    let found = format!(
        "SELECT 1 FROM {}.sqlite_master WHERE type IN ('table', 'view') AND name = ?1",
        quoted(schema, '"')
    );
    let found = connection.query_row(&found, [&table.table], |_| Ok(()));
    if found.optional()?.is_none() {
        return Ok(None);
    }
    let sql = "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1, ?2)";
    let mut statement = connection.prepare(sql)?;
    let columns = statement.query_map([&table.table, schema], |row| {
        let declared: String = row.get(1)?;
        let (not_null, default, key): (bool, bool, u32) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let hidden: u32 = row.get(5)?;
        // An INTEGER PRIMARY KEY counts up by itself.
        let counts = key > 0 && declared.eq_ignore_ascii_case("INTEGER");
        Ok(Column {
            name: row.get(0)?,
            data_type: types::data_type(&declared),
            sql_type: declared,
            required: not_null && !default && !counts,
            generated: hidden > 1,
            step: 1,
        })
    })?;
    columns.collect::<rusqlite::Result<Vec<_>>>().map(Some)
}
