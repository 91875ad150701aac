//! The answer of a statement that writes: one column, which counts its rows.

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::arrow::record_batch::RecordBatch;

/// How many rows a statement wrote that gave `answer`.
pub(crate) fn rows_written(answer: &[RecordBatch]) -> u64 {
    let counts = answer.iter().filter_map(|batch| {
        let counts = batch.columns().first()?;
        Some(counts.as_primitive_opt::<UInt64Type>()?.iter().flatten())
    });
    counts.flatten().sum()
}
