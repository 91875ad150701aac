//! What is told of a table, as Arrow: the rows that the SQL functions give.
//!
//! Each function gives the columns also for no rows at all.
//!
//! ```
//! let history = atio::batches::history(&[])?;
//! assert_eq!(history.schema().field(0).name(), "version");
//! # Ok::<(), atio::Error>(())
//! ```

use std::sync::Arc;

use atio_core::format::{Totals, Version};
use atio_core::log::{HistoryEntry, RefUpdated};
use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListBuilder, MapBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{Field, Schema};

use super::compact::Compacted;
use super::dropped::{DroppedTable, PurgedTable};
use super::expire::Expired;
use super::history::DataFile;
use super::refs::Tag;
use crate::error::{Error, Result};
use crate::write::CompactedGroup;

pub use super::health_batches::{findings, repaired, stats};

/// The rows of `atio_history`: one for each version, in the order in which they are given.
///
/// ```
/// # use datafusion::prelude::SessionContext;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let sales = directory.path().join("sales");
/// # let location = sales.to_str().unwrap_or_default();
/// # use atio::{AtioTable, CreateOptions, HistoryOptions};
/// # let ctx = SessionContext::new();
/// # let schema = ctx.sql("SELECT 1 AS id").await?.schema().as_arrow().clone();
/// # let table = AtioTable::create(&ctx, location, &schema, CreateOptions::default()).await?;
/// let history = table.history(HistoryOptions::default()).await?;
/// let batch = atio::batches::history(&history)?;
/// ctx.read_batch(batch)?.select_columns(&["version", "operation"])?.show().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn history(entries: &[HistoryEntry]) -> Result<RecordBatch> {
    let counts = |of: fn(&HistoryEntry) -> Option<Totals>, which: fn(Totals) -> u64| {
        numbers(entries, |entry| of(entry).map(which))
    };
    let times = entries.iter().map(|entry| entry.committed_at);
    let txns = entries
        .iter()
        .map(|entry| entry.txn.map(|txn| txn.to_string()));
    let readable = entries.iter().map(|entry| Some(entry.readable));
    batch([
        (
            "version",
            numbers(entries, |entry| Some(entry.version.get())),
            false,
        ),
        ("committed_at", micros(times), true),
        (
            "operation",
            texts(entries, |entry| Some(entry.operation.as_str())),
            false,
        ),
        (
            "rows_added",
            counts(|entry| entry.added, |totals| totals.rows),
            true,
        ),
        (
            "rows_removed",
            counts(|entry| entry.removed, |totals| totals.rows),
            true,
        ),
        (
            "files_added",
            counts(|entry| entry.added, |totals| totals.files),
            true,
        ),
        (
            "files_removed",
            counts(|entry| entry.removed, |totals| totals.files),
            true,
        ),
        (
            "rows",
            counts(|entry| entry.totals, |totals| totals.rows),
            true,
        ),
        (
            "files",
            counts(|entry| entry.totals, |totals| totals.files),
            true,
        ),
        (
            "bytes",
            counts(|entry| entry.totals, |totals| totals.bytes),
            true,
        ),
        (
            "message",
            texts(entries, |entry| entry.message.as_deref()),
            true,
        ),
        ("properties", properties(entries)?, false),
        ("tags", tags_of(entries), true),
        (
            "parent",
            numbers(entries, |entry| entry.parent.map(Version::get)),
            true,
        ),
        (
            "idempotency_key",
            texts(entries, |entry| entry.key.as_deref()),
            true,
        ),
        ("txn", Arc::new(txns.collect::<StringArray>()), true),
        (
            "readable",
            Arc::new(readable.collect::<BooleanArray>()),
            false,
        ),
    ])
}

/// The rows of `atio_files`: one for each data file.
///
/// ```
/// let batch = atio::batches::files(&[])?;
/// assert_eq!(batch.schema().field(0).name(), "path");
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn files(files: &[DataFile]) -> Result<RecordBatch> {
    let manifests = files.iter().map(|file| i64::try_from(file.manifest).ok());
    batch([
        ("path", texts(files, |file| Some(file.path.as_str())), false),
        (
            "format",
            texts(files, |file| Some(file.format.as_str())),
            false,
        ),
        ("bytes", numbers(files, |file| file.bytes), true),
        ("rows", numbers(files, |file| file.rows), true),
        (
            "deleted_rows",
            numbers(files, |file| Some(file.deleted_rows)),
            false,
        ),
        (
            "manifest",
            Arc::new(manifests.collect::<Int64Array>()),
            false,
        ),
    ])
}

/// The rows of `atio_tags`: one for each tag.
///
/// ```
/// let batch = atio::batches::tags(&[])?;
/// assert_eq!(batch.schema().field(0).name(), "tag");
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn tags(tags: &[Tag]) -> Result<RecordBatch> {
    batch([
        ("tag", texts(tags, |tag| Some(tag.name.as_str())), false),
        (
            "version",
            numbers(tags, |tag| Some(tag.version.get())),
            false,
        ),
        (
            "tagged_at",
            micros(tags.iter().map(|tag| tag.tagged_at)),
            true,
        ),
        ("message", texts(tags, |tag| tag.message.as_deref()), true),
    ])
}

/// The rows of `atio_sources`: one for each stream, and each load that has not ended.
///
/// ```
/// let batch = atio::batches::sources([("sensor-7", Some(12))])?;
/// assert_eq!(batch.num_rows(), 1);
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn sources<'a>(
    sources: impl IntoIterator<Item = (&'a str, Option<u64>)>,
) -> Result<RecordBatch> {
    let sources: Vec<_> = sources.into_iter().collect();
    batch([
        ("source", texts(&sources, |(name, _)| Some(*name)), false),
        ("position", numbers(&sources, |(_, at)| *at), true),
    ])
}

/// The row of `atio_tag` and `atio_untag`, which are about a tag, or of `atio_rollback`.
///
/// ```
/// # fn show(tagged: atio::RefUpdated) -> atio::Result<()> {
/// let batch = atio::batches::updated(Some("best"), Some(tagged))?;
/// assert_eq!(batch.num_rows(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn updated(tag: Option<&str>, updated: Option<RefUpdated>) -> Result<RecordBatch> {
    let rows: Vec<_> = updated.into_iter().collect();
    let tag = tag.map(|tag| ("tag", texts(&rows, |_| Some(tag)), false));
    let versions = [
        (
            "version",
            numbers(&rows, |row| Some(row.version.get())),
            false,
        ),
        (
            "committed_as",
            numbers(&rows, |row| row.committed.map(Version::get)),
            true,
        ),
    ];
    batch(tag.into_iter().chain(versions))
}

/// The rows of `expire_snapshots`.
///
/// ```
/// let batch = atio::batches::expired(&atio::Expired::default())?;
/// assert_eq!(batch.schema().field(0).name(), "path");
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn expired(expired: &Expired) -> Result<RecordBatch> {
    let rows = expired.rows.as_slice();
    let deleted = rows.iter().map(|row| Some(row.deleted));
    batch([
        ("path", texts(rows, |row| Some(row.path.as_str())), false),
        ("kind", texts(rows, |row| Some(row.kind)), false),
        ("bytes", numbers(rows, |row| row.bytes), true),
        (
            "reason",
            texts(rows, |row| Some(row.reason.as_str())),
            false,
        ),
        (
            "deleted",
            Arc::new(deleted.collect::<BooleanArray>()),
            false,
        ),
    ])
}

/// The rows of `atio_compact`: one for each group of files.
///
/// ```
/// let batch = atio::batches::compacted(&atio::Compacted::default())?;
/// assert_eq!(batch.schema().field(0).name(), "files_before");
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn compacted(compacted: &Compacted) -> Result<RecordBatch> {
    let groups = compacted.groups.as_slice();
    let outcomes: Vec<_> = groups.iter().map(|of| of.outcome.to_string()).collect();
    let count = |of: fn(&CompactedGroup) -> u64| numbers(groups, |group| Some(of(group)));
    let version = |of: &CompactedGroup| of.version.map(Version::get);
    batch([
        ("files_before", count(|of| of.files_before), false),
        ("files_after", numbers(groups, |of| of.files_after), true),
        ("bytes_before", count(|of| of.bytes_before), false),
        ("bytes_after", numbers(groups, |of| of.bytes_after), true),
        ("rows", count(|of| of.rows), false),
        ("deleted_rows", count(|of| of.deleted_rows), false),
        ("version", numbers(groups, version), true),
        ("outcome", texts(&outcomes, |outcome| Some(outcome)), false),
    ])
}

/// The rows of `atio_dropped`: one for each table, with the catalog that it was dropped from.
///
/// ```
/// # fn show(catalog: &str, tables: &[atio::DroppedTable]) -> atio::Result<()> {
/// let batch = atio::batches::dropped(tables.iter().map(|table| (catalog, table)))?;
/// assert_eq!(batch.num_rows(), tables.len());
/// # Ok(())
/// # }
/// # show("w", &[]).unwrap();
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn dropped<'a>(
    tables: impl IntoIterator<Item = (&'a str, &'a DroppedTable)>,
) -> Result<RecordBatch> {
    let tables: Vec<_> = tables.into_iter().collect();
    let until = tables.iter().map(|(_, table)| Some(table.kept_until));
    let until = ("kept_until", micros(until), false);
    batch(which(&tables).into_iter().chain([until]))
}

/// The row of `atio_undrop`: a table that is back, with the catalog that it is in.
///
/// ```
/// # fn show(back: &atio::DroppedTable) -> atio::Result<()> {
/// let batch = atio::batches::undropped([("w", back)])?;
/// assert_eq!(batch.num_rows(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn undropped<'a>(
    tables: impl IntoIterator<Item = (&'a str, &'a DroppedTable)>,
) -> Result<RecordBatch> {
    let tables: Vec<_> = tables.into_iter().collect();
    batch(which(&tables))
}

/// The rows of `atio_purge`: one for each table, with the catalog that it was dropped from.
///
/// ```
/// # fn show(purged: &[atio::PurgedTable]) -> atio::Result<()> {
/// let batch = atio::batches::purged(purged.iter().map(|purged| ("w", purged)))?;
/// assert_eq!(batch.num_rows(), purged.len());
/// # Ok(())
/// # }
/// # show(&[]).unwrap();
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is more text than a batch can hold.
pub fn purged<'a>(
    tables: impl IntoIterator<Item = (&'a str, &'a PurgedTable)>,
) -> Result<RecordBatch> {
    let purged: Vec<_> = tables.into_iter().collect();
    let tables = purged.iter().map(|(catalog, of)| (*catalog, &of.table));
    let tables: Vec<_> = tables.collect();
    let deleted = purged.iter().map(|(_, of)| Some(of.deleted));
    let deleted: ArrayRef = Arc::new(deleted.collect::<BooleanArray>());
    let more = [
        ("bytes", numbers(&purged, |(_, of)| Some(of.bytes)), false),
        ("deleted", deleted, false),
    ];
    batch(which(&tables).into_iter().chain(more))
}

/// The columns that tell which table it is, called as in `information_schema`.
fn which(tables: &[(&str, &DroppedTable)]) -> [(&'static str, ArrayRef, bool); 5] {
    let of = |text: fn(&DroppedTable) -> &str| texts(tables, move |(_, table)| Some(text(table)));
    let at = tables.iter().map(|(_, table)| Some(table.dropped_at));
    [
        (
            "table_catalog",
            texts(tables, |(catalog, _)| Some(*catalog)),
            false,
        ),
        ("table_schema", of(|table| &table.schema), false),
        ("table_name", of(|table| &table.table), false),
        ("id", of(|table| &table.id), false),
        ("dropped_at", micros(at), false),
    ]
}

/// Columns by name, and whether they may be null.
pub(super) fn batch(
    columns: impl IntoIterator<Item = (&'static str, ArrayRef, bool)>,
) -> Result<RecordBatch> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|(name, array, nullable)| {
            let field = Field::new(name, array.data_type().clone(), nullable);
            (field, array)
        })
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Error::invalid("a result cannot be shown").with_source(error))
}

pub(super) fn numbers<T>(rows: &[T], of: impl Fn(&T) -> Option<u64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<UInt64Array>())
}

pub(super) fn texts<'a, T>(rows: &'a [T], of: impl Fn(&'a T) -> Option<&'a str>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

fn micros(times: impl Iterator<Item = Option<DateTime<Utc>>>) -> ArrayRef {
    let times = times.map(|time| time.map(|time| time.timestamp_micros()));
    let times = times.collect::<TimestampMicrosecondArray>();
    Arc::new(times.with_timezone("UTC"))
}

/// A map for each version, so that `properties['model']` is the value or null.
fn properties(entries: &[HistoryEntry]) -> Result<ArrayRef> {
    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for entry in entries {
        for (name, value) in &entry.properties {
            maps.keys().append_value(name);
            maps.values().append_value(value);
        }
        maps.append(true)
            .map_err(|error| Error::invalid("properties cannot be shown").with_source(error))?;
    }
    Ok(Arc::new(maps.finish()))
}

/// The list of each version; null where it is not known.
fn tags_of(entries: &[HistoryEntry]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for entry in entries {
        for tag in entry.tags.iter().flatten() {
            lists.values().append_value(tag);
        }
        lists.append(entry.tags.is_some());
    }
    Arc::new(lists.finish())
}
