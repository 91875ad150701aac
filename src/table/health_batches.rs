//! What is told of the health of a table, as Arrow.

use std::sync::Arc;

use atio_core::format::Version;
use atio_core::log::{Finding, RepairRow};
use datafusion::arrow::array::{BooleanArray, RecordBatch};

use super::batches::{batch, numbers, texts};
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
        perhaps("versions", |stats| stats.versions),
        perhaps("tags", |stats| stats.tags),
        perhaps("expirable_files", |stats| stats.expirable_files),
        perhaps("expirable_bytes", |stats| stats.expirable_bytes),
    ])
}

/// The rows of `atio_check`.
///
/// ```
/// let batch = atio::batches::findings(&[])?;
/// assert_eq!(batch.schema().field(0).name(), "severity");
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn findings(findings: &[Finding]) -> Result<RecordBatch> {
    let text = |of: fn(&Finding) -> &str| texts(findings, move |finding| Some(of(finding)));
    let versions = numbers(findings, |finding| finding.version.map(Version::get));
    batch([
        ("severity", text(|finding| finding.severity.word()), false),
        ("object", text(|finding| &finding.object), false),
        ("version", versions, true),
        ("finding", text(|finding| &finding.finding), false),
        ("action", text(|finding| &finding.action), false),
    ])
}

/// The rows of `atio_repair`.
///
/// ```
/// let batch = atio::batches::repaired(&[])?;
/// assert_eq!(batch.schema().field(0).name(), "object");
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn repaired(rows: &[RepairRow]) -> Result<RecordBatch> {
    let text = |of: fn(&RepairRow) -> &str| texts(rows, move |row| Some(of(row)));
    let done = rows.iter().map(|row| Some(row.done));
    batch([
        ("object", text(|row| &row.object), false),
        ("problem", text(|row| &row.problem), false),
        ("action", text(|row| &row.action), false),
        ("done", Arc::new(done.collect::<BooleanArray>()), false),
    ])
}
