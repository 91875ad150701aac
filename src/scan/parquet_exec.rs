//! The engine's plan of a scan: Parquet's, with what atio has around it.

use std::sync::Arc;

use datafusion::common::{ColumnStatistics, Result, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchemaBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{MetricBuilder, MetricType};
use datafusion::prelude::SessionConfig;
use parquet::file::metadata::PageIndexPolicy;

use super::adapter::FieldIdAdapterFactory;
use super::change_columns::change_fields;
use super::dynamic::DynamicFilters;
use super::reader::CheckedReaderFactory;
use super::row_ids::{file_field, row_field};
use super::source::AtioSource;
use super::version_scan::{LeftOut, VersionScan, subject};

/// The plan that reads the files of `scan`, of which there is one at least.
///
/// Bare: a node of ours above it would hide it from the engine's rules.
pub(super) fn parquet_exec(
    session: &SessionConfig,
    runtime: &RuntimeEnv,
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
        has_row_ids,
        has_changes,
    } = scan;
    let cache = runtime.cache_manager.get_file_metadata_cache();
    let mut parquet = TableParquetOptions {
        global: session.options().execution.parquet.clone(),
        ..Default::default()
    };
    // All columns are read of the few rows that a statement changes.
    parquet.global.pushdown_filters |= has_row_ids;
    let page_index = match !filters.is_empty() && parquet.global.enable_page_index {
        true => PageIndexPolicy::Optional,
        false => PageIndexPolicy::Skip,
    };
    let of_files = files.iter().map(|file| file.statistics.as_ref());
    let mut statistics = Statistics::try_merge_iter(of_files, &snapshot.arrow)?;
    if files.iter().any(|file| file.wanted.is_some()) {
        // They are those of the files with all of their rows that are not marked.
        statistics = statistics.to_inexact();
    }
    let schema = TableSchemaBuilder::new(Arc::clone(&snapshot.arrow));
    let (schema, more) = match (has_row_ids, has_changes) {
        (true, _) => {
            let schema = schema.with_table_partition_cols(vec![file_field()]);
            (schema.with_virtual_columns(vec![row_field()]), 2)
        }
        (_, true) => {
            let fields = change_fields();
            let more = fields.len();
            (schema.with_table_partition_cols(fields), more)
        }
        _ => (schema, 0),
    };
    let subject = subject(&table, &snapshot);
    let readers = CheckedReaderFactory::new(cache, page_index, table, snapshot.version);
    let source = ParquetSource::new(schema.build())
        .with_table_parquet_options(parquet)
        .with_parquet_file_reader_factory(Arc::new(readers));
    show(&source, files.len(), left_out);
    let filters = DynamicFilters::new(above, Arc::clone(&snapshot.arrow), &statistics);
    let source = AtioSource::new(subject, source.into(), filters);
    let files: Vec<_> = files.into_iter().map(PartitionedFile::from).collect();
    let groups = FileGroup::new(files).split_files(session.target_partitions());
    let adapter = FieldIdAdapterFactory::new(Arc::clone(&snapshot.schema));
    let config = FileScanConfigBuilder::new(store_url, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(with_unknown(statistics, more))
        .with_projection_indices(projection)?
        .with_limit(limit)
        .with_expr_adapter(Some(Arc::new(adapter)))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// The same, also of so many columns that no file has.
fn with_unknown(mut statistics: Statistics, more: usize) -> Statistics {
    let unknown = (0..more).map(|_| ColumnStatistics::new_unknown());
    statistics.column_statistics.extend(unknown);
    statistics
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
