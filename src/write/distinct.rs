//! Which values were there before, among those of many rows.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

/// The values of some columns, row by row.
pub(super) struct UniqueValues {
    rows: Rows,
    /// Which rows have no NULL.
    valid: Option<NullBuffer>,
}

impl UniqueValues {
    pub(super) fn new(columns: Vec<ArrayRef>) -> Result<Self> {
        let fields = columns.iter();
        let fields = fields.map(|column| SortField::new(column.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let rows = converter.convert_columns(&columns)?;
        let nulls = columns.iter().map(|column| column.logical_nulls());
        let valid = nulls.fold(None, |all, nulls| {
            NullBuffer::union(all.as_ref(), nulls.as_ref())
        });
        Ok(Self { rows, valid })
    }
}

/// Values that were seen: 128 bits of each, by two functions with keys of their own. So two values
/// are taken for one about never, and memory does not depend on how long they are.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    seen: HashSet<u128>,
    hashers: (RandomState, RandomState),
}

impl Distinct {
    /// Adds the values of the row at `at`; false if they were there. NULL is never there.
    pub(super) fn add(&mut self, values: &UniqueValues, at: usize) -> bool {
        if values.valid.as_ref().is_some_and(|valid| valid.is_null(at)) {
            return true;
        }
        let row = values.rows.row(at);
        let (high, low) = (&self.hashers.0, &self.hashers.1);
        let hash = |hasher: &RandomState| u128::from(hasher.hash_one(row.as_ref()));
        self.seen.insert(hash(high) << 64 | hash(low))
    }

    /// About so many bytes of memory.
    pub(super) fn memory(&self) -> usize {
        // Beside each there is a byte, and an eighth of the places is free.
        self.seen.capacity() * (size_of::<u128>() + 1) / 7 * 8
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn equal_rows_are_found_across_batches_and_null_equals_nothing() {
        let values = |numbers: Vec<Option<i64>>, texts: Vec<&str>| {
            let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
            let texts: ArrayRef = Arc::new(StringArray::from(texts));
            UniqueValues::new(vec![numbers, texts]).unwrap()
        };
        let mut distinct = Distinct::default();
        let first = values(vec![Some(1), Some(1), None, None], vec!["a", "b", "a", "a"]);
        let added = (0..4).map(|at| distinct.add(&first, at));
        assert_eq!(added.collect::<Vec<_>>(), [true; 4]);
        let second = values(vec![Some(2), Some(1)], vec!["a", "b"]);
        assert!(distinct.add(&second, 0));
        assert!(!distinct.add(&second, 1));
        assert!(distinct.memory() >= 3 * 16);
    }
}
