//! Tables of databases: PostgreSQL, SQLite, MySQL and MariaDB.
//!
//! Every write is one transaction of the database. What others see of a table is what was
//! there before, until the commit; and all of the new rows from then on. Each write and each
//! scan has a connection of its own, which ends with it: a statement that is dropped takes
//! its transaction along, and nothing outlives the runtime that drives it.

mod cells;
mod column;
mod compatibility;
mod connection;
mod copy;
mod dataframe;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod decimal;
mod defaults;
mod driver;
mod error;
mod factory;
mod json;
#[cfg(feature = "mysql")]
mod mysql;
mod name;
#[cfg(feature = "postgres")]
mod postgres;
mod provider;
mod registry;
mod report;
mod server;
mod sink;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod tls;
mod write;

pub use connection::Connection;
pub(crate) use copy::{formats, is_database};
pub use dataframe::write_database;
pub(crate) use factory::factories;
pub use registry::register_connection;
pub use server::{Server, Tls};
pub use write::IfExists;
