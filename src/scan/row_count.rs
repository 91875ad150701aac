//! A scan of no column: how many rows there are is all that counts.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::source::DataSource;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, Partitioning, PhysicalExpr};

/// So many rows without columns, from what a version says of itself: no file is read for them.
#[derive(Debug, Clone)]
pub(super) struct RowCount {
    /// What errors call the scan.
    #[cfg_attr(
        not(feature = "proto"),
        expect(dead_code, reason = "only serializing it can fail")
    )]
    subject: Arc<str>,
    /// Without columns.
    schema: SchemaRef,
    rows: usize,
    fetch: Option<usize>,
}

impl RowCount {
    /// `subject` is what errors call the scan; `schema` has no columns.
    pub(super) fn new(
        subject: Arc<str>,
        schema: SchemaRef,
        rows: usize,
        fetch: Option<usize>,
    ) -> Self {
        Self {
            subject,
            schema,
            rows,
            fetch,
        }
    }

    fn fetched(&self) -> usize {
        self.fetch.map_or(self.rows, |fetch| fetch.min(self.rows))
    }
}

impl DataSource for RowCount {
    fn open(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let most = context.session_config().batch_size().max(1);
        let (schema, mut left) = (Arc::clone(&self.schema), self.fetched());
        let batches = std::iter::from_fn(move || {
            let rows = left.min(most);
            left -= rows;
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let batch = || RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options);
            (rows > 0).then(|| Ok(batch()?))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter(batches),
        )))
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "rows={}", self.fetched()),
            _ => write!(f, "rows={}, files=0", self.fetched()),
        }
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(1)
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(Arc::clone(&self.schema))
    }

    fn partition_statistics(&self, _: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics {
            num_rows: Precision::Exact(self.fetched()),
            total_byte_size: Precision::Exact(0),
            column_statistics: Vec::new(),
        }))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Self {
            fetch: limit,
            ..self.clone()
        }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    fn try_swapping_with_projection(
        &self,
        _: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    #[cfg(feature = "proto")]
    fn try_to_proto(&self, _: &crate::proto::Context<'_>) -> crate::proto::Serialized {
        crate::proto::refuse(&self.subject, "it has no serialized form")
    }
}
