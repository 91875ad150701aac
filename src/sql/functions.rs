//! The table functions: what they take and what they give.

use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::arguments::Arguments;
use super::policy::Access;
use super::produced;
use super::wait::wait;
use crate::error::{Error, Result as AtioResult};
use crate::format::{Totals, Version};
use crate::log::{Expiry, ExpiryRow, HistoryEntry, Table};
use crate::table::AtioTable;

/// Seven days.
const KEEP_FOR_US: i64 = 7 * 86_400_000_000;
/// One day.
const ORPHAN_AGE_US: i64 = 86_400_000_000;

/// The functions that `register` adds to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Table,
    History,
    Files,
    Expire,
}

impl Function {
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Table, Self::History, Self::Files, Self::Expire]
            .into_iter()
            .find(|function| function.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Table => "atio_table",
            Self::History => "atio_history",
            Self::Files => "atio_files",
            Self::Expire => "expire_snapshots",
        }
    }

    /// The parameters, in the order of positional arguments.
    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Table => &["table", "version", "as_of"],
            Self::History => &["table"],
            Self::Files => &["table", "version"],
            Self::Expire => &["table", "keep_for", "retain_last", "dry_run", "orphan_age"],
        }
    }

    /// True if the call is about the newest version, which must then be whole; all others
    /// also work where only an older version is.
    pub(super) fn needs_newest(self, arguments: &Arguments) -> bool {
        self == Self::Table && !arguments.has("version") && !arguments.has("as_of")
    }

    /// What a call does to the table, once its rows are asked for.
    pub(super) fn access(self, arguments: &Arguments) -> AtioResult<Access> {
        match self == Self::Expire && !arguments.flag("dry_run", true)? {
            true => Ok(Access::Write),
            false => Ok(Access::Read),
        }
    }

    /// The provider of the rows that a call gives. Changes nothing.
    pub(super) fn provider(
        self,
        table: &AtioTable,
        arguments: &Arguments,
    ) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::Table => Ok(Arc::new(selected(table, arguments)?)),
            Self::History => history(table),
            Self::Files => files(table, arguments.version()?),
            Self::Expire => expire(table, arguments),
        }
    }
}

/// The version of `table` that a call asks for.
fn selected(table: &AtioTable, arguments: &Arguments) -> AtioResult<AtioTable> {
    match (arguments.version()?, arguments.as_of()?) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "atio_table: give version or as_of, not both",
        )),
        (Some(version), None) => at_version(table, version),
        (None, Some(at_us)) => at_time(table, at_us),
        (None, None) => Ok(table.clone()),
    }
}

/// One version of `table`, read only.
pub(super) fn at_version(table: &AtioTable, version: Version) -> AtioResult<AtioTable> {
    let handle = Arc::clone(table.table());
    let snapshot = wait(async move { handle.version(version).await })?;
    Ok(AtioTable::version(
        Arc::clone(table.table()),
        table.store_url().clone(),
        snapshot,
    ))
}

/// The version of `table` that was the newest at a time, read only.
pub(super) fn at_time(table: &AtioTable, at_us: i64) -> AtioResult<AtioTable> {
    let handle = Arc::clone(table.table());
    let snapshot = wait(async move { handle.as_of(at_us).await })?;
    Ok(AtioTable::version(
        Arc::clone(table.table()),
        table.store_url().clone(),
        snapshot,
    ))
}

fn history(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let table = Arc::clone(table.table());
    let count = |name: &str| Field::new(name, DataType::UInt64, true);
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
        Field::new("txn", DataType::Utf8, true),
        Field::new("readable", DataType::Boolean, false),
    ]));
    let rows_schema = Arc::clone(&schema);
    produced::provider("atio_history", schema, move || {
        let (table, schema) = (Arc::clone(&table), Arc::clone(&rows_schema));
        Box::pin(async move { history_rows(schema, &table.history().await?) })
    })
}

fn history_rows(schema: SchemaRef, entries: &[HistoryEntry]) -> AtioResult<RecordBatch> {
    let counts = |of: fn(&HistoryEntry) -> Option<Totals>, which: fn(Totals) -> u64| -> ArrayRef {
        Arc::new(
            entries
                .iter()
                .map(|entry| of(entry).map(which))
                .collect::<UInt64Array>(),
        )
    };
    let times = entries
        .iter()
        .map(|entry| entry.committed_at_us)
        .collect::<TimestampMicrosecondArray>();
    let txns = entries
        .iter()
        .map(|entry| entry.txn.map(|txn| txn.to_string()));
    batch(
        schema,
        vec![
            Arc::new(
                entries
                    .iter()
                    .map(|entry| Some(entry.version.get()))
                    .collect::<UInt64Array>(),
            ),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(
                entries
                    .iter()
                    .map(|entry| Some(entry.operation.as_str()))
                    .collect::<StringArray>(),
            ),
            counts(|entry| entry.added, |totals| totals.rows),
            counts(|entry| entry.removed, |totals| totals.rows),
            counts(|entry| entry.added, |totals| totals.files),
            counts(|entry| entry.removed, |totals| totals.files),
            counts(|entry| entry.totals, |totals| totals.rows),
            counts(|entry| entry.totals, |totals| totals.files),
            counts(|entry| entry.totals, |totals| totals.bytes),
            Arc::new(
                entries
                    .iter()
                    .map(|entry| entry.message.as_deref())
                    .collect::<StringArray>(),
            ),
            Arc::new(txns.collect::<StringArray>()),
            Arc::new(
                entries
                    .iter()
                    .map(|entry| Some(entry.readable))
                    .collect::<BooleanArray>(),
            ),
        ],
    )
}

fn files(table: &AtioTable, version: Option<Version>) -> Result<Arc<dyn TableProvider>> {
    let table = match version {
        // Asked for by number: say now if there is no such version.
        Some(version) => at_version(table, version)?,
        None => table.clone(),
    };
    let schema = Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("format", DataType::Utf8, false),
        Field::new("bytes", DataType::UInt64, true),
        Field::new("rows", DataType::UInt64, true),
        Field::new("manifest", DataType::Int64, false),
    ]));
    let rows_schema = Arc::clone(&schema);
    produced::provider("atio_files", schema, move || {
        let (table, schema) = (table.clone(), Arc::clone(&rows_schema));
        Box::pin(async move { file_rows(schema, &table).await })
    })
}

async fn file_rows(schema: SchemaRef, table: &AtioTable) -> AtioResult<RecordBatch> {
    let handle: &Table = table.table();
    let snapshot = match table.fixed() {
        Some(snapshot) => Arc::clone(snapshot),
        None => handle.newest().await?,
    };
    let manifests = handle.manifests(&snapshot).await?;
    let listed: Vec<_> = manifests
        .iter()
        .zip(0_i64..)
        .flat_map(|(manifest, at)| manifest.files.iter().map(move |file| (at, file)))
        .collect();
    batch(
        schema,
        vec![
            Arc::new(
                listed
                    .iter()
                    .map(|(_, file)| Some(file.path.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                listed
                    .iter()
                    .map(|(_, file)| Some(file.format.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                listed
                    .iter()
                    .map(|(_, file)| file.size)
                    .collect::<UInt64Array>(),
            ),
            Arc::new(
                listed
                    .iter()
                    .map(|(_, file)| file.rows)
                    .collect::<UInt64Array>(),
            ),
            Arc::new(
                listed
                    .iter()
                    .map(|(at, _)| Some(*at))
                    .collect::<Int64Array>(),
            ),
        ],
    )
}

fn expire(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let now = Utc::now();
    let keep_for_us = arguments.duration("keep_for", KEEP_FOR_US, now)?;
    let orphan_age_us = arguments.duration("orphan_age", ORPHAN_AGE_US, now)?;
    let retain_last = arguments.count("retain_last", 1)?;
    let dry_run = arguments.flag("dry_run", true)?;
    if let Some(snapshot) = table.fixed() {
        return Err(Error::invalid(format!(
            "expire_snapshots: version {} is not a whole table",
            snapshot.version
        ))
        .into());
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("bytes", DataType::UInt64, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("deleted", DataType::Boolean, false),
    ]));
    let rows_schema = Arc::clone(&schema);
    let table = Arc::clone(table.table());
    produced::provider("expire_snapshots", schema, move || {
        let (table, schema) = (Arc::clone(&table), Arc::clone(&rows_schema));
        Box::pin(async move {
            let now_us = Utc::now().timestamp_micros();
            let expiry = Expiry {
                keep_for_us,
                retain_last,
                orphan_age_us,
                dry_run,
                now_us,
            };
            // To its end, even if the reader of the rows stops reading.
            let expired = tokio::spawn(async move { table.expire(&expiry).await }).await;
            let expired = expired.map_err(|error| {
                Error::invalid("the expiry was cut off; run it again").with_source(error)
            })?;
            expiry_rows(schema, &expired?)
        })
    })
}

fn expiry_rows(schema: SchemaRef, rows: &[ExpiryRow]) -> AtioResult<RecordBatch> {
    batch(
        schema,
        vec![
            Arc::new(
                rows.iter()
                    .map(|row| Some(row.path.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                rows.iter()
                    .map(|row| Some(row.kind))
                    .collect::<StringArray>(),
            ),
            Arc::new(rows.iter().map(|row| row.bytes).collect::<UInt64Array>()),
            Arc::new(
                rows.iter()
                    .map(|row| Some(row.reason.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                rows.iter()
                    .map(|row| Some(row.deleted))
                    .collect::<BooleanArray>(),
            ),
        ],
    )
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> AtioResult<RecordBatch> {
    RecordBatch::try_new(schema, columns)
        .map_err(|error| Error::invalid("a result cannot be shown").with_source(error))
}
