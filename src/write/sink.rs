//! The sink: it begins the run of a statement, and its data files become one version.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use async_trait::async_trait;
use atio_core::format::Operation;
use atio_core::log::{CommitOptions, Table, Transaction};
use atio_core::storage::Durability;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::datasource::sink::DataSink;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::TryStreamExt;

use super::change::Change;
use super::checks::Checks;
use super::feed::in_memory;
use super::file_rows;
use super::load::{Load, check_not_begun};
use super::retries::Retries;
use super::run::{Begun, Rows, Run, Runs, take};
use super::target::WriteTarget;
use super::version_writer::VersionWriter;
use super::writing::Writing;
use crate::error::Error;
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
    let writer = VersionWriter::new(WriteTarget::appending(table, base, Some(rows))?)?;
    let Some(load) = begin_load(&Arc::new(writer), options).await? else {
        return Ok(());
    };
    let metrics = ExecutionPlanMetricsSet::new();
    let writing = Writing::begin(&context, table.name(), Some(rows), &metrics);
    load.run(data, &Arc::new(writing)).await.map(drop)
}

/// Commits the data files of a statement as one version, or, where the statement is a load in
/// chunks, writes its rows itself, as one version for each chunk.
///
/// DataFusion's own sinks publish what they have when their input fails, so nothing of a version
/// counts before all of its rows have come without an error; on an error, or when the statement is
/// dropped, everything that was staged is removed.
#[derive(Debug)]
pub(crate) struct AtioSink {
    runs: Arc<Runs>,
}

impl AtioSink {
    pub(super) fn new(runs: Arc<Runs>) -> Self {
        Self { runs }
    }

    /// Commits what `run` writes, once.
    async fn write_once(
        &self,
        run: &Run,
        mut files: SendableRecordBatchStream,
        options: CommitOptions,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        match begin_run(&self.runs, run, options, context).await? {
            None => Ok(0),
            Some((Begun::Whole(job), Rest::Load(load))) => load.run_whole(&job, files).await,
            Some((Begun::Whole(job), Rest::Change(options))) => {
                let change = self.runs.change.as_deref();
                let change = change.ok_or_else(|| Error::invalid("nothing is to be changed"))?;
                let what = (change, run.changed.as_ref(), &run.keys);
                self.runs.writer.replace(what, &job, files, options).await
            }
            Some((Begun::InOrder(_), Rest::Change(_))) => {
                Err(Error::invalid("rows are changed by all partitions at once").into())
            }
            Some((Begun::InOrder(writing), Rest::Load(load))) => {
                // The partitions end at once, and leave what they would read.
                while files.try_next().await?.is_some() {}
                let lost = || Error::invalid("an INSERT was planned without what reads its rows");
                let Rows(rows) = take(&run.rows).ok_or_else(lost)?;
                load.run(rows, &writing).await
            }
        }
    }
}

#[async_trait]
impl DataSink for AtioSink {
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.runs.metrics.clone_inner())
    }

    /// That of the rows that the write node gives, one for each file.
    fn schema(&self) -> &SchemaRef {
        &file_rows::SCHEMA
    }

    /// Commits all rows of the statement as one version, or none of them; or one version for each
    /// chunk, where that is set. Gives how many rows were written.
    ///
    /// Appending no rows makes no version; overwriting with no rows does. What was committed
    /// under the same key before is not written again: that gives no rows.
    ///
    /// Takes the settings of the commit. After a conflict the statement is run again as often as they
    /// ask for.
    async fn write_all(
        &self,
        files: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let run = self.runs.of_sink(context)?;
        let options = CommitSettings::take(context.session_config())?;
        let began = Instant::now();
        let ended = self.write_once(&run, files, options.clone(), context).await;
        // What it holds in memory is for the next attempt.
        drop(run);
        match ended {
            Ok(rows) => Ok(rows),
            Err(error) => match Retries::of(&self.runs.writer.target, &options) {
                Ok(Some(retries)) => retries.after(error, began.elapsed(), context).await,
                Ok(None) | Err(_) => Err(error),
            },
        }
    }

    #[cfg(feature = "proto")]
    fn try_to_proto(
        &self,
        _: &datafusion::datasource::sink::DataSinkExec,
        _: &crate::proto::Context<'_>,
    ) -> crate::proto::Serialized {
        self.runs.writer.target.refuse_to_serialize()
    }
}

impl DisplayAs for AtioSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WriteTarget {
            table,
            base,
            overwrite,
            ..
        } = &self.runs.writer.target;
        let operation = match (&self.runs.change, overwrite) {
            (Some(change), _) => change.verb.operation(),
            (None, true) => Operation::Overwrite,
            (None, false) => Operation::Append,
        };
        let operation = operation.word();
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

/// What is left to do for the sink.
enum Rest {
    Load(Load),
    Change(CommitOptions),
}

/// Begins a run: looks for the key of its commit, whether it can be checked and run again, and begins
/// the transaction. None if the key was seen before.
async fn begin_run(
    runs: &Runs,
    run: &Run,
    options: CommitOptions,
    context: &Arc<TaskContext>,
) -> Result<Option<(Begun, Rest)>> {
    let target = &runs.writer.target;
    let retries = Retries::of(target, &options).map(drop);
    let checks = Checks::of(target, &options);
    let rest = match &runs.change {
        Some(change) => begin_change(&runs.writer, change, &options)
            .await?
            .then_some(Rest::Change(options)),
        None => begin_load(&runs.writer, options).await?.map(Rest::Load),
    };
    let Some(rest) = rest else {
        return Ok(None);
    };
    retries?;
    let WriteTarget {
        table, base, rows, ..
    } = target;
    if let Some(checks) = checks? {
        checks.prepare(base).await?;
    }
    let writing = Writing::begin(context, table.name(), *rows, &runs.metrics);
    let writing = Arc::new(writing);
    let begun = match &rest {
        Rest::Load(load) if load.is_in_order() => Begun::InOrder(writing),
        Rest::Load(_) | Rest::Change(_) => {
            let txn = Transaction::begin(table);
            let partitions = runs.partitions.load(Ordering::Relaxed);
            let job = runs.writer.begin(txn, base, &writing, partitions)?;
            Begun::Whole(Arc::new(job))
        }
    };
    run.tell(begun.clone());
    if runs.change.is_some() {
        let register = |name| MemoryConsumer::new(name).register(context.memory_pool());
        let memory = register("rows that a statement changes");
        run.changed.count_in(memory);
        run.keys.count_in(register("keys of the source of a MERGE"));
    }
    Ok(Some((begun, rest)))
}

/// True unless what the options ask for was done before, under the same key.
async fn begin_change(
    writer: &VersionWriter,
    change: &Change,
    options: &CommitOptions,
) -> Result<bool> {
    let WriteTarget { table, base, .. } = &writer.target;
    options.check_one_version(change.verb.word())?;
    let Some(key) = &options.idempotency_key else {
        return Ok(true);
    };
    let Some(version) = table.committed_with(base, key).await? else {
        check_not_begun(&writer.target, key)?;
        return Ok(true);
    };
    let operation = change.verb.operation();
    table.repeats(version, Some(key), &operation).await?;
    table.say_repeated(Some(key), version);
    Ok(false)
}

/// The load that `options` describe; None if its key was seen before.
async fn begin_load(writer: &Arc<VersionWriter>, options: CommitOptions) -> Result<Option<Load>> {
    let WriteTarget {
        table,
        base,
        overwrite,
        ..
    } = &writer.target;
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
        return Ok(None);
    }
    if let (true, Some(key)) = (*overwrite, &options.idempotency_key) {
        check_not_begun(&writer.target, key)?;
    }
    Ok(Some(Load::new(writer, options)?))
}
