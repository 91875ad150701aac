//! The file source of a scan: Parquet's, but for rows that are marked as deleted, and for the filters
//! that lose rows.
//!
//! Parquet's own source would also serialize itself, and leave out on the way what makes it a scan of
//! atio's: field ids, and the checks of each file.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use super::dynamic::DynamicFilters;
use super::row_ids::is_row_id;
use super::some_rows::ReadsSome;

/// Reads data files as the source below does, of each those rows that are rows of the table, and
/// declines the dynamic filters that lose rows.
///
/// Every method of [`FileSource`] is handed on: a default in its place would quietly do less. The
/// list is that of DataFusion 55.0 to 55.2. Methods that are deprecated there are left to
/// their defaults, as Parquet's source leaves them.
pub(super) struct AtioSource {
    /// What errors call the scan.
    subject: Arc<str>,
    below: Arc<dyn FileSource>,
    filters: Arc<DynamicFilters>,
}

impl AtioSource {
    /// `subject` is what errors call the scan.
    pub(super) fn new(
        subject: Arc<str>,
        below: Arc<dyn FileSource>,
        filters: DynamicFilters,
    ) -> Self {
        Self {
            subject,
            below,
            filters: Arc::new(filters),
        }
    }

    /// The same over another state of the source below.
    fn over(&self, below: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self {
            subject: Arc::clone(&self.subject),
            below,
            filters: Arc::clone(&self.filters),
        })
    }
}

impl FileSource for AtioSource {
    fn create_file_opener(
        &self,
        _: Arc<dyn ObjectStore>,
        _: &FileScanConfig,
        _: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        // Parquet's source has none either. One would give the rows that are marked as deleted, too.
        internal_err!("{} reads files by morsels alone", self.subject)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let below = self.below.create_morselizer(store, config, partition)?;
        Ok(Box::new(ReadsSome(below)))
    }

    fn table_schema(&self) -> &TableSchema {
        self.below.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.over(self.below.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.below.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.below.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.below.metrics()
    }

    fn file_type(&self) -> &str {
        self.below.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.below.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.below.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        self.below.repartitioned(
            target_partitions,
            repartition_file_min_size,
            output_ordering,
            config,
        )
    }

    /// Hands on the filters that lose no rows.
    ///
    /// To a dynamic filter that loses some the answer is yes all the same: the operator that made
    /// it needs nobody to apply it, and of one that is refused a sort on the way makes a filter of
    /// its own.
    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut followed = Vec::with_capacity(filters.len());
        let mut answers = Vec::with_capacity(filters.len());
        for filter in filters {
            // A reader cannot tell where a row lies before it has it.
            let asks_where = collect_columns(&filter)
                .iter()
                .any(|column| is_row_id(column.name()));
            let loses_rows = asks_where || self.filters.lose_rows(&filter)?;
            answers.push(
                match (loses_rows, filter.is::<DynamicFilterPhysicalExpr>()) {
                    (false, _) => None,
                    (true, true) => Some(PushedDown::Yes),
                    (true, false) => Some(PushedDown::No),
                },
            );
            if !loses_rows {
                followed.push(filter);
            }
        }
        let answer = self.below.try_pushdown_filters(followed, config)?;
        let mut of_followed = answer.filters.into_iter();
        let filters = answers.into_iter().map(|answer| {
            let answer = answer.or_else(|| of_followed.next());
            answer.unwrap_or(PushedDown::No)
        });
        Ok(FilterPushdownPropagation {
            filters: filters.collect(),
            updated_node: answer.updated_node.map(|below| self.over(below)),
        })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.below.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact {
                inner: self.over(inner),
            },
            SortOrderPushdownResult::Inexact { inner } => SortOrderPushdownResult::Inexact {
                inner: self.over(inner),
            },
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.below.reorder_files(files)
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let below = self.below.try_pushdown_projection(projection)?;
        Ok(below.map(|below| self.over(below)))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.below.apply_expressions(visit)
    }

    #[cfg(feature = "proto")]
    fn try_to_proto(
        &self,
        _: &FileScanConfig,
        _: &crate::proto::Context<'_>,
    ) -> crate::proto::Serialized {
        let why = "it would lose its field ids and the checks of its data files";
        crate::proto::refuse(&self.subject, why)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn methods_of_file_sources_were_compared_with_this_release_of_the_engine() {
        let release = datafusion::DATAFUSION_VERSION;
        assert!(
            release.starts_with("55."),
            "compare `AtioSource` with the methods of `FileSource` in DataFusion {release}"
        );
    }
}
