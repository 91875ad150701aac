//! Versioned SQL tables in a plain directory, for Apache DataFusion.
//!
//! [`register`] makes atio part of a `SessionContext`. From then on a directory, on disk or
//! on an object store, is a table: every `INSERT INTO`, `INSERT OVERWRITE`, `DELETE`, `UPDATE`,
//! `MERGE` and `TRUNCATE` commits one whole version, every version can be queried again with
//! `SELECT * FROM atio_table('sales', version => 2)`, and `expire_snapshots('sales')`
//! removes what nobody needs any more.
//!
//! ```
//! use datafusion::prelude::SessionContext;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let location = directory.path().display();
//!
//! let ctx = SessionContext::new();
//! atio::register(&ctx)?;
//! ctx.sql(&format!("CREATE EXTERNAL TABLE sales (item TEXT, price DOUBLE) STORED AS ATIO LOCATION '{location}/sales'")).await?;
//! ctx.sql("INSERT INTO sales VALUES ('tea', 2.5), ('cake', 3.75)").await?.collect().await?;
//! ctx.sql("INSERT OVERWRITE sales SELECT item, price * 2 FROM sales").await?.collect().await?;
//!
//! let before = ctx.sql("SELECT sum(price) FROM atio_table('sales', version => 1)").await?;
//! assert_eq!(before.collect().await?[0].column(0).as_ref(), &arrow::array::Float64Array::from(vec![6.25]));
//! # Ok(())
//! # }
//! ```
//!
//! # Reading order
//!
//! Folders and one arrow: *SQL knows tables, tables know scans and writes, these know the log,
//! the log knows the format, the format knows nobody.* Begin with [the format](docs::format) and
//! [the reasons](docs::design); then the crate `atio-core`, which knows no query engine, with
//! `format/` (what the bytes mean), `storage/` (how they become durable) and `log/` (how
//! versions are made); then `scan/` (how a version is read), `write/` (how rows become files and a
//! version), `table/` (the provider that DataFusion asks), `dml/` (how rows change) and `sql/` (how a
//! person asks). `file/` publishes what `COPY` writes, `database/` reads and writes tables of
//! databases; each is a part by itself.

mod condition;
#[cfg(any(feature = "postgres", feature = "sqlite", feature = "mysql"))]
mod database;
mod delete_mode;
mod dml;
pub mod docs;
mod engine_settings;
mod error;
mod estimate;
mod fair_memory;
mod features;
mod file;
mod function_table;
#[cfg(feature = "proto")]
mod proto;
mod scan;
mod settings;
mod spelling;
mod sql;
mod table;
mod write;

pub use atio_core::format::ticket::Ticket;
pub use atio_core::format::{Totals, Txn, Version};
pub use atio_core::log::{
    Check, CheckOptions, CommitOptions, Committed, ExpiryRow, Finding, HistoryEntry, OpenOptions,
    RefUpdated, RepairOptions, RepairRow, Severity, flush, set_metadata_cache_limit,
};
pub use atio_core::progress::{Progress, Step};
pub use atio_core::redact;
pub use atio_core::storage::Durability;
pub use condition::{check, sql_check};
#[cfg(any(feature = "postgres", feature = "sqlite", feature = "mysql"))]
pub use database::{Connection, IfExists, Server, Tls, register_connection, write_database};
pub use dml::{Merge, RowsChanged};
pub use error::{Error, ErrorKind, Result};
pub use file::{Existing, Hash, MarkedFile, Marker};
pub use sql::{
    AtioCatalog, AtioPolicy, CreateOptions, WriteOptions, clean, connect, execute_logical_plan,
    on_progress, parse_sql, register, register_with, restore, sql, sql_with_options, with_commit,
    write,
};
#[doc(hidden)]
pub use sql::{compact_options, delete_as_seen, deletes, with_hint};
pub use table::{
    AtioTable, ChangesOptions, CompactOptions, Compacted, DataFile, Dropped, DroppedTable,
    ExpireOptions, Expired, HistoryOptions, OverwriteOptions, PurgeOptions, PurgedTable,
    TableStats, Tag, TagOptions, UndropOptions, VersionRef, Written, batches, one_statement,
};
pub use write::{CompactOutcome, CompactedGroup, StreamOptions, StreamWriter};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
