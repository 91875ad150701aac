//! The plan that reads what is left of data files when some of their rows go.

use std::collections::HashMap;
use std::sync::Arc;

use atio_core::format::Manifest;
use atio_core::log::{Snapshot, Table};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;

use super::parquet_exec::parquet_exec;
use super::prune::Listed;
use super::scan_file::scan_files;
use super::version_scan::VersionScan;
use crate::error::Error;

/// What is read of one data file.
pub(crate) struct RowsLeft {
    /// The path of the file, below the root of the table.
    pub(crate) path: String,
    /// Of each row of the file, whether it is read. One that is marked as deleted is not.
    pub(crate) rows: BooleanBuffer,
}

/// The plan that reads these rows of the data files of `snapshot`, with all columns. Reads the deletion
/// vectors of the files.
pub(crate) async fn rows_left(
    context: &TaskContext,
    table: &Arc<Table>,
    store_url: &ObjectStoreUrl,
    snapshot: &Arc<Snapshot>,
    manifests: &[Arc<Manifest>],
    files: Vec<RowsLeft>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut wanted: HashMap<_, _> = files
        .into_iter()
        .map(|file| (file.path, file.rows))
        .collect();
    let mut listed: Vec<Listed<'_>> = Vec::with_capacity(wanted.len());
    let mut of_listed = Vec::with_capacity(wanted.len());
    for manifest in manifests {
        for file in &manifest.files {
            if let Some(rows) = wanted.remove(&file.path) {
                listed.push((manifest.as_ref(), file));
                of_listed.push(rows);
            }
        }
    }
    if let Some(path) = wanted.into_keys().next() {
        return Err(Error::damaged(format!(
            "version {} of '{}' has no data file {path}",
            snapshot.version,
            table.name()
        ))
        .into());
    }
    let mut files = scan_files(table, snapshot, &listed, None).await?;
    for (file, rows) in files.iter_mut().zip(of_listed) {
        file.wanted = Some(rows);
    }
    let scan = VersionScan::of_files(table, store_url, snapshot, files);
    parquet_exec(context.session_config(), &context.runtime_env(), scan)
}
