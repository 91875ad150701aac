//! How a version is read: which of its files, and how the engine reads them.

mod adapter;
mod bounds;
mod dynamic;
mod parquet_exec;
mod plan;
mod prune;
mod reader;
mod row_count;
mod scan_file;
mod source;
mod statistics;
mod version_scan;

pub(crate) use dynamic::Above;
pub(crate) use plan::plan;
pub(crate) use version_scan::Request;
