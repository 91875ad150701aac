//! The two parts of every write: rows become data files, and data files a version.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use atio_core::format::FileEntry;
use atio_core::log::{
    Advance, CommitOptions, Committed, RowChange, Snapshot, StagedMerge, Transaction, stats_columns,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::config::TableParquetOptions;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;
use tracing::Instrument;

use super::bloom_filters;
use super::checks::Checks;
use super::data_files::{DataFiles, Limits};
use super::feed::Feed;
use super::file_rows;
use super::job::Job;
use super::moved::Moved;
use super::target::WriteTarget;
use super::writing::Writing;
use crate::engine_settings::{check_output, check_parquet_writer};
use crate::error::Error;

/// Of a memory that is limited the rows of open files take at most this part.
const MEMORY_SHARE: usize = 8;

/// Writes the data files of versions of one table, and commits them.
#[derive(Debug)]
pub(super) struct VersionWriter {
    pub(super) target: WriteTarget,
    /// With field ids, as files are written.
    file_schema: SchemaRef,
}

impl VersionWriter {
    pub(super) fn new(target: WriteTarget) -> Result<Self> {
        let file_schema = target.base.schema.to_arrow_with_ids()?;
        Ok(Self {
            target,
            file_schema,
        })
    }

    /// Begins `txn`, whose files about so many streams of rows write, side by side: they share the
    /// memory.
    pub(super) fn begin(
        &self,
        txn: Arc<Transaction>,
        base: &Arc<Snapshot>,
        writing: &Arc<Writing>,
        streams: usize,
    ) -> Result<Job> {
        let WriteTarget { table, options, .. } = &self.target;
        let context = &writing.context;
        let memory = match context.memory_pool().memory_limit() {
            MemoryLimit::Finite(bytes) => Some(bytes / streams.max(1)),
            MemoryLimit::Infinite | MemoryLimit::Unknown => None,
        };
        let parquet = self.parquet_options(context, memory);
        check_output(&context.session_config().options().execution)?;
        check_parquet_writer(&parquet, &self.file_schema)?;
        let limits = Limits {
            file_size: options.target_file_size,
            memory: memory.map(|bytes| bytes / MEMORY_SHARE),
            row_group: parquet.global.max_row_group_bytes.map(|most| most.get()),
        };
        let files = DataFiles::new(
            txn,
            Arc::clone(base),
            table.name(),
            Arc::clone(&self.file_schema),
            parquet,
            context,
        )?;
        Ok(Job::new(files, limits, Arc::clone(writing)))
    }

    /// Writes the rows of one chunk into data files of a transaction of its own, beside the
    /// version `base`. Dropping what it gives removes them.
    pub(super) async fn stage(
        &self,
        base: &Arc<Snapshot>,
        feed: &mut Feed,
        writing: &Arc<Writing>,
    ) -> Result<StagedVersion> {
        let txn = Transaction::begin(&self.target.table);
        let job = self.begin(txn, base, writing, 1)?;
        let write = async {
            let timer = writing.write_time(0);
            let _timer = timer.timer();
            job.write(feed).await
        };
        let written = self.beside_merges(&job, base, write).await;
        self.staged(&job, base, written).await
    }

    /// Writes rows into data files of `txn`, which others have begun and will commit; gives the
    /// files, which this process still removes if it hands none of them over.
    pub(super) async fn write_part(
        &self,
        txn: &Arc<Transaction>,
        rows: SendableRecordBatchStream,
        writing: &Arc<Writing>,
    ) -> Result<Vec<FileEntry>> {
        let base = &self.target.base;
        let job = self.begin(Arc::clone(txn), base, writing, 1)?;
        let mut feed = Feed::new(job.schema(), rows, None);
        let written = job.write(&mut feed).await;
        let written = written.map(|files| (files, Vec::new()));
        Ok(self.staged(&job, base, written).await?.files)
    }

    /// Takes the data files of a whole statement, which `rows` are of.
    pub(super) async fn gather(
        &self,
        job: &Job,
        rows: SendableRecordBatchStream,
    ) -> Result<StagedVersion> {
        let written = self.gather_files(job, rows).await;
        self.staged(job, &self.target.base, written).await
    }

    /// The same, which are not part of anything yet.
    pub(super) async fn gather_files(
        &self,
        job: &Job,
        rows: SendableRecordBatchStream,
    ) -> Result<(Vec<FileEntry>, Vec<StagedMerge>)> {
        let gather = self.gather_rows(job, rows);
        self.beside_merges(job, &self.target.base, gather).await
    }

    /// The same for a version that needs no merges.
    pub(super) async fn gather_rows(
        &self,
        job: &Job,
        rows: SendableRecordBatchStream,
    ) -> Result<Vec<FileEntry>> {
        let files: Vec<_> = rows.try_collect().await?;
        let files = files.iter().map(file_rows::from_batch);
        let files: Vec<_> = files
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        job.check_ended(&files)?;
        Ok(files)
    }

    /// Merges of manifests are prepared while files are written.
    pub(super) async fn beside_merges(
        &self,
        job: &Job,
        base: &Arc<Snapshot>,
        write: impl Future<Output = Result<Vec<FileEntry>>>,
    ) -> Result<(Vec<FileEntry>, Vec<StagedMerge>)> {
        let WriteTarget {
            table, overwrite, ..
        } = &self.target;
        let span = tracing::info_span!("write", table = table.name());
        let merges = async {
            match overwrite {
                true => Ok(Vec::new()),
                false => Ok(table.prepare_merges(job.txn(), base).await?),
            }
        };
        futures::try_join!(write.instrument(span), merges)
    }

    async fn staged(
        &self,
        job: &Job,
        base: &Arc<Snapshot>,
        written: Result<(Vec<FileEntry>, Vec<StagedMerge>)>,
    ) -> Result<StagedVersion> {
        let (files, merges) = self.or_abort(job, base, written).await?;
        job.writing().staged(&files);
        Ok(StagedVersion {
            txn: Arc::clone(job.txn()),
            base: Arc::clone(base),
            rows: files.iter().filter_map(|file| file.rows).sum(),
            files,
            merges,
        })
    }

    /// What was `written`; where that failed nothing of it is left, and the error says why.
    pub(super) async fn or_abort<T>(
        &self,
        job: &Job,
        base: &Arc<Snapshot>,
        written: Result<T>,
    ) -> Result<T> {
        let error = match written {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        job.ended().await;
        let table = &self.target.table;
        let said = Error::find(&error);
        let stopped = table.why_not_staged(job.txn(), base, said).await;
        job.txn().abort().await;
        Err(stopped.map_or(error, Into::into))
    }

    /// Commits a change of the version that the statement reads.
    pub(super) async fn commit_change(
        &self,
        job: &Job,
        (change, moved): (RowChange, Option<Moved>),
        merges: Vec<StagedMerge>,
        options: CommitOptions,
    ) -> Result<Committed> {
        let attempt = Attempt {
            txn: Arc::clone(job.txn()),
            base: Arc::clone(&self.target.base),
            change,
            moved,
            merges,
        };
        self.run_commit(attempt, options, job.writing()).await
    }

    /// Commits what was staged, with the endings of [`Table::commit`](atio_core::log::Table::commit).
    pub(super) async fn commit(
        &self,
        staged: StagedVersion,
        advance: Option<Advance>,
        options: CommitOptions,
        writing: &Writing,
    ) -> Result<Committed> {
        let overwrite = &self.target.overwrite;
        let StagedVersion {
            txn,
            base,
            files,
            merges,
            ..
        } = staged;
        let (ids, _) = stats_columns(&base.schema, &base.arrow);
        let change = match overwrite {
            true => {
                RowChange::overwrite(base.schema.id, ids, files).with_columns(base.new_columns())
            }
            false => {
                let append = RowChange::append(base.schema.id, ids, files).advancing(advance);
                match self.target.reads(writing.context.session_config()) {
                    Some(reads) => {
                        let does_select = self.target.does_select(&writing.context, None);
                        append.reading(reads).asking(does_select)
                    }
                    None => append,
                }
            }
        };
        let attempt = Attempt {
            txn,
            base,
            change,
            moved: None,
            merges,
        };
        self.run_commit(attempt, options, writing).await
    }

    async fn run_commit(
        &self,
        attempt: Attempt,
        options: CommitOptions,
        writing: &Writing,
    ) -> Result<Committed> {
        let table = &self.target.table;
        let Attempt {
            txn,
            base,
            change,
            moved,
            merges,
        } = attempt;
        let change = match Checks::of(&self.target, &options)? {
            Some(checks) => change.behind(checks.gate(moved)),
            None => change,
        };
        writing.commits();
        let timer = writing.commit_time.timer();
        let retries = txn.retries();
        let span = tracing::info_span!("commit", table = table.name());
        let committed = table
            .commit(txn, base, change, merges, options)
            .instrument(span)
            .await?;
        timer.done();
        writing.commit_retries.add(retries.load(Ordering::Relaxed));
        Ok(committed)
    }

    fn parquet_options(&self, context: &TaskContext, memory: Option<usize>) -> TableParquetOptions {
        let session = &context.session_config().options().execution.parquet;
        let mut options = self.target.options.parquet(session, memory);
        bloom_filters::leave_floats_out(&mut options, &self.file_schema);
        options
    }
}

/// A version that is about to be committed.
struct Attempt {
    txn: Arc<Transaction>,
    base: Arc<Snapshot>,
    change: RowChange,
    /// Set where it changes rows of files.
    moved: Option<Moved>,
    merges: Vec<StagedMerge>,
}

/// The data files of one version that is not committed yet.
#[must_use = "files that are not committed are removed"]
pub(super) struct StagedVersion {
    txn: Arc<Transaction>,
    base: Arc<Snapshot>,
    files: Vec<FileEntry>,
    merges: Vec<StagedMerge>,
    pub(super) rows: u64,
}

impl StagedVersion {
    /// Removes the files.
    pub(super) async fn abort(self) {
        self.txn.abort().await;
    }
}
