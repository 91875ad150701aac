//! What a write to a table is asked to do.

use datafusion::arrow::datatypes::SchemaRef;

use super::name::TableName;

/// What to do with a table that exists.
///
/// ```
/// assert_eq!(atio::IfExists::default(), atio::IfExists::Fail);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// Write nothing and fail.
    #[default]
    Fail,
    /// Add the rows to those that are there.
    Append,
    /// Delete the rows that are there and add these, in one transaction: others see the old
    /// rows until it commits. The table stays the same one, with its indexes, grants and
    /// constraints, so the new rows must have its columns.
    Replace,
}

/// Rows on their way into a table.
pub(super) struct Write {
    pub(super) table: TableName,
    /// Of the rows.
    pub(super) schema: SchemaRef,
    pub(super) if_exists: IfExists,
    /// Whether a table that is missing is made.
    pub(super) create: bool,
}
