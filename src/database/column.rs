//! Columns of a table in a database.

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// A column as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// As it is read, and what is written is cast to.
    pub(super) data_type: DataType,
    /// As the database calls it.
    pub(super) sql_type: String,
    /// A row must say something of it: it takes no NULL and has no default.
    pub(super) required: bool,
    /// The database computes it.
    pub(super) generated: bool,
    /// It keeps times in steps of so many microseconds.
    pub(super) step: i64,
}

/// How a scan sees the columns. All may hold NULL: what a database promises of its own
/// columns is not used to plan.
pub(super) fn schema_of(columns: &[Column]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
