//! The engine's plan of a scan: Parquet's, with what atio has around it.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::{Result, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{MetricBuilder, MetricType};
use parquet::file::metadata::PageIndexPolicy;

use super::adapter::FieldIdAdapterFactory;
use super::dynamic::DynamicFilters;
use super::reader::CheckedReaderFactory;
use super::source::AtioSource;
use super::version_scan::{LeftOut, VersionScan, subject};

/// The plan that reads the files of `scan`, of which there is one at least.
///
/// Bare: a node of ours above it would hide it from the engine's rules.
pub(super) fn parquet_exec(
    state: &dyn Session,
    scan: VersionScan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let VersionScan {
        table,
        store_url,
        snapshot,
        files,
        projection,
        filters,
        limit,
        above,
        left_out,
    } = scan;
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let parquet = TableParquetOptions {
        global: state.config_options().execution.parquet.clone(),
        ..Default::default()
    };
    let page_index = match !filters.is_empty() && parquet.global.enable_page_index {
        true => PageIndexPolicy::Optional,
        false => PageIndexPolicy::Skip,
    };
    let of_files = files.iter().map(|file| file.statistics.as_ref());
    let statistics = Statistics::try_merge_iter(of_files, &snapshot.arrow)?;
    let subject = subject(&table, &snapshot);
    let readers = CheckedReaderFactory::new(cache, page_index, table, snapshot.version);
    let source = ParquetSource::new(Arc::clone(&snapshot.arrow))
        .with_table_parquet_options(parquet)
        .with_parquet_file_reader_factory(Arc::new(readers));
    show(&source, files.len(), left_out);
    let filters = DynamicFilters::new(above, Arc::clone(&snapshot.arrow), &statistics);
    let source = AtioSource::new(subject, source.into(), filters);
    let files: Vec<_> = files.into_iter().map(PartitionedFile::from).collect();
    let groups = FileGroup::new(files).split_files(state.config().target_partitions());
    let adapter = FieldIdAdapterFactory::new(Arc::clone(&snapshot.schema));
    let config = FileScanConfigBuilder::new(store_url, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(projection)?
        .with_limit(limit)
        .with_expr_adapter(Some(Arc::new(adapter)))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Shows in EXPLAIN ANALYZE how many files of how many the scan reads, and how many rows the others
/// have.
fn show(source: &ParquetSource, read: usize, left_out: LeftOut) {
    let metrics = MetricBuilder::new(source.metrics())
        .with_type(MetricType::Summary)
        .pruning_metrics("files_pruned_by_manifest", 0);
    metrics.add_matched(read);
    metrics.add_pruned(left_out.files);
    let rows = MetricBuilder::new(source.metrics())
        .with_type(MetricType::Summary)
        .global_counter("rows_pruned_by_manifest");
    rows.add(usize::try_from(left_out.rows).unwrap_or(usize::MAX));
}
