//! How a version is read: which of its files, and how the engine reads them.

mod adapter;
mod bounds;
mod change_columns;
mod change_filters;
mod changed_rows;
mod changes;
mod comparison;
mod dynamic;
#[cfg(test)]
mod marked_rows_tests;
mod new_rows;
mod parquet_exec;
mod plan;
mod prune;
mod read_set;
mod reader;
mod relation;
mod row_count;
mod row_hash;
mod row_ids;
mod rows_left;
mod scan_file;
mod selected;
mod some_files;
mod some_rows;
mod source;
mod source_keys;
mod source_keys_exec;
mod statistics;
mod version_scan;
mod wanted;
mod whole;

pub(crate) use change_columns::{CHANGE_COLUMNS, with_change_columns};
pub(crate) use changes::{ChangesRequest, plan_changes};
pub(crate) use dynamic::Above;
pub(crate) use new_rows::does_select;
pub(crate) use plan::plan;
pub(crate) use prune::may_hold;
pub(crate) use read_set::ReadSet;
pub(crate) use relation::{Chosen, Relation};
pub(crate) use row_ids::{FILE, ROW, RowIds, is_row_id, with_row_ids};
pub(crate) use rows_left::{RowsLeft, rows_left};
pub(crate) use some_files::some_files;
pub(crate) use source_keys::{Keys, MOST_KEYS, SourceKeys, is_known_key};
pub(crate) use source_keys_exec::SourceKeysExec;
pub(crate) use version_scan::Request;
