//! Rows of data files, by where they lie.

use std::collections::BTreeMap;

use atio_core::format::DeletionVector;
use datafusion::arrow::array::BooleanBufferBuilder;
use datafusion::arrow::buffer::BooleanBuffer;
use roaring::RoaringTreemap;

/// Rows, by the number of their file and their number in it.
#[derive(Debug, Default)]
pub(super) struct Positions {
    files: BTreeMap<u32, RoaringTreemap>,
    rows: u64,
    /// Their memory, and how many rows there were when that was counted.
    counted: (usize, u64),
}

/// What a file takes beside its rows, about.
const FILE_BYTES: usize = 256;

impl Positions {
    /// Adds a row; false if it was there.
    pub(super) fn add(&mut self, file: u32, row: u64) -> bool {
        let added = self.files.entry(file).or_default().insert(row);
        self.rows += u64::from(added);
        added
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.rows
    }

    /// About so many bytes of memory. They are counted when there is an eighth more of rows: it is asked
    /// for each batch, and there may be many files.
    pub(super) fn memory(&mut self) -> usize {
        let (bytes, rows) = self.counted;
        if self.rows < rows + rows / 8 + 1024 && rows > 0 {
            return bytes;
        }
        let files = self.files.values();
        let bytes = files.map(|rows| FILE_BYTES + rows.serialized_size()).sum();
        self.counted = (bytes, self.rows);
        bytes
    }

    /// The files that have any, and how many.
    pub(super) fn files(&self) -> impl Iterator<Item = (u32, u64)> {
        self.files.iter().map(|(file, rows)| (*file, rows.len()))
    }

    /// Takes out the rows of a file.
    pub(super) fn take(&mut self, file: u32) -> DeletionVector {
        let rows = self.files.remove(&file).unwrap_or_default();
        self.rows -= rows.len();
        rows.into()
    }

    /// A copy of the rows of a file.
    pub(super) fn vector(&self, file: u32) -> DeletionVector {
        self.files.get(&file).cloned().unwrap_or_default().into()
    }

    /// The rows of a file, which has `of`: a bit for each row, where ranges would take many bytes for
    /// each.
    pub(super) fn of_file(&self, file: u32, of: usize) -> BooleanBuffer {
        self.bits(file, of, true)
    }

    /// The other rows of a file.
    pub(super) fn others(&self, file: u32, of: usize) -> BooleanBuffer {
        self.bits(file, of, false)
    }

    fn bits(&self, file: u32, of: usize, there: bool) -> BooleanBuffer {
        let mut bits = BooleanBufferBuilder::new(of);
        bits.append_n(of, !there);
        let rows = self.files.get(&file).into_iter().flatten();
        let rows = rows.filter_map(|row| usize::try_from(row).ok());
        for row in rows.take_while(|row| *row < of) {
            bits.set_bit(row, there);
        }
        bits.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of<const N: usize>(rows: [u64; N]) -> DeletionVector {
        rows.into_iter().collect()
    }

    #[test]
    fn rows_are_counted_once_and_the_others_are_known() {
        let mut rows = Positions::default();
        let added = [(7, 0), (7, 1), (3, 5), (7, 4), (7, 1)].map(|(file, row)| rows.add(file, row));
        assert_eq!(added, [true, true, true, true, false]);
        assert_eq!(rows.count(), 4);
        assert_eq!(rows.files().collect::<Vec<_>>(), [(3, 1), (7, 3)]);
        let others = |file, of| rows.others(file, of).set_indices().collect::<Vec<_>>();
        assert_eq!(others(7, 8), [2, 3, 5, 6, 7]);
        assert_eq!(others(7, 5), [2, 3]);
        assert_eq!(others(7, 3), [2]);
        assert_eq!(others(3, 6), [0, 1, 2, 3, 4]);
        assert_eq!(others(1, 2), [0, 1]);
        let these = |file, of| rows.of_file(file, of).set_indices().collect::<Vec<_>>();
        assert_eq!(these(7, 8), [0, 1, 4]);
        assert_eq!(these(7, 4), [0, 1]);
        assert!(these(1, 2).is_empty());
        assert!(rows.memory() > 0);
        assert_eq!(rows.vector(7), rows_of([0, 1, 4]));
        assert_eq!(rows.take(7), rows_of([0, 1, 4]));
        assert_eq!((rows.take(7), rows.count()), (rows_of([]), 1));
        assert_eq!(rows.files().collect::<Vec<_>>(), [(3, 1)]);
    }
}
