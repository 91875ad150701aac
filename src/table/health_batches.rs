//! What is told of the health of a table, as Arrow.

use datafusion::arrow::array::RecordBatch;

use super::batches::{batch, numbers};
use super::stats::TableStats;
use crate::error::Result;

/// The row of `atio_stats`.
///
/// ```
/// let batch = atio::batches::stats(&[])?;
/// assert_eq!(batch.schema().field(1).name(), "rows");
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// None that a caller could meet: numbers always fit.
pub fn stats(stats: &[TableStats]) -> Result<RecordBatch> {
    let known =
        |name, of: fn(&TableStats) -> u64| (name, numbers(stats, |stats| Some(of(stats))), false);
    let perhaps = |name, of: fn(&TableStats) -> Option<u64>| (name, numbers(stats, of), true);
    batch([
        known("version", |stats| stats.version.get()),
        known("rows", |stats| stats.rows),
        known("deleted_rows", |stats| stats.deleted_rows),
        known("files", |stats| stats.files),
        known("bytes", |stats| stats.bytes),
        perhaps("small_files", |stats| stats.small_files),
        perhaps("small_bytes", |stats| stats.small_bytes),
        known("manifests", |stats| stats.manifests),
        known("versions", |stats| stats.versions),
        known("tags", |stats| stats.tags),
        perhaps("expirable_files", |stats| stats.expirable_files),
        perhaps("expirable_bytes", |stats| stats.expirable_bytes),
    ])
}
