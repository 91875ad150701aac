//! Data files: rows go in, and when a file is whole, its entry for a manifest comes out.
//!
//! A stream of rows has a file open for each key of a row, and begins the next after a full one.

use std::collections::HashMap;
use std::sync::Arc;

use atio_core::format::FileEntry;
use atio_core::log::{Footer, Snapshot, Transaction, stats_columns};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::common::{DataFusionError, Result};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::parquet::ParquetSink;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileOutputMode, FileSinkConfig};
use datafusion::datasource::sink::DataSink;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use object_store::path::Path;
use tokio::sync::{RwLock, mpsc};

use super::nan::NanWatch;
use super::routes::{Key, Routes};
use crate::engine_settings::without_panic;
use crate::error::Error;

/// Where a transaction's writers find its staging area.
const STAGING_URL: &str = "atio-staging://transaction/";
/// How many batches may wait for the encoder.
const QUEUE: usize = 2;
/// No stream has more files open.
const MOST: usize = 256;

/// How the rows of a stream are dealt to files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A file is ended once it has about so many bytes.
    pub(super) file_size: u64,
    /// What the rows that open files hold in memory may take, all together.
    pub(super) memory: Option<usize>,
    /// A row group, which is in memory until it is whole, takes no more.
    pub(super) row_group: Option<usize>,
}

/// Open files, by the key of their rows.
pub(super) struct OpenFiles<'a> {
    files: &'a DataFiles,
    routes: Routes,
    limits: Limits,
    open: HashMap<Key, Open>,
}

struct Open {
    file: DataFile,
    /// Bytes of the rows that it was given.
    given: usize,
}

impl<'a> OpenFiles<'a> {
    /// Rows with equal values in the columns `by` go to one file; without columns all do.
    pub(super) fn new(
        files: &'a DataFiles,
        schema: &SchemaRef,
        by: &[usize],
        limits: Limits,
    ) -> Result<Self> {
        Ok(Self {
            files,
            routes: Routes::new(schema, by)?,
            limits,
            open: HashMap::new(),
        })
    }

    /// Writes the rows of a batch, and gives the files that are whole with them.
    pub(super) async fn write(&mut self, batch: RecordBatch) -> Result<Vec<FileEntry>> {
        let mut whole = Vec::new();
        for (key, rows) in self.routes.split(batch)? {
            if !self.open.contains_key(&key) {
                if self.open.len() >= MOST {
                    whole.extend(self.finish_largest().await?);
                }
                let file = self.files.begin().await?;
                self.open.insert(key.clone(), Open { file, given: 0 });
            }
            let Some(open) = self.open.get_mut(&key) else {
                continue;
            };
            open.given += get_record_batch_memory_size(&rows);
            open.file.write(rows).await?;
            if self.files.written(&open.file) >= self.limits.file_size {
                whole.extend(self.finish_one(&key).await?);
            }
        }
        while self.open.len() > 1 && self.exceeds_memory() {
            whole.extend(self.finish_largest().await?);
        }
        Ok(whole)
    }

    /// Ends all files.
    pub(super) async fn finish(mut self) -> Result<Vec<FileEntry>> {
        let mut whole = Vec::with_capacity(self.open.len());
        for (_, open) in self.open.drain() {
            whole.push(self.files.finish(open.file).await?);
        }
        Ok(whole)
    }

    async fn finish_one(&mut self, key: &Key) -> Result<Option<FileEntry>> {
        match self.open.remove(key) {
            Some(open) => self.files.finish(open.file).await.map(Some),
            None => Ok(None),
        }
    }

    async fn finish_largest(&mut self) -> Result<Option<FileEntry>> {
        let largest = self.open.iter().max_by_key(|(_, open)| open.given);
        match largest.map(|(key, _)| key.clone()) {
            Some(key) => self.finish_one(&key).await,
            None => Ok(None),
        }
    }

    fn exceeds_memory(&self) -> bool {
        let row_group = self.limits.row_group.unwrap_or(usize::MAX);
        let held: usize = self
            .open
            .values()
            .map(|open| open.given.min(row_group))
            .sum();
        self.limits.memory.is_some_and(|most| held > most)
    }
}

/// Begins the data files of one transaction.
pub(super) struct DataFiles {
    txn: Arc<Transaction>,
    base: Arc<Snapshot>,
    /// As messages name the table.
    table: String,
    /// With field ids, as files are written.
    file_schema: SchemaRef,
    parquet: TableParquetOptions,
    /// Its store is the staging area of the transaction.
    context: Arc<TaskContext>,
    /// Held by each encoder that runs.
    running: Arc<RwLock<()>>,
}

impl DataFiles {
    pub(super) fn new(
        txn: Arc<Transaction>,
        base: Arc<Snapshot>,
        table: &str,
        file_schema: SchemaRef,
        parquet: TableParquetOptions,
        context: &Arc<TaskContext>,
    ) -> Result<Self> {
        Ok(Self {
            context: staging_context(&txn, context)?,
            txn,
            base,
            table: table.to_owned(),
            file_schema,
            parquet,
            running: Arc::default(),
        })
    }

    pub(super) fn txn(&self) -> &Arc<Transaction> {
        &self.txn
    }

    /// The columns of the rows that files take.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.base.arrow
    }

    /// Bytes that have reached the storage, of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.txn.store().bytes()
    }

    /// Waits until no encoder runs any more. Call it when all files were finished or dropped.
    pub(super) async fn ended(&self) {
        drop(self.running.write().await);
    }

    /// Begins a file. Dropped before it is finished, it never becomes one.
    pub(super) async fn begin(&self) -> Result<DataFile> {
        let path = self.txn.data_file().await?;
        let key = Path::parse(&path).map_err(object_store::Error::from)?;
        let sink = ParquetSink::new(self.config(&path)?, self.parquet.clone());
        let (sender, receiver) = mpsc::channel(QUEUE);
        let rows = futures::stream::unfold(Some(receiver), rows_of);
        let schema = Arc::clone(&self.base.arrow);
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema, rows));
        let (table, context) = (self.table.clone(), Arc::clone(&self.context));
        let running = Arc::clone(&self.running).read_owned().await;
        let encoder = SpawnedTask::spawn(async move {
            let _running = running;
            without_panic(&table, sink.write_all(rows, &context)).await?;
            Ok(sink)
        });
        Ok(DataFile {
            path,
            key,
            encoder,
            rows: sender,
            nan: NanWatch::new(&self.base.arrow),
            row_count: 0,
        })
    }

    /// Bytes of a file that have reached the storage.
    pub(super) fn written(&self, file: &DataFile) -> u64 {
        let content = self.txn.store().content(&file.key);
        content.map_or(0, |content| content.size)
    }

    /// Ends a file, and gives its entry: from its footer, and from what was seen being written.
    pub(super) async fn finish(&self, file: DataFile) -> Result<FileEntry> {
        let DataFile {
            path,
            key,
            encoder,
            rows,
            nan,
            row_count,
        } = file;
        // If the encoder is gone its error is the one to tell.
        rows.send(Next::End).await.ok();
        let sink = joined(encoder.await)?;
        let incomplete = || Error::damaged(format!("{path} was not written completely"));
        let metadata = sink.written().remove(&key).ok_or_else(incomplete)?;
        let footer = Footer::new(Arc::new(metadata))?;
        let content = self.txn.store().content(&key).ok_or_else(incomplete)?;
        if footer.rows()? != row_count {
            return Err(incomplete().into());
        }
        let (_, names) = stats_columns(&self.base.schema, &self.base.arrow);
        Ok(FileEntry {
            stats: footer.stats(&names, |name| nan.is_free(name)),
            dv: None,
            column_bytes: footer.column_bytes(&names),
            path,
            format: "parquet".to_owned(),
            size: Some(content.size),
            rows: Some(row_count),
            checksum: Some(content.checksum),
        })
    }

    fn config(&self, path: &str) -> Result<FileSinkConfig> {
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
}

/// A data file that is being written, by an encoder in a task of its own.
pub(super) struct DataFile {
    path: String,
    key: Path,
    // Before the sender: an encoder that is given up must not be told so as an error.
    encoder: SpawnedTask<Result<ParquetSink>>,
    rows: mpsc::Sender<Next>,
    nan: NanWatch,
    row_count: u64,
}

impl DataFile {
    /// Adds rows; waits while the encoder has enough to do.
    pub(super) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.nan.look(batch.columns());
        self.row_count += batch.num_rows() as u64;
        if self.rows.send(Next::Rows(batch)).await.is_ok() {
            return Ok(());
        }
        let ended = joined((&mut self.encoder).await);
        Err(ended.err().unwrap_or_else(|| given_up().into()))
    }
}

/// What an encoder takes.
enum Next {
    Rows(RecordBatch),
    /// The file is whole. Without it the encoder fails: the sink that it uses finishes what it
    /// has when its input ends, as if that were all.
    End,
}

async fn rows_of(
    receiver: Option<mpsc::Receiver<Next>>,
) -> Option<(Result<RecordBatch>, Option<mpsc::Receiver<Next>>)> {
    let mut receiver = receiver?;
    match receiver.recv().await {
        Some(Next::Rows(batch)) => Some((Ok(batch), Some(receiver))),
        Some(Next::End) => None,
        None => Some((Err(given_up().into()), None)),
    }
}

fn given_up() -> Error {
    Error::invalid("the statement that writes this file was given up")
}

/// How an encoder ended.
fn joined<T>(ended: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    ended.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
}

/// The context for the writers of a transaction: its staging area is the store they find.
fn staging_context(txn: &Transaction, context: &Arc<TaskContext>) -> Result<Arc<TaskContext>> {
    let runtime = RuntimeEnvBuilder::from_runtime_env(&context.runtime_env())
        .with_object_store_registry(Arc::new(DefaultObjectStoreRegistry::new()))
        .build_arc()?;
    let url = ObjectStoreUrl::parse(STAGING_URL)?;
    runtime.register_object_store(url.as_ref(), Arc::new(txn.store().clone()));
    let context = TaskContext::default()
        .with_session_config(context.session_config().clone())
        .with_runtime(runtime);
    Ok(Arc::new(context))
}

#[cfg(test)]
mod tests;
