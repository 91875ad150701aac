//! The sink: one statement's rows become data files, and then one version.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use atio_core::format::Operation;
use atio_core::log::{CommitOptions, Table};
use atio_core::progress::{Listener, Reporter};
use atio_core::storage::Durability;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::datasource::sink::DataSink;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};

use super::feed::{Feed, in_memory};
use super::load::Load;
use super::target::Target;
use super::version_writer::VersionWriter;
use super::writing::Writing;
use crate::settings::CommitSettings;

/// Appends rows that are in memory as one version, which carries `options`.
pub(crate) async fn append_rows(
    table: &Arc<Table>,
    batches: Vec<RecordBatch>,
    options: CommitOptions,
    context: Arc<TaskContext>,
) -> Result<()> {
    let base = table.newest().await?;
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let data = in_memory(&base.arrow, batches);
    let sink = AtioSink::new(Target::appending(table, base, Some(rows))?)?;
    sink.write(data, options, &context).await.map(drop)
}

/// Writes a stream of rows into data files and commits them as one version, or as one for each
/// chunk.
///
/// DataFusion's own sinks publish what they have when their input fails, so nothing of a version
/// counts before all of its rows have come without an error; on an error, or when the statement is
/// dropped, everything that was staged is removed.
#[derive(Debug)]
pub(crate) struct AtioSink {
    writer: VersionWriter,
    /// What the engine checks rows by: where NULL must not be is for the feed, which names columns.
    nullable: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
}

impl AtioSink {
    pub(crate) fn new(target: Target) -> Result<Self> {
        let writer = VersionWriter::new(target)?;
        let columns = writer.target.base.arrow.fields().iter();
        let columns = columns.map(|field| Field::clone(field).with_nullable(true));
        let nullable = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        Ok(Self {
            writer,
            nullable,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Writes all rows of `data` as `options` say, and gives how many were written.
    async fn write(
        &self,
        data: SendableRecordBatchStream,
        options: CommitOptions,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let Target {
            table,
            base,
            overwrite,
            rows,
            ..
        } = &self.writer.target;
        if *overwrite {
            options.check_one_version("INSERT OVERWRITE")?;
        }
        if let Some(key) = &options.idempotency_key
            && let Some(version) = table.committed_with(base, key).await?
        {
            let operation = match overwrite {
                true => Operation::Overwrite,
                false => Operation::Append,
            };
            table.repeats(version, Some(key), &operation).await?;
            table.say_repeated(Some(key), version);
            return Ok(0);
        }
        let load = Load::new(&self.writer, options)?;
        if *overwrite {
            load.check_not_begun()?;
        }
        let listener = context.session_config().get_extension::<Listener>();
        let reporter = Reporter::begin(listener, table.name(), *rows);
        let mut writing = Writing::new(context, &reporter, &self.metrics);
        if *overwrite {
            let mut feed = Feed::new(&base.arrow, data, None);
            return load.replace(&mut feed, &mut writing).await;
        }
        load.run(data, &mut writing).await
    }
}

#[async_trait]
impl DataSink for AtioSink {
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn schema(&self) -> &SchemaRef {
        &self.nullable
    }

    /// Commits all rows of `data` as one version, or none of them; or one version for each
    /// chunk, where that is set.
    ///
    /// Appending no rows makes no version; overwriting with no rows does. What was committed
    /// under the same key before is not written again: that gives no rows.
    async fn write_all(
        &self,
        data: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let options = CommitSettings::take(context.session_config());
        self.write(data, options, context).await
    }
}

impl DisplayAs for AtioSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target {
            table,
            base,
            overwrite,
            ..
        } = &self.writer.target;
        let operation = if *overwrite { "overwrite" } else { "append" };
        write!(
            f,
            "AtioSink(table={}, operation={operation}, base={}",
            table.name(),
            base.version
        )?;
        if table.options().durability == Durability::None {
            f.write_str(", durability=none")?;
        }
        f.write_str(")")
    }
}
