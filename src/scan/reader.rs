//! Opening data files: what the footer says must be what the manifest says.
//!
//! A file that lost its end, or all of its bytes, must be an error, never fewer rows.

use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use atio_core::format::Version;
use atio_core::log::{Table, Unreadable};
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, CachedParquetMetaData,
};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::bounds::{NanFree, without_misleading};
use super::some_rows::SomeRows;

/// Makes readers that check size and row count; footers are cached, for files never change.
///
/// What they give of footers and page indexes has no bounds that mislead.
pub(super) struct CheckedReaderFactory {
    inner: CachedParquetFileReaderFactory,
    cache: Arc<FileMetadataCache>,
    page_index: PageIndexPolicy,
    table: Arc<Table>,
    version: Version,
}

impl CheckedReaderFactory {
    /// With a `page_index` that is not skipped it is kept with the footer, so that queries
    /// that filter do not read it again each time.
    pub(super) fn new(
        cache: Arc<FileMetadataCache>,
        page_index: PageIndexPolicy,
        table: Arc<Table>,
        version: Version,
    ) -> Self {
        let store = Arc::clone(table.store());
        Self {
            inner: CachedParquetFileReaderFactory::new(store, Arc::clone(&cache)),
            cache,
            page_index,
            table,
            version,
        }
    }
}

/// Plans show this. Not the store below: stores show what they were opened with.
impl fmt::Debug for CheckedReaderFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedReaderFactory")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl ParquetFileReaderFactory for CheckedReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let rows = match (file.extension::<SomeRows>(), &file.statistics) {
            (Some(rows), _) => Some(rows.of),
            (None, Some(statistics)) => match statistics.num_rows {
                Precision::Exact(rows) => Some(rows),
                _ => None,
            },
            (None, None) => None,
        };
        let subject = format!(
            "data file {} of version {} of '{}'",
            file.object_meta.location,
            self.version,
            self.table.name()
        );
        let expected = Expected {
            table: Arc::clone(&self.table),
            version: self.version,
            key: file.object_meta.location.clone(),
            subject,
            bytes: file.object_meta.size,
            rows,
        };
        let content = file.clone();
        let inner = self
            .inner
            .create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(CheckedReader {
            inner,
            content,
            cache: Arc::clone(&self.cache),
            page_index: self.page_index,
            expected: Arc::new(expected),
        }))
    }
}

#[derive(Debug)]
struct Expected {
    table: Arc<Table>,
    version: Version,
    key: Path,
    /// What messages call the file and its version.
    subject: String,
    bytes: u64,
    rows: Option<usize>,
}

impl Expected {
    async fn explain(&self, error: ParquetError) -> ParquetError {
        // The engine's cache of footers passes an error of the store on as text.
        let of_store = match &error {
            ParquetError::External(source) => source.is::<object_store::Error>(),
            ParquetError::EOF(_) => true,
            error => error.to_string().contains("Object Store error"),
        };
        let met = match of_store {
            true => Unreadable::Store(error.into()),
            false => Unreadable::Content(error.into()),
        };
        let error = self
            .table
            .unreadable(self.version, &self.subject, &self.key, self.bytes, met)
            .await;
        ParquetError::External(Box::new(error))
    }

    fn check(&self, metadata: &ParquetMetaData) -> Result<(), ParquetError> {
        let found = usize::try_from(metadata.file_metadata().num_rows()).ok();
        match self.rows {
            Some(rows) if found != Some(rows) => {
                let message = format!(
                    "{} has {} rows, its manifest says {rows}: it was replaced",
                    self.subject,
                    metadata.file_metadata().num_rows()
                );
                Err(ParquetError::External(Box::new(
                    crate::error::Error::damaged(message),
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The bytes of a range, unless the store gave fewer: the decoder would panic over them.
fn whole(range: &Range<u64>, bytes: Bytes) -> parquet::errors::Result<Bytes> {
    if bytes.len() as u64 == range.end.saturating_sub(range.start) {
        return Ok(bytes);
    }
    Err(ParquetError::EOF(format!(
        "the store gave {} bytes for the range {} to {}",
        bytes.len(),
        range.start,
        range.end
    )))
}

struct CheckedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    content: PartitionedFile,
    cache: Arc<FileMetadataCache>,
    page_index: PageIndexPolicy,
    expected: Arc<Expected>,
}

impl AsyncFileReader for CheckedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        Box::pin(async move {
            let wanted = range.clone();
            let bytes = self.inner.get_bytes(range).await;
            match bytes.and_then(|bytes| whole(&wanted, bytes)) {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.expected.explain(error).await),
            }
        })
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        Box::pin(async move {
            let wanted = ranges.clone();
            let bytes = self.inner.get_byte_ranges(ranges).await;
            let bytes: parquet::errors::Result<Vec<Bytes>> = bytes.and_then(|bytes| {
                let pairs = wanted.iter().zip(bytes);
                pairs.map(|(range, bytes)| whole(range, bytes)).collect()
            });
            match bytes {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.expected.explain(error).await),
            }
        })
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        Box::pin(async move {
            let options = options.cloned().unwrap_or_default();
            let options = match self.page_index {
                PageIndexPolicy::Skip => options,
                wanted => options.with_page_index_policy(wanted),
            };
            // A footer that lies about its length can make the decoder overflow.
            let metadata = AssertUnwindSafe(self.inner.get_metadata(Some(&options)))
                .catch_unwind()
                .await;
            let metadata = metadata
                .unwrap_or_else(|_| Err(ParquetError::General("the footer is not one".to_owned())));
            let metadata = match metadata {
                Ok(metadata) => metadata,
                Err(error) => return Err(self.expected.explain(error).await),
            };
            self.expected.check(&metadata)?;
            self.without_misleading(metadata)
        })
    }
}

impl CheckedReader {
    /// The metadata that the engine may see, which is also what stays in the cache.
    fn without_misleading(
        &self,
        metadata: Arc<ParquetMetaData>,
    ) -> parquet::errors::Result<Arc<ParquetMetaData>> {
        let shown = without_misleading(Arc::clone(&metadata), self.content.extension::<NanFree>())?;
        if !Arc::ptr_eq(&shown, &metadata) {
            let cached = CachedParquetMetaData::new(Arc::clone(&shown));
            let entry =
                CachedFileMetadataEntry::new(self.content.object_meta.clone(), Arc::new(cached));
            self.cache.put(&self.content.object_meta.location, entry);
        }
        Ok(shown)
    }
}
