//! A connection to a database.

use std::path::Path;
use std::time::Duration;

use rusqlite::OpenFlags;

use crate::error::{Error, ErrorKind, Result};

/// How long to wait for another connection's write to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a connection is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// None if there is no file to read.
pub(super) fn open(path: &Path, purpose: Purpose) -> Result<Option<rusqlite::Connection>> {
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

/// An error of a statement.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Storage, "the database refuses").with_source(error)
}
