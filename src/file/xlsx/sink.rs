//! The sink: rows become workbooks, which are shown once all rows are there.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::runtime::SpawnedTask;
use datafusion::datasource::file_format::write::demux::DemuxedStreamReceiver;
use datafusion::datasource::file_format::write::get_writer_schema;
use datafusion::datasource::physical_plan::{FileSink, FileSinkConfig};
use datafusion::datasource::sink::DataSink;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use super::book::{Book, SHEET_ROWS};
use super::column::Column;
use super::options::XlsxOptions;
use crate::error::{Error, ErrorKind};

/// Excel's limit.
const SHEET_COLUMNS: usize = 16_384;
/// How many pieces of a packed workbook may wait for the store.
const QUEUE: usize = 2;

/// Writes the rows of a statement into one workbook, or into one for each partition value.
///
/// The engine's writers complete their files when their input ends, even if it ends because it
/// failed. Here nothing is sent to the store before the whole input has ended without an error.
pub(super) struct XlsxSink {
    config: FileSinkConfig,
    options: Arc<XlsxOptions>,
    columns: Arc<[Column]>,
}

impl XlsxSink {
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a sheet cannot hold such rows.
    pub(super) fn new(config: FileSinkConfig, options: Arc<XlsxOptions>) -> Result<Self> {
        let schema = get_writer_schema(&config);
        let count = schema.fields().len();
        if count > SHEET_COLUMNS {
            return Err(Error::invalid(format!(
                "there are {count} columns, and a sheet holds {SHEET_COLUMNS}: leave some out"
            ))
            .into());
        }
        let columns = schema.fields().iter().map(|field| Column::new(field));
        Ok(Self {
            columns: columns.collect::<crate::error::Result<_>>()?,
            config,
            options,
        })
    }

    fn book(&self, context: &TaskContext) -> Result<Book> {
        Book::new(
            Arc::clone(&self.columns),
            Arc::clone(&self.options),
            temporary(context)?,
            SHEET_ROWS,
        )
    }
}

/// Plans show a sink by the other way of writing it.
impl fmt::Debug for XlsxSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("XlsxSink")
    }
}

impl DisplayAs for XlsxSink {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sheet = &self.options.sheet_name;
        match kind {
            DisplayFormatType::TreeRender => write!(f, "format: xlsx\nsheet: {sheet}"),
            _ => write!(f, "XlsxSink(sheet={sheet})"),
        }
    }
}

#[async_trait]
impl FileSink for XlsxSink {
    fn config(&self) -> &FileSinkConfig {
        &self.config
    }

    async fn spawn_writer_tasks_and_join(
        &self,
        context: &Arc<TaskContext>,
        demux_task: SpawnedTask<Result<()>>,
        mut file_stream_rx: DemuxedStreamReceiver,
        object_store: Arc<dyn ObjectStore>,
    ) -> Result<u64> {
        // Both are stopped when this is dropped.
        let mut filling = JoinSet::new();
        while let Some((path, batches)) = file_stream_rx.recv().await {
            let book = self.book(context)?;
            filling
                .spawn(async move { Ok::<_, DataFusionError>((path, fill(book, batches).await?)) });
        }
        let mut books = Vec::new();
        while let Some(filled) = filling.join_next().await {
            books.push(joined(filled)?);
        }
        let ended = demux_task.join().await;
        ended.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;

        let part = context
            .session_config()
            .options()
            .execution
            .objectstore_writer_buffer_size;
        let mut rows = 0;
        for (path, book) in books {
            rows += book.rows();
            let file = BufWriter::with_capacity(Arc::clone(&object_store), path, part);
            show(book, file).await?;
        }
        Ok(rows)
    }
}

#[async_trait]
impl DataSink for XlsxSink {
    fn schema(&self) -> &SchemaRef {
        self.config.output_schema()
    }

    async fn write_all(
        &self,
        data: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        FileSink::write_all(self, data, context).await
    }
}

/// Writes all batches into a workbook, without holding a thread while there is none.
async fn fill(mut book: Book, mut batches: mpsc::Receiver<RecordBatch>) -> Result<Book> {
    while let Some(batch) = batches.recv().await {
        let write = spawn_blocking(move || book.write(&batch).map(|()| book));
        book = joined(write.await)?;
    }
    Ok(book)
}

/// Packs a workbook into a file of the store, which is there only if all of it is.
async fn show(book: Book, mut file: BufWriter) -> Result<()> {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(QUEUE);
    let packing = spawn_blocking(move || book.pack(sender));
    let mut written = Ok(());
    while let Some(piece) = pieces.recv().await {
        written = file.put(piece).await;
        if written.is_err() {
            break;
        }
    }
    // If the store failed, packing fails for want of a receiver, and that is not the one to tell.
    drop(pieces);
    let packed = joined(packing.await);
    let both = written.map_err(DataFusionError::from).and(packed);
    if both.is_err() {
        if let Err(error) = file.abort().await {
            log::warn!("an upload that failed could not be taken back: {error}");
        }
        return both;
    }
    Ok(file.shutdown().await?)
}

/// The directory where the session wants temporary files.
fn temporary(context: &TaskContext) -> Result<PathBuf> {
    let disks = &context.runtime_env().disk_manager;
    if !disks.tmp_files_enabled() {
        return Err(Error::invalid(
            "an XLSX file is written by way of a temporary file, and this session allows none",
        )
        .into());
    }
    let first = disks.temp_dir_paths().into_iter().next();
    Ok(first.unwrap_or_else(std::env::temp_dir))
}

/// What a task returned. The crate that writes workbooks panics when a disk is full.
fn joined<T>(task: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    task.unwrap_or_else(|error| {
        if !error.is_panic() {
            return Err(DataFusionError::ExecutionJoin(Box::new(error)));
        }
        Err(Error::new(
            ErrorKind::Storage,
            "writing the workbook broke off; the disk for temporary files may be full",
        )
        .with_source(error)
        .into())
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::listing::ListingTableUrl;
    use datafusion::datasource::physical_plan::{FileGroup, FileOutputMode};
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::logical_expr::dml::InsertOp;

    use super::*;

    #[test]
    fn more_columns_than_a_sheet_holds_are_refused() {
        let sink_of = |columns: usize| {
            let fields = (0..columns).map(|n| Field::new(format!("c{n}"), DataType::Int32, true));
            let config = FileSinkConfig {
                original_url: "file:///x.xlsx".to_owned(),
                object_store_url: ObjectStoreUrl::local_filesystem(),
                file_group: FileGroup::default(),
                table_paths: vec![ListingTableUrl::parse("file:///x.xlsx").unwrap()],
                output_schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
                table_partition_cols: Vec::new(),
                insert_op: InsertOp::Append,
                keep_partition_by_columns: false,
                file_extension: "xlsx".to_owned(),
                file_output_mode: FileOutputMode::SingleFile,
            };
            XlsxSink::new(config, Arc::default())
        };
        sink_of(16_384).unwrap();
        assert_eq!(
            sink_of(16_385).unwrap_err().strip_backtrace(),
            "External error: there are 16385 columns, and a sheet holds 16384: leave some out"
        );
    }
}
