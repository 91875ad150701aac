//! PostgreSQL.

mod client;
mod columns;
mod commit;
mod decode;
mod encode;
mod numeric;
mod read;
mod types;
mod write;

pub(super) use columns::columns;
pub(super) use read::read;
pub(super) use write::write;
