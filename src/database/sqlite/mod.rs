//! SQLite: a database in a file, in this process.

mod columns;
mod open;
mod read;
mod types;
mod write;

pub(super) use columns::columns;
pub(super) use read::read;
pub(super) use write::write;
