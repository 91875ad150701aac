//! What a scan knows of a data file before it is opened.

use std::collections::HashMap;
use std::sync::Arc;

use atio_core::format::{FileEntry, Manifest};
use atio_core::log::{Snapshot, Table};
use chrono::DateTime;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::bounds::NanFree;
use super::change_columns::ChangeOfFile;
use super::dynamic::holds_float;
use super::prune::Listed;
use super::some_rows::{Marked, SomeRows};
use super::statistics;

/// The number of each file of a version: its place in the list of its manifests, from 0.
pub(super) struct Numbers<'a>(HashMap<&'a str, u32>);

impl<'a> Numbers<'a> {
    pub(super) fn of(listed: &[Listed<'a>]) -> Self {
        let paths = listed.iter().map(|(_, file)| file.path.as_str());
        Self(paths.zip(0..).collect())
    }

    pub(super) fn of_file(&self, file: &FileEntry) -> u32 {
        self.0[file.path.as_str()]
    }
}

/// One data file of a version.
#[derive(Debug)]
pub(super) struct ScanFile {
    /// Where it is on the store of the table.
    key: Path,
    /// In bytes. A file of another size is not opened.
    size: u64,
    /// By columns of the version, of the rows that are not marked as deleted. A file of which all are
    /// read is not opened unless it has as many rows as this says.
    pub(super) statistics: Arc<Statistics>,
    /// Where the version has floating-point columns.
    nan_free: Option<NanFree>,
    /// The schema that is embedded in the file, where that is known.
    schema: Option<SchemaRef>,
    /// Its number, where its rows say where they lie.
    number: Option<u32>,
    /// What its rows say of themselves in a scan of changes.
    pub(super) change: Option<ChangeOfFile>,
    /// How many rows it has, those that are marked as deleted too; None where that is not known.
    stored: Option<usize>,
    marked: Option<Marked>,
    /// Of each row, whether it is asked for; all are where it is None.
    pub(super) wanted: Option<BooleanBuffer>,
}

impl ScanFile {
    pub(super) fn key(&self) -> &Path {
        &self.key
    }
}

/// The files of `snapshot` that are in `listed`, in that order. Reads their deletion vectors.
pub(super) async fn scan_files(
    table: &Table,
    snapshot: &Snapshot,
    listed: &[Listed<'_>],
    numbers: Option<&Numbers<'_>>,
) -> Result<Vec<ScanFile>> {
    let entries: Vec<_> = listed.iter().map(|(_, file)| *file).collect();
    let vectors = table.vectors(snapshot, &entries).await?;
    let file_schema = match snapshot.schema.has_legacy_names() {
        // Then files without ids are mapped by other names than those of the table.
        true => snapshot.schema.to_arrow_with_ids()?,
        false => Arc::clone(&snapshot.arrow),
    };
    let has_floats = snapshot
        .arrow
        .fields()
        .iter()
        .any(|field| holds_float(field.data_type()));
    let mut files = Vec::with_capacity(listed.len());
    let mut last: Option<(&Manifest, Vec<Option<usize>>)> = None;
    for ((manifest, file), marked) in listed.iter().zip(vectors) {
        // The files of one manifest follow each other.
        let positions = match last.take() {
            Some((of, positions)) if std::ptr::eq(of, *manifest) => positions,
            _ => statistics::positions(manifest, &snapshot.schema),
        };
        let size = file.bytes()?;
        let mut statistics = statistics::of_file(file, &positions, &snapshot.arrow);
        let marked = marked.map(|rows| {
            let bounds = Arc::new(statistics.clone());
            statistics = statistics::with_inexact_bounds(std::mem::take(&mut statistics));
            Marked { rows, bounds }
        });
        // Known, so the one that is embedded in the file need not be decoded; and where it is
        // that of the scan, the engine need not adapt any column.
        let is_known = manifest.schema == snapshot.schema.id && file.is_of_atio();
        files.push(ScanFile {
            key: table.data_key(&file.path)?,
            size,
            statistics: Arc::new(statistics),
            nan_free: has_floats.then(|| nan_free(snapshot, file, &positions)),
            schema: is_known.then(|| Arc::clone(&file_schema)),
            number: numbers.map(|numbers| numbers.of_file(file)),
            change: None,
            stored: file.rows.and_then(|rows| usize::try_from(rows).ok()),
            marked,
            wanted: None,
        });
        last = Some((manifest, positions));
    }
    Ok(files)
}

/// The ids of the floating-point columns of a file that are known to hold no NaN.
fn nan_free(snapshot: &Snapshot, file: &FileEntry, positions: &[Option<usize>]) -> NanFree {
    if !file.is_of_atio() {
        return NanFree::default();
    }
    let fields = snapshot.schema.fields.iter().zip(snapshot.arrow.fields());
    let free = fields.zip(positions).filter(|((_, arrow), at)| {
        arrow.data_type().is_floating()
            && at
                .and_then(|at| file.stats.get(at))
                .is_some_and(|stats| !stats.is_empty() && !stats.nan)
    });
    NanFree(free.map(|((field, _), _)| field.id).collect())
}

impl From<ScanFile> for PartitionedFile {
    fn from(file: ScanFile) -> Self {
        // Names are never reused, so any fixed time marks the content for the footer cache.
        let meta = ObjectMeta {
            location: file.key,
            last_modified: DateTime::UNIX_EPOCH,
            size: file.size,
            e_tag: None,
            version: None,
        };
        let mut part = Self::new_from_meta(meta).with_statistics(file.statistics);
        if let Some(nan_free) = file.nan_free {
            part = part.with_extension(nan_free);
        }
        if let Some(schema) = file.schema {
            part = part.with_arrow_schema(schema);
        }
        if let Some(number) = file.number {
            part.partition_values = vec![ScalarValue::UInt32(Some(number))];
        }
        if let Some(change) = file.change {
            part.partition_values = change.values();
            part = part.with_extension(change);
        }
        if file.marked.is_some() || file.wanted.is_some() {
            part = part.with_extension(SomeRows {
                of: file.stored.unwrap_or_default(),
                marked: file.marked,
                wanted: file.wanted,
            });
        }
        part
    }
}
