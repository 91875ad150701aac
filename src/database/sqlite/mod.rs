//! SQLite: a database in a file, in this process.

mod read;
mod types;
mod write;

use std::path::Path;
use std::time::Duration;

use datafusion::common::runtime::SpawnedTask;
use rusqlite::{OpenFlags, OptionalExtension};

pub(super) use read::read;
pub(super) use write::write;

use super::column::Column;
use super::name::{TableName, quoted};
use crate::error::{Error, ErrorKind, Result};

/// How long to wait for another connection's write to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a connection is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
}

/// None if there is no such table.
pub(super) async fn columns(path: &Path, table: &TableName) -> Result<Option<Vec<Column>>> {
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

/// None if there is no file to read.
fn open(path: &Path, purpose: Purpose) -> Result<Option<rusqlite::Connection>> {
    if path.as_os_str().is_empty() {
        return Err(Error::invalid("a database in SQLite is named by its file"));
    }
    // As it stands SQLite would take `:memory:` and `file:` for databases that vanish.
    let path = &std::path::absolute(path).map_err(|error| {
        Error::new(ErrorKind::Storage, "the file cannot be reached").with_source(error)
    })?;
    let is_there = path.try_exists().map_err(|error| {
        Error::new(ErrorKind::Storage, "the file cannot be reached").with_source(error)
    })?;
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match purpose {
        Purpose::Read if !is_there => return Ok(None),
        // A database with a write-ahead log is written to by its readers, too.
        Purpose::Read => flags |= OpenFlags::SQLITE_OPEN_READ_WRITE,
        Purpose::Write => {
            flags |= OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        }
    }
    let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    if purpose == Purpose::Write {
        let mode = match is_there {
            true => "PRAGMA journal_mode",
            // So that nobody waits who reads the old rows while the new ones come.
            false => "PRAGMA journal_mode = WAL",
        };
        let mode: String = connection
            .query_row(mode, [], |row| row.get(0))
            .map_err(failed)?;
        if mode != "wal" {
            // What does not fit into the cache would go to the file before the commit, and
            // for that SQLite waits until nobody reads: also for a scan that waits for us.
            let spill = "PRAGMA cache_spill = OFF";
            connection.execute_batch(spill).map_err(failed)?;
        }
    }
    Ok(Some(connection))
}

/// The columns of a table or view; None if there is none of this name.
fn columns_of(
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

fn failed(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Storage, "the database refuses").with_source(error)
}
