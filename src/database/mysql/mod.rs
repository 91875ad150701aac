//! MySQL and MariaDB.

mod beside;
mod client;
mod columns;
mod commit;
mod decode;
mod encode;
mod kept;
mod read;
mod types;
mod write;

pub(super) use columns::columns;
pub(super) use read::read;
pub(super) use write::write;
