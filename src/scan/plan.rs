//! The plan that reads one version: a bare Parquet scan of the files that matter.

use std::sync::Arc;

use atio_core::log::{Snapshot, Table};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::parquet_exec::parquet_exec;
use super::row_count::RowCount;
use super::row_ids::with_row_ids;
use super::version_scan::{Request, VersionScan, subject};

/// Plans a scan of `snapshot`. Reads manifests and deletion vectors, where the scan has columns or
/// filters, no data file and no listing.
pub(crate) async fn plan(
    state: &dyn Session,
    table: &Arc<Table>,
    store_url: &ObjectStoreUrl,
    snapshot: &Arc<Snapshot>,
    request: Request<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = match request.row_ids {
        Some(_) => with_row_ids(&snapshot.arrow),
        None => Arc::clone(&snapshot.arrow),
    };
    let projected = match request.projection {
        Some(projection) => Arc::new(schema.project(projection)?),
        None => schema,
    };
    if let Some(rows) = rows_alone(table, snapshot, &request, &projected) {
        return Ok(rows);
    }
    let manifests = table.manifests(snapshot).await?;
    let scan = VersionScan::new(state, table, store_url, snapshot, &manifests, request).await?;
    match scan.files.is_empty() {
        // A scan of no files has no partitions, which most plans above it cannot use.
        true => Ok(Arc::new(EmptyExec::new(projected))),
        false => parquet_exec(state.config(), state.runtime_env(), scan),
    }
}

/// The plan of a scan without columns and filters, as below `count(*)`: a version knows how many
/// rows it has. None for all other scans.
fn rows_alone(
    table: &Table,
    snapshot: &Snapshot,
    request: &Request<'_>,
    projected: &SchemaRef,
) -> Option<Arc<dyn ExecutionPlan>> {
    // A statement that writes must know which files it counted.
    let no_columns = request.projection.is_some_and(Vec::is_empty) && request.reads.is_none();
    if !no_columns || !request.filters.is_empty() || snapshot.python.is_some() {
        return None;
    }
    let schema = Arc::clone(projected);
    match usize::try_from(snapshot.totals().rows) {
        Ok(0) => Some(Arc::new(EmptyExec::new(schema))),
        Ok(rows) => {
            let rows = RowCount::new(subject(table, snapshot), schema, rows, request.limit);
            Some(DataSourceExec::from_data_source(rows))
        }
        Err(_) => None,
    }
}
