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
use super::change_columns::ChangeOfFile;
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
        let change = file.extension::<ChangeOfFile>();
        let version = change.map_or(self.version, |change| change.listed_by);
        let subject = format!(
            "data file {} of version {} of '{}'",
            file.object_meta.location,
            version,
            self.table.name()
        );
        let expected = Expected {
            table: Arc::clone(&self.table),
            version,
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
        let Some(rows) = self.rows else {
            return Ok(());
        };
        let subject = &self.subject;
        let found = metadata.file_metadata().num_rows();
        let message = match in_row_groups(metadata) {
            _ if usize::try_from(found) != Ok(rows) => {
                format!("{subject} has {found} rows, its manifest says {rows}: it was replaced")
            }
            in_groups if in_groups != Some(rows) => {
                format!("{subject} has row groups that do not have its {rows} rows: it is damaged")
            }
            _ => return Ok(()),
        };
        let error = crate::error::Error::damaged(message);
        Err(ParquetError::External(Box::new(error)))
    }
}

/// How many rows the row groups have together, by which the engine counts where a row lies; None where
/// they are no numbers of rows.
fn in_row_groups(metadata: &ParquetMetaData) -> Option<usize> {
    let mut groups = metadata.row_groups().iter();
    groups.try_fold(0_usize, |sum, group| {
        sum.checked_add(usize::try_from(group.num_rows()).ok()?)
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use datafusion::arrow::record_batch::RecordBatch;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::ParquetMetaDataReader;

    #[test]
    fn row_groups_have_so_many_rows_together_or_none_that_are_known() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        for _ in 0..2 {
            writer.write(&batch).unwrap();
            writer.flush().unwrap();
        }
        let bytes = Bytes::from(writer.into_inner().unwrap());
        let written = ParquetMetaDataReader::new().parse_and_finish(&bytes);
        let written = written.unwrap();
        assert_eq!(in_row_groups(&written), Some(20));
        for (rows, expected) in [(9, Some(19)), (0, Some(10)), (-10, None), (i64::MIN, None)] {
            let mut builder = written.clone().into_builder();
            for (group, rows) in builder.take_row_groups().into_iter().zip([rows, 10]) {
                let group = group.into_builder().set_num_rows(rows).build().unwrap();
                builder = builder.add_row_group(group);
            }
            assert_eq!(in_row_groups(&builder.build()), expected, "{rows}");
        }
    }
}
