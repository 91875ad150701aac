//! What CREATE TABLE hands over: the columns and rows of a table that is to be made.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;

use crate::error::{Error, Result};

/// Columns and rows of a table that is to be made.
pub(super) struct NewRows {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
}

impl NewRows {
    /// Takes what CREATE TABLE hands over; refuses what a table does not store.
    ///
    /// Columns that were not `declared`, but are those of a query, may all be null: that a literal
    /// is not is no promise about later rows.
    pub(super) fn of(name: &str, table: &MemTable, declared: bool) -> Result<Self> {
        use datafusion::catalog::TableProvider;
        let schema = table.schema();
        let clause = if table
            .constraints()
            .is_some_and(|constraints| !constraints.is_empty())
        {
            Some("a PRIMARY KEY or UNIQUE constraint")
        } else if schema
            .fields()
            .iter()
            .any(|field| table.get_column_default(field.name()).is_some())
        {
            Some("DEFAULT")
        } else {
            None
        };
        if let Some(clause) = clause {
            return Err(Error::unsupported(format!(
                "cannot create table '{name}': atio tables do not store {clause} yet"
            )));
        }
        let mut batches = Vec::new();
        for partition in &table.batches {
            let partition = partition
                .try_read()
                .map_err(|_| Error::invalid("the rows of the new table are in use"))?;
            batches.extend(partition.iter().cloned());
        }
        if declared {
            return Ok(Self { schema, batches });
        }
        let fields = schema
            .fields()
            .iter()
            .map(|field| Field::clone(field).with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let batches = batches
            .into_iter()
            .map(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()));
        let batches = batches.collect::<Result<_, _>>().map_err(|error| {
            Error::invalid("the rows of the new table do not fit its columns").with_source(error)
        })?;
        Ok(Self { schema, batches })
    }
}
