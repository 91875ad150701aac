//! A checksum over rows, by which a load that goes on knows them again.

use atio_core::format::Checksum;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

use crate::error::{Error, Result as AtioResult};

/// The running checksum over rows: their values and their order, not their batches.
pub(super) struct RowSum {
    converter: RowConverter,
    rows: Rows,
    checksum: Checksum,
}

impl RowSum {
    /// The checksum over no rows of `schema`; fails where Arrow cannot compare such rows.
    pub(super) fn new(schema: &SchemaRef) -> AtioResult<Self> {
        let fields = schema.fields().iter();
        let fields = fields.map(|field| (field.name(), SortField::new(field.data_type().clone())));
        let mut sorted = Vec::new();
        for (name, field) in fields {
            if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
                return Err(unsupported(name));
            }
            sorted.push(field);
        }
        let converter = RowConverter::new(sorted)
            .map_err(|error| Error::unsupported("rows cannot be compared").with_source(error))?;
        Ok(Self {
            rows: converter.empty_rows(0, 0),
            converter,
            checksum: Checksum::of(b""),
        })
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows.clear();
        self.converter.append(&mut self.rows, batch.columns())?;
        for row in &self.rows {
            self.checksum = self.checksum.append(row.data());
        }
        Ok(())
    }

    pub(super) fn checksum(&self) -> Checksum {
        self.checksum
    }
}

fn unsupported(column: &str) -> Error {
    Error::unsupported(format!(
        "a load with an idempotency key cannot be committed in chunks: the values of column '{}' cannot be compared, so nobody could tell where to go on; leave out atio.commit_every_rows and atio.commit_every_bytes, or the key",
        column.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int32Array, StringArray};

    /// It is stored while a load has not ended. If this fails, Arrow writes rows otherwise than
    /// it did, and such a load is refused after an upgrade: say so in the changelog.
    #[test]
    fn checksum_is_the_one_that_older_releases_have_stored() {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            (
                "a",
                Arc::new(Int32Array::from(vec![Some(1), None, Some(-7)])),
                true,
            ),
            (
                "b",
                Arc::new(StringArray::from(vec![Some("x"), Some(""), None])),
                true,
            ),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut sum = RowSum::new(&batch.schema()).unwrap();
        sum.add(&batch).unwrap();
        assert_eq!(sum.checksum().to_string(), "crc32c:ba73579b");
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let sum = |columns: Vec<(&str, ArrayRef)>| {
            let batch = RecordBatch::try_from_iter_with_nullable(
                columns
                    .into_iter()
                    .map(|(name, column)| (name, column, true)),
            );
            let batch = batch.unwrap();
            let mut sum = RowSum::new(&batch.schema()).unwrap();
            sum.add(&batch).unwrap();
            sum.checksum()
        };
        let texts =
            |texts: &[Option<&str>]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        assert_ne!(
            sum(vec![("a", texts(&[Some("ab"), Some("c")]))]),
            sum(vec![("a", texts(&[Some("a"), Some("bc")]))])
        );
        assert_ne!(
            sum(vec![("a", texts(&[Some("")]))]),
            sum(vec![("a", texts(&[None]))])
        );
        let numbers = |numbers: Vec<i32>| -> ArrayRef { Arc::new(Int32Array::from(numbers)) };
        assert_ne!(
            sum(vec![("a", numbers(vec![1, 2])), ("b", numbers(vec![3, 4]))]),
            sum(vec![("a", numbers(vec![1, 3])), ("b", numbers(vec![2, 4]))])
        );
    }
}
