//! MySQL and MariaDB.

mod accepted;
mod client;
mod columns;
mod commit;
mod decode;
mod encode;
mod read;
#[cfg(unix)]
mod relay;
mod side_table;
mod types;
mod write;

pub(super) use columns::columns;
pub(super) use read::read;
pub(super) use write::write;
