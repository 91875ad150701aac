//! The plan that reads one version: a bare Parquet scan of the files that matter.

use std::collections::HashSet;
use std::sync::Arc;

use atio_core::format::{FileEntry, Manifest};
use atio_core::log::{Snapshot, Table};
use chrono::DateTime;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::{Result, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::metrics::{MetricBuilder, MetricType};
use object_store::ObjectMeta;
use parquet::file::metadata::PageIndexPolicy;

use super::adapter::FieldIdAdapterFactory;
use super::bounds::NanFree;
use super::dynamic::{Above, DynamicFilters, holds_float};
use super::prune::{self, Listed};
use super::reader::CheckedReaderFactory;
use super::row_count::RowCount;
use super::source::AtioSource;
use super::statistics;
use crate::error::Error;

/// What a scan is asked for.
pub(crate) struct Request<'a> {
    pub(crate) projection: Option<&'a Vec<usize>>,
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
    /// What the statement does above it.
    pub(crate) above: Above,
}

/// Plans a scan of `snapshot`. Reads manifests, where the scan has columns or filters, no data file
/// and no listing.
pub(crate) async fn plan(
    state: &dyn Session,
    table: &Arc<Table>,
    store_url: &ObjectStoreUrl,
    snapshot: &Snapshot,
    request: Request<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(rows) = rows_alone(snapshot, &request)? {
        return Ok(rows);
    }
    let manifests = table.manifests(snapshot).await?;
    let files: Vec<Listed<'_>> = manifests
        .iter()
        .flat_map(|manifest| manifest.files.iter().map(|file| (manifest.as_ref(), file)))
        .collect();
    check_unique(table, snapshot, &files)?;
    let (all, all_rows) = (files.len(), count_rows(&files));
    let mut files = prune::matching(state, snapshot, request.filters, files)?;
    if request.filters.is_empty() {
        limit_files(&mut files, request.limit);
    }

    if files.is_empty() {
        // A scan of no files has no partitions, which most plans above it cannot use.
        return Ok(Arc::new(EmptyExec::new(projected(snapshot, &request)?)));
    }

    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let parquet = TableParquetOptions {
        global: state.config_options().execution.parquet.clone(),
        ..Default::default()
    };
    let page_index = match !request.filters.is_empty() && parquet.global.enable_page_index {
        true => PageIndexPolicy::Optional,
        false => PageIndexPolicy::Skip,
    };
    let readers = CheckedReaderFactory::new(cache, page_index, Arc::clone(table), snapshot.version);
    let source = ParquetSource::new(Arc::clone(&snapshot.arrow))
        .with_table_parquet_options(parquet)
        .with_parquet_file_reader_factory(Arc::new(readers));
    count_files(&source, files.len(), all);
    count_rows_pruned(&source, all_rows - count_rows(&files));

    let (partitioned, statistics) = partitioned_files(table, snapshot, &files)?;
    let filters = DynamicFilters::new(request.above, Arc::clone(&snapshot.arrow), &statistics);
    let source = AtioSource::new(source.into(), filters);
    let groups = FileGroup::new(partitioned).split_files(state.config().target_partitions());
    let config = FileScanConfigBuilder::new(store_url.clone(), Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(request.projection.cloned())?
        .with_limit(request.limit)
        .with_expr_adapter(Some(Arc::new(FieldIdAdapterFactory::new(Arc::clone(
            &snapshot.schema,
        )))))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// The plan of a scan without columns and filters, as below `count(*)`: a version knows how many
/// rows it has. None for all other scans.
fn rows_alone(
    snapshot: &Snapshot,
    request: &Request<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let no_columns = request.projection.is_some_and(Vec::is_empty);
    if !no_columns || !request.filters.is_empty() || snapshot.python.is_some() {
        return Ok(None);
    }
    let schema = projected(snapshot, request)?;
    Ok(match usize::try_from(snapshot.totals().rows) {
        Ok(0) => Some(Arc::new(EmptyExec::new(schema))),
        Ok(rows) => {
            let rows = RowCount::new(schema, rows, request.limit);
            Some(DataSourceExec::from_data_source(rows))
        }
        Err(_) => None,
    })
}

fn projected(snapshot: &Snapshot, request: &Request<'_>) -> Result<SchemaRef> {
    Ok(match request.projection {
        Some(projection) => Arc::new(snapshot.arrow.project(projection)?),
        None => Arc::clone(&snapshot.arrow),
    })
}

/// The ids of the floating-point columns of a file that are known to hold no NaN.
fn nan_free(snapshot: &Snapshot, file: &FileEntry, positions: &[Option<usize>]) -> NanFree {
    if !file.is_of_atio() {
        return NanFree::default();
    }
    let fields = snapshot.schema.fields.iter().zip(snapshot.arrow.fields());
    let free = fields.zip(positions).filter(|((_, arrow), at)| {
        arrow.data_type().is_floating()
            && at
                .and_then(|at| file.stats.get(at))
                .is_some_and(|stats| !stats.is_empty() && !stats.nan)
    });
    NanFree(free.map(|((field, _), _)| field.id).collect())
}

fn check_unique(table: &Table, snapshot: &Snapshot, files: &[Listed<'_>]) -> Result<()> {
    let mut seen = HashSet::with_capacity(files.len());
    match files
        .iter()
        .find(|(_, file)| !seen.insert(file.path.as_str()))
    {
        None => Ok(()),
        Some((_, file)) => Err(Error::damaged(format!(
            "version {} of '{}' lists data file {} twice",
            snapshot.version,
            table.name(),
            file.path
        ))
        .into()),
    }
}

/// Leaves the first files that together have `limit` rows.
fn limit_files(files: &mut Vec<Listed<'_>>, limit: Option<usize>) {
    let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) else {
        return;
    };
    let mut rows: u64 = 0;
    let enough = files.iter().position(|(_, file)| {
        rows = rows.saturating_add(file.rows.unwrap_or_default());
        rows >= limit
    });
    if let Some(last) = enough {
        files.truncate(last + 1);
    }
}

/// Shows in EXPLAIN ANALYZE how many files of how many the scan reads.
fn count_files(source: &ParquetSource, matched: usize, all: usize) {
    let metrics = MetricBuilder::new(source.metrics())
        .with_type(MetricType::Summary)
        .pruning_metrics("files_pruned_by_manifest", 0);
    metrics.add_matched(matched);
    metrics.add_pruned(all - matched);
}

/// Shows beside it the rows of the files that are not read.
fn count_rows_pruned(source: &ParquetSource, rows: u64) {
    let metric = MetricBuilder::new(source.metrics())
        .with_type(MetricType::Summary)
        .global_counter("rows_pruned_by_manifest");
    metric.add(usize::try_from(rows).unwrap_or(usize::MAX));
}

fn count_rows(files: &[Listed<'_>]) -> u64 {
    files.iter().filter_map(|(_, file)| file.rows).sum()
}

fn partitioned_files(
    table: &Table,
    snapshot: &Snapshot,
    files: &[Listed<'_>],
) -> Result<(Vec<PartitionedFile>, Statistics)> {
    let file_schema = match snapshot.schema.has_legacy_names() {
        // Then files without ids are mapped by other names than those of the table.
        true => snapshot.schema.to_arrow_with_ids()?,
        false => Arc::clone(&snapshot.arrow),
    };
    let has_floats = snapshot
        .arrow
        .fields()
        .iter()
        .any(|field| holds_float(field.data_type()));
    let mut partitioned = Vec::with_capacity(files.len());
    let mut last: Option<(&Manifest, Vec<Option<usize>>)> = None;
    for (manifest, file) in files {
        // The files of one manifest follow each other.
        let positions = match last.take() {
            Some((of, positions)) if std::ptr::eq(of, *manifest) => positions,
            _ => statistics::positions(manifest, &snapshot.schema),
        };
        let (_, size) = file.known()?;
        // Names are never reused, so any fixed time marks the content for the footer cache.
        let meta = ObjectMeta {
            location: table.data_key(&file.path)?,
            last_modified: DateTime::UNIX_EPOCH,
            size,
            e_tag: None,
            version: None,
        };
        let statistics = statistics::of_file(file, &positions, &snapshot.arrow);
        let mut part = PartitionedFile::new_from_meta(meta).with_statistics(Arc::new(statistics));
        if has_floats {
            part = part.with_extension(nan_free(snapshot, file, &positions));
        }
        if manifest.schema == snapshot.schema.id && file.is_of_atio() {
            // Known, so the one that is embedded in the file need not be decoded; and where it is
            // that of the scan, the engine need not adapt any column.
            part = part.with_arrow_schema(Arc::clone(&file_schema));
        }
        partitioned.push(part);
        last = Some((manifest, positions));
    }
    let of_files = partitioned
        .iter()
        .filter_map(|file| file.statistics.as_deref());
    let statistics = Statistics::try_merge_iter(of_files, &snapshot.arrow)?;
    Ok((partitioned, statistics))
}
