//! Which file a row goes to: rows with the same key go to one.

use std::collections::HashMap;

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;

/// What the rows of one file have in common.
pub(super) type Key = Box<[u8]>;

/// Which rows belong together.
pub(super) struct Routes {
    by: Vec<usize>,
    /// None where all rows do.
    keys: Option<RowConverter>,
}

impl Routes {
    pub(super) fn new(schema: &SchemaRef, by: &[usize]) -> Result<Self> {
        let fields = by.iter().map(|at| schema.field(*at).data_type().clone());
        let keys = match by.is_empty() {
            true => None,
            false => Some(RowConverter::new(fields.map(SortField::new).collect())?),
        };
        Ok(Self {
            by: by.to_vec(),
            keys,
        })
    }

    /// The rows of each key, in the order in which the keys come.
    pub(super) fn split(&self, batch: RecordBatch) -> Result<Vec<(Key, RecordBatch)>> {
        let Some(keys) = &self.keys else {
            return Ok(vec![(Key::default(), batch)]);
        };
        let columns: Vec<_> = self.by.iter().map(|at| batch.column(*at).clone()).collect();
        let rows = keys.convert_columns(&columns)?;
        let mut seen: HashMap<&[u8], usize> = HashMap::new();
        let mut found: Vec<(Key, Vec<u32>)> = Vec::new();
        for (row, at) in rows.iter().zip(0_u32..) {
            let place = *seen.entry(row.data()).or_insert_with(|| {
                found.push((row.data().into(), Vec::new()));
                found.len() - 1
            });
            found[place].1.push(at);
        }
        if found.len() == 1 {
            return Ok(found
                .into_iter()
                .map(|(key, _)| (key, batch.clone()))
                .collect());
        }
        let split = found
            .into_iter()
            .map(|(key, rows)| Ok((key, take_record_batch(&batch, &UInt32Array::from(rows))?)));
        split.collect()
    }
}
