//! `atio_history`: one row for each version.

use std::sync::Arc;

use atio_core::format::Totals;
use atio_core::log::HistoryEntry;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, ListBuilder, MapBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::function_table::{self, batch, utc};
use crate::error::{Error, Result as AtioResult};
use crate::table::AtioTable;

/// The provider of the history of `table`.
pub(super) fn provider(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let table = Arc::clone(table.table());
    let count = |name: &str| Field::new(name, DataType::UInt64, true);
    let none = properties(&[])?.data_type().clone();
    let schema = Arc::new(Schema::new(vec![
        Field::new("version", DataType::UInt64, false),
        Field::new("committed_at", utc(), true),
        Field::new("operation", DataType::Utf8, false),
        count("rows_added"),
        count("rows_removed"),
        count("files_added"),
        count("files_removed"),
        count("rows"),
        count("files"),
        count("bytes"),
        Field::new("message", DataType::Utf8, true),
        Field::new("properties", none, false),
        Field::new("tags", tags(&[]).data_type().clone(), true),
        count("parent"),
        Field::new("idempotency_key", DataType::Utf8, true),
        Field::new("txn", DataType::Utf8, true),
        Field::new("readable", DataType::Boolean, false),
    ]));
    let rows_schema = Arc::clone(&schema);
    function_table::provider("atio_history", schema, move |_| {
        let (table, schema) = (Arc::clone(&table), Arc::clone(&rows_schema));
        Box::pin(async move { rows(schema, &table.history().await?) })
    })
}

fn rows(schema: SchemaRef, entries: &[HistoryEntry]) -> AtioResult<RecordBatch> {
    let counts = |of: fn(&HistoryEntry) -> Option<Totals>, which: fn(Totals) -> u64| {
        numbers(entries, |entry| of(entry).map(which))
    };
    let times = entries
        .iter()
        .map(|entry| entry.committed_at_us)
        .collect::<TimestampMicrosecondArray>();
    let txns = entries
        .iter()
        .map(|entry| entry.txn.map(|txn| txn.to_string()));
    let readable = entries.iter().map(|entry| Some(entry.readable));
    batch(
        schema,
        vec![
            numbers(entries, |entry| Some(entry.version.get())),
            Arc::new(times.with_timezone("UTC")),
            texts(entries, |entry| Some(entry.operation.as_str())),
            counts(|entry| entry.added, |totals| totals.rows),
            counts(|entry| entry.removed, |totals| totals.rows),
            counts(|entry| entry.added, |totals| totals.files),
            counts(|entry| entry.removed, |totals| totals.files),
            counts(|entry| entry.totals, |totals| totals.rows),
            counts(|entry| entry.totals, |totals| totals.files),
            counts(|entry| entry.totals, |totals| totals.bytes),
            texts(entries, |entry| entry.message.as_deref()),
            properties(entries)?,
            tags(entries),
            numbers(entries, |entry| entry.parent.map(|parent| parent.get())),
            texts(entries, |entry| entry.key.as_deref()),
            Arc::new(txns.collect::<StringArray>()),
            Arc::new(readable.collect::<BooleanArray>()),
        ],
    )
}

fn numbers(entries: &[HistoryEntry], of: impl Fn(&HistoryEntry) -> Option<u64>) -> ArrayRef {
    Arc::new(entries.iter().map(of).collect::<UInt64Array>())
}

fn texts<'a>(
    entries: &'a [HistoryEntry],
    of: impl Fn(&'a HistoryEntry) -> Option<&'a str>,
) -> ArrayRef {
    Arc::new(entries.iter().map(of).collect::<StringArray>())
}

/// A map for each version, so that `properties['model']` is the value or null.
fn properties(entries: &[HistoryEntry]) -> AtioResult<ArrayRef> {
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
fn tags(entries: &[HistoryEntry]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for entry in entries {
        for tag in entry.tags.iter().flatten() {
            lists.values().append_value(tag);
        }
        lists.append(entry.tags.is_some());
    }
    Arc::new(lists.finish())
}
