//! The data files of one version: staged, and then committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use atio_core::format::FileEntry;
use atio_core::log::{
    Advance, CommitOptions, Committed, Footer, RowChange, Snapshot, StagedMerge, Transaction,
    stats_columns,
};
use atio_core::progress::{Reporter, Step};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::datasource::file_format::parquet::ParquetSink;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileOutputMode, FileSinkConfig};
use datafusion::datasource::sink::DataSink;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::bloom_filters;
use super::feed::Feed;
use super::nan::NanWatch;
use super::target::Target;
use super::writing::Writing;
use crate::engine_settings::{check_output, check_parquet_writer, without_panic};
use crate::error::Error;

/// Where a transaction's writers find its staging area.
const STAGING_URL: &str = "atio-staging://transaction/";
/// How many batches may wait for the encoder.
const QUEUE: usize = 2;

/// Writes the data files of a version, and commits them.
#[derive(Debug)]
pub(super) struct VersionWriter {
    pub(super) target: Target,
    /// With field ids, as files are written.
    file_schema: SchemaRef,
}

impl VersionWriter {
    pub(super) fn new(target: Target) -> Result<Self> {
        let file_schema = target.base.schema.to_arrow_with_ids()?;
        Ok(Self {
            target,
            file_schema,
        })
    }

    /// Writes the rows of one chunk into data files of a transaction of its own, beside the
    /// version `base`. Dropping what it gives removes them.
    pub(super) async fn stage(
        &self,
        base: &Arc<Snapshot>,
        feed: &mut Feed,
        writing: &mut Writing<'_>,
    ) -> Result<Staged> {
        let Target {
            table, overwrite, ..
        } = &self.target;
        let timer = writing.write_time.clone();
        let timer = timer.timer();
        let txn = Transaction::begin(table);
        let span = tracing::info_span!("write", table = table.name());
        let write = self.write_files(&txn, feed, writing).instrument(span);
        let merges = async {
            match overwrite {
                true => Ok(Vec::new()),
                false => Ok(table.prepare_merges(&txn, base).await?),
            }
        };
        let (files, merges) = match futures::try_join!(write, merges) {
            Ok(done) => done,
            Err(error) => {
                let said = Error::find(&error);
                let stopped = table.why_not_staged(&txn, base, said).await;
                txn.abort().await;
                return Err(stopped.map_or(error, Into::into));
            }
        };
        timer.done();
        let rows = files.iter().filter_map(|file| file.rows).sum();
        let bytes: u64 = files.iter().filter_map(|file| file.size).sum();
        writing.files_written.add(files.len());
        writing
            .bytes_written
            .add(usize::try_from(bytes).unwrap_or(usize::MAX));
        writing.before += bytes;
        writing.reporter.written(writing.before);
        Ok(Staged {
            txn,
            base: Arc::clone(base),
            files,
            merges,
            rows,
        })
    }

    /// Commits what was staged, with the endings of [`Table::commit`].
    pub(super) async fn commit(
        &self,
        staged: Staged,
        advance: Option<Advance>,
        options: CommitOptions,
        writing: &Writing<'_>,
    ) -> Result<Committed> {
        let Target {
            table, overwrite, ..
        } = &self.target;
        let Staged {
            txn,
            base,
            files,
            merges,
            ..
        } = staged;
        let (ids, _) = stats_columns(&base.schema, &base.arrow);
        let change = match overwrite {
            true => RowChange::overwrite(base.schema.id, ids, files),
            false => RowChange::append(base.schema.id, ids, files).advancing(advance),
        };
        writing.reporter.report(Step::Commit);
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

    async fn write_files(
        &self,
        txn: &Transaction,
        feed: &mut Feed,
        writing: &Writing<'_>,
    ) -> Result<Vec<FileEntry>> {
        check_output(&writing.context.session_config().options().execution)?;
        check_parquet_writer(&self.parquet_options(writing.context), &self.file_schema)?;
        let context = staging_context(txn, writing.context)?;
        let mut files: Vec<FileEntry> = Vec::new();
        // A file is begun only when there is a row for it.
        while let Some(first) = feed.next().await? {
            let finished = files.iter().filter_map(|file| file.size).sum();
            let rows = Rows {
                first,
                rest: feed,
                finished,
                before: writing.before,
                reporter: writing.reporter,
            };
            files.push(self.write_file(txn, rows, &context).await?);
            // How large a file is in the end shows only by now.
            feed.wrote(files.iter().filter_map(|file| file.size).sum());
        }
        Ok(files)
    }

    async fn write_file(
        &self,
        txn: &Transaction,
        input: Rows<'_>,
        context: &Arc<TaskContext>,
    ) -> Result<FileEntry> {
        let path = txn.data_file().await?;
        let key = object_store::path::Path::parse(&path).map_err(object_store::Error::from)?;
        let sink = ParquetSink::new(self.file_config(&path)?, self.parquet_options(context));
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut nan = NanWatch::new(&self.target.base.arrow);
        let produce = async {
            let mut rows = 0_u64;
            let mut next = Some(input.first);
            while let Some(batch) = next {
                let taken = batch.num_rows() as u64;
                rows += taken;
                nan.look(batch.columns());
                if sender.send(Ok(batch)).await.is_err() {
                    // The encoder failed; its error is the one to tell.
                    break;
                }
                let written = txn.store().content(&key).map_or(0, |content| content.size);
                let of_chunk = input.finished + written;
                input.rest.wrote(of_chunk);
                input.reporter.written(input.before + of_chunk);
                input.reporter.advance(Step::Write, taken);
                if written >= self.target.options.target_file_size {
                    break;
                }
                next = input.rest.next().await?;
            }
            drop(sender);
            Ok(rows)
        };
        let batches = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|batch| (batch, receiver))
        });
        let batches = Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.target.base.arrow),
            batches,
        ));
        // An error on either side drops the other: an encoder that saw its input end would
        // finish the file as if it were whole.
        let write = sink.write_all(batches, context);
        let write = without_panic(self.target.table.name(), write);
        let (rows, _) = futures::try_join!(produce, write)?;
        self.entry(txn, path, &sink, rows, &nan)
    }

    /// The entry of a finished file: from its footer, and from what was seen being written.
    fn entry(
        &self,
        txn: &Transaction,
        path: String,
        sink: &ParquetSink,
        rows: u64,
        nan: &NanWatch,
    ) -> Result<FileEntry> {
        let key = object_store::path::Path::parse(&path).map_err(object_store::Error::from)?;
        let incomplete = || Error::damaged(format!("{path} was not written completely"));
        let metadata = sink.written().remove(&key).ok_or_else(incomplete)?;
        let footer = Footer::new(Arc::new(metadata))?;
        let content = txn.store().content(&key).ok_or_else(incomplete)?;
        if footer.rows()? != rows {
            return Err(incomplete().into());
        }
        let (_, names) = stats_columns(&self.target.base.schema, &self.target.base.arrow);
        Ok(FileEntry {
            stats: footer.stats(&names, |name| nan.is_free(name)),
            column_bytes: footer.column_bytes(&names),
            path,
            format: "parquet".to_owned(),
            size: Some(content.size),
            rows: Some(rows),
            checksum: Some(content.checksum),
        })
    }

    fn file_config(&self, path: &str) -> Result<FileSinkConfig> {
        let url = format!("{STAGING_URL}{path}");
        Ok(FileSinkConfig {
            original_url: url.clone(),
            object_store_url: ObjectStoreUrl::parse(STAGING_URL)?,
            file_group: FileGroup::default(),
            table_paths: vec![ListingTableUrl::parse(&url)?],
            output_schema: Arc::clone(&self.file_schema),
            table_partition_cols: Vec::new(),
            insert_op: InsertOp::Append,
            keep_partition_by_columns: false,
            file_extension: "parquet".to_owned(),
            file_output_mode: FileOutputMode::SingleFile,
        })
    }

    fn parquet_options(&self, context: &TaskContext) -> datafusion::config::TableParquetOptions {
        let session = &context.session_config().options().execution.parquet;
        let memory = match context.memory_pool().memory_limit() {
            MemoryLimit::Finite(bytes) => Some(bytes),
            MemoryLimit::Infinite | MemoryLimit::Unknown => None,
        };
        let mut options = self.target.options.parquet(session, memory);
        bloom_filters::leave_floats_out(&mut options, &self.file_schema);
        options
    }
}

/// What a file is made of: at least one batch, and as many more as fit.
struct Rows<'a> {
    first: RecordBatch,
    rest: &'a mut Feed,
    /// Bytes of the files before it, in the same chunk.
    finished: u64,
    /// Bytes of the chunks before.
    before: u64,
    reporter: &'a Reporter,
}

/// The data files of one version that is not committed yet.
#[must_use = "files that are not committed are removed"]
pub(super) struct Staged {
    txn: Arc<Transaction>,
    base: Arc<Snapshot>,
    files: Vec<FileEntry>,
    merges: Vec<StagedMerge>,
    pub(super) rows: u64,
}

impl Staged {
    /// Removes the files.
    pub(super) async fn abort(self) {
        self.txn.abort().await;
    }
}

/// The context for the writers of a transaction: its staging area is the store they find.
fn staging_context(txn: &Transaction, context: &Arc<TaskContext>) -> Result<Arc<TaskContext>> {
    let runtime = RuntimeEnvBuilder::from_runtime_env(&context.runtime_env())
        .with_object_store_registry(Arc::new(
            datafusion::execution::object_store::DefaultObjectStoreRegistry::new(),
        ))
        .build_arc()?;
    let url = ObjectStoreUrl::parse(STAGING_URL)?;
    runtime.register_object_store(url.as_ref(), Arc::new(txn.store().clone()));
    let context = TaskContext::default()
        .with_session_config(context.session_config().clone())
        .with_runtime(runtime);
    Ok(Arc::new(context))
}
