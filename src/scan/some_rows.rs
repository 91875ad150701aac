//! Which rows of a data file are read, where these are not all of them.
//!
//! A plan keeps what tells them as it is. Only the file that is opened has it as the engine's
//! selection, which takes many bytes for each row that is left out.

use std::iter::once;
use std::sync::Arc;

use atio_core::format::DeletionVector;
use datafusion::arrow::array::BooleanBufferBuilder;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion_datasource::morsel::{MorselPlanner, Morselizer};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

/// Some rows of a data file.
///
/// Attached to the file of a scan; of a file without it all rows are read.
#[derive(Debug)]
pub(super) struct SomeRows {
    /// How many rows the file has.
    pub(super) of: usize,
    pub(super) marked: Option<Marked>,
    /// Of each row, whether it is asked for; all are where it is None.
    pub(super) wanted: Option<BooleanBuffer>,
}

/// The rows of a data file that are not rows of the table any more.
#[derive(Debug)]
pub(super) struct Marked {
    pub(super) rows: Arc<DeletionVector>,
    /// The statistics of the file with bounds that hold of all of its rows: to plans these are inexact,
    /// for they take exact ones for values that occur.
    pub(super) bounds: Arc<Statistics>,
}

impl SomeRows {
    fn selection(&self) -> RowSelection {
        match (&self.wanted, &self.marked) {
            (Some(wanted), None) => RowSelection::from_boolean_buffer(wanted.clone()),
            (Some(wanted), Some(marked)) => {
                RowSelection::from_boolean_buffer(without(wanted, &marked.rows))
            }
            (None, Some(marked)) => live(&marked.rows, self.of),
            (None, None) => RowSelection::from(vec![RowSelector::select(self.of)]),
        }
    }
}

/// The rows that are `wanted` and not `marked`.
fn without(wanted: &BooleanBuffer, marked: &DeletionVector) -> BooleanBuffer {
    let mut rows = BooleanBufferBuilder::new(wanted.len());
    rows.append_buffer(wanted);
    let marked = marked.rows().filter_map(|row| usize::try_from(row).ok());
    for row in marked.take_while(|row| *row < wanted.len()) {
        rows.set_bit(row, false);
    }
    rows.finish()
}

/// The rows of a file of `of` rows that are not `marked`, by ranges: however many rows a vector says
/// that it has, it has few ranges.
fn live(marked: &DeletionVector, of: usize) -> RowSelection {
    let row = |row: u64| usize::try_from(row).unwrap_or(of).min(of);
    let marked = marked.ranges();
    let marked = marked.map(|rows| row(rows.start)..row(rows.end));
    let mut next = 0;
    let live = marked.chain(once(of..of)).map(|marked| {
        let live = next..marked.start;
        next = marked.end;
        live
    });
    RowSelection::from_consecutive_ranges(live, of)
}

/// Opens files so that of each its rows are read, and no others.
#[derive(Debug)]
pub(super) struct ReadsSome(pub(super) Box<dyn Morselizer>);

impl Morselizer for ReadsSome {
    fn plan_file(&self, mut file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let Some(rows) = file.extension::<SomeRows>() else {
            return self.0.plan_file(file);
        };
        let selection = ParquetRowSelection::new(rows.selection());
        if let Some(marked) = &rows.marked {
            // Whoever opens a file only leaves out what lies beyond its bounds.
            let bounds = Arc::clone(&marked.bounds);
            file.statistics = Some(bounds);
        }
        self.0.plan_file(file.with_extension(selection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows that are read of a file of `of` rows.
    fn read(of: usize, marked: Option<&[u64]>, wanted: Option<&[usize]>) -> Vec<usize> {
        let bits = |set: &[usize]| (0..of).map(|row| set.contains(&row)).collect();
        let rows = SomeRows {
            of,
            marked: marked.map(|rows| Marked {
                rows: Arc::new(rows.iter().copied().collect()),
                bounds: Arc::default(),
            }),
            wanted: wanted.map(bits),
        };
        let (mut at, mut read) = (0, Vec::new());
        for selector in rows.selection().iter() {
            let next = at + selector.row_count;
            if !selector.skip {
                read.extend(at..next);
            }
            at = next;
        }
        assert_eq!(at, of, "it says of each row whether it is read");
        read
    }

    #[test]
    fn marked_rows_and_those_that_nobody_wants_are_not_read() {
        assert_eq!(read(5, None, None), [0, 1, 2, 3, 4]);
        assert_eq!(read(5, Some(&[0, 1, 3]), None), [2, 4]);
        assert_eq!(read(5, Some(&[4]), None), [0, 1, 2, 3]);
        assert_eq!(read(5, Some(&[0, 1, 2, 3, 4]), None), [0_usize; 0]);
        assert_eq!(read(5, None, Some(&[1, 2])), [1, 2]);
        assert_eq!(read(5, Some(&[2, 3]), Some(&[1, 2, 4])), [1, 4]);
        // On both sides of where two ranges of a vector meet.
        let marked: Vec<u64> = (65_530..65_540).collect();
        assert_eq!(read(65_541, Some(&marked), None).len(), 65_531);
        assert_eq!(
            read(65_541, Some(&marked), Some(&[65_529, 65_535, 65_540])),
            [65_529, 65_540]
        );
    }
}
