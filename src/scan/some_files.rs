//! The plan that reads some data files of a version, each as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use atio_core::format::Manifest;
use atio_core::log::{Snapshot, Table};
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;

use super::parquet_exec::parquet_exec;
use super::prune::Listed;
use super::scan_file::scan_files;
use super::version_scan::VersionScan;

/// The plan that reads the rows of the table that are in the data files `paths` of `snapshot`, with all
/// columns, in so many `streams` at most: one after the other where it is one, in the order of their
/// names, which is about that in which they were written.
///
/// It is to be run as it is.
pub(crate) async fn some_files(
    context: &TaskContext,
    table: &Arc<Table>,
    store_url: &ObjectStoreUrl,
    snapshot: &Arc<Snapshot>,
    paths: &BTreeSet<String>,
    streams: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let manifests = table.manifests(snapshot).await?;
    let listed = manifests.iter().flat_map(|manifest: &Arc<Manifest>| {
        let files = manifest.files.iter();
        let chosen = files.filter(|file| paths.contains(&file.path));
        chosen.map(|file| (manifest.as_ref(), file))
    });
    let listed: Vec<Listed<'_>> = listed.collect();
    let files = scan_files(table, snapshot, &listed, None).await?;
    let scan = VersionScan::of_files(table, store_url, snapshot, files);
    let session = context.session_config().clone();
    let session = session.with_target_partitions(streams);
    parquet_exec(&session, &context.runtime_env(), scan)
}
