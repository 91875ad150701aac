//! The table functions: the rows that they give.

use std::sync::Arc;

use atio_core::format::Version;
use atio_core::log::{Expiry, ExpiryRow, Table};
use atio_core::progress::Listener;
use chrono::Utc;
use datafusion::arrow::array::{BooleanArray, Int64Array, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::arguments::Arguments;
use super::function::{Function, check_whole};
use super::function_table::{self, batch};
use super::wait::wait;
use super::{history, sources, tags};
use crate::error::{Error, Result as AtioResult};
use crate::table::AtioTable;

/// Seven days.
const KEEP_FOR_US: i64 = 7 * 86_400_000_000;
/// One day.
const ORPHAN_AGE_US: i64 = 86_400_000_000;

impl Function {
    /// The provider of the rows that a call gives. Changes nothing.
    pub(super) fn provider(
        self,
        table: &AtioTable,
        arguments: &Arguments,
    ) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::Table => Ok(Arc::new(selected(table, arguments)?)),
            Self::History => history::provider(table),
            Self::Files => files(table, arguments.version()?),
            Self::Expire => expire(table, arguments),
            Self::Tags => tags::list(table),
            Self::Sources => sources::list(table),
            Self::Tag => tags::tag(table, arguments),
            Self::Untag => tags::untag(table, arguments),
            Self::Rollback => tags::roll_back(table, arguments),
        }
    }
}

/// The version of `table` that a call asks for.
fn selected(table: &AtioTable, arguments: &Arguments) -> AtioResult<AtioTable> {
    match (
        arguments.version()?,
        arguments.as_of()?,
        arguments.text("tag")?,
    ) {
        (None, None, None) => Ok(table.clone()),
        (Some(version), None, None) => at_version(table, version),
        (None, Some(at_us), None) => at_time(table, at_us),
        (None, None, Some(tag)) => at_tag(table, tag),
        _ => Err(Error::invalid(
            "atio_table: give one of version, as_of and tag",
        )),
    }
}

/// The version of `table` that is tagged so, read only.
fn at_tag(table: &AtioTable, tag: &str) -> AtioResult<AtioTable> {
    let (handle, tag) = (Arc::clone(table.table()), tag.to_owned());
    let snapshot = wait(async move { handle.tagged(&tag).await })?;
    Ok(AtioTable::version(
        Arc::clone(table.table()),
        table.store_url().clone(),
        snapshot,
    ))
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
    function_table::provider("atio_files", schema, move |_| {
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
    check_whole(Function::Expire, table)?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("bytes", DataType::UInt64, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("deleted", DataType::Boolean, false),
    ]));
    let rows_schema = Arc::clone(&schema);
    let table = Arc::clone(table.table());
    function_table::provider("expire_snapshots", schema, move |context| {
        let listener = context.session_config().get_extension::<Listener>();
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
            let expired = tokio::spawn(async move { table.expire(&expiry, listener).await }).await;
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
