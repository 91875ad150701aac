//! The sink: one statement's rows become one transaction of a database.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use atio_core::progress::Listener;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::sink::DataSink;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};

use super::registry::TableLocation;
use super::report::{Report, Times};
use super::write::{IfExists, Write};
use crate::settings::CommitSettings;

/// Writes a stream of rows into a table of a database.
#[derive(Debug)]
pub(super) struct DatabaseSink {
    pub(super) location: Arc<TableLocation>,
    pub(super) schema: SchemaRef,
    pub(super) if_exists: IfExists,
    /// Whether a table that is missing is made.
    pub(super) create: bool,
    /// How many rows there will be, as far as that is known.
    pub(super) rows: Option<u64>,
    pub(super) metrics: ExecutionPlanMetricsSet,
}

impl DatabaseSink {
    fn record(&self, rows: u64, times: Times) {
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        MetricBuilder::new(&self.metrics).output_rows(0).add(rows);
        for (name, time) in [("write_time", times.write), ("commit_time", times.commit)] {
            MetricBuilder::new(&self.metrics)
                .subset_time(name, 0)
                .add_duration(time);
        }
    }
}

#[async_trait]
impl DataSink for DatabaseSink {
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(
        &self,
        data: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let target = format!("{}/{}", self.location.name, self.location.table);
        CommitSettings::take(context.session_config())?.check_no_version(&target)?;
        let write = Write {
            table: self.location.table.clone(),
            schema: Arc::clone(&self.schema),
            if_exists: self.if_exists,
            create: self.create,
        };
        let report = Report {
            listener: context.session_config().get_extension::<Listener>(),
            target,
            rows: self.rows,
        };
        let connection = &self.location.connection;
        let (written, times) = connection.write_and_tell(write, data, report).await;
        let rows = written?;
        self.record(rows, times);
        Ok(rows)
    }
}

impl DisplayAs for DatabaseSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let operation = match self.if_exists {
            IfExists::Fail => "create",
            IfExists::Append => "append",
            IfExists::Replace => "replace",
        };
        write!(
            f,
            "DatabaseSink(connection={}, table={}, operation={operation})",
            self.location.name, self.location.table
        )
    }
}
