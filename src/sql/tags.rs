//! `atio_tags`, and the functions that make a version without rows of its own: `atio_tag`,
//! `atio_untag`, `atio_rollback`.

use std::sync::Arc;

use atio_core::log::{RefUpdate, Target};
use datafusion::arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::arguments::Arguments;
use super::function::{Function, check_whole};
use super::function_table::{self, batch, utc};
use crate::error::{Error, Result as AtioResult};
use crate::settings::CommitSettings;
use crate::table::AtioTable;

/// The tags of a table.
pub(super) fn list(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let table = Arc::clone(table.table());
    let schema = Arc::new(Schema::new(vec![
        Field::new("tag", DataType::Utf8, false),
        Field::new("version", DataType::UInt64, false),
        Field::new("tagged_at", utc(), true),
        Field::new("message", DataType::Utf8, true),
    ]));
    let rows_schema = Arc::clone(&schema);
    function_table::provider(Function::Tags.name(), schema, move |_| {
        let (table, schema) = (Arc::clone(&table), Arc::clone(&rows_schema));
        Box::pin(async move {
            let tags = table.tags().await?;
            let versions = tags.values().map(|tag| Some(tag.version.get()));
            let times = tags.values().map(|tag| tag.at_us);
            let times = times.collect::<TimestampMicrosecondArray>();
            let messages = tags.values().map(|tag| tag.message.as_deref());
            batch(
                schema,
                vec![
                    Arc::new(tags.keys().map(Some).collect::<StringArray>()),
                    Arc::new(versions.collect::<UInt64Array>()),
                    Arc::new(times.with_timezone("UTC")),
                    Arc::new(messages.collect::<StringArray>()),
                ],
            )
        })
    })
}

/// Gives a version a name.
pub(super) fn tag(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let name = needed(Function::Tag, arguments, "tag")?;
    let update = RefUpdate::Tag {
        name: name.clone(),
        version: arguments.version()?,
        message: arguments.text("message")?.map(str::to_owned),
        replace: arguments.flag("replace", false)?,
    };
    update_refs(Function::Tag, table, update, Some(name))
}

/// Takes a name back.
pub(super) fn untag(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let name = needed(Function::Untag, arguments, "tag")?;
    let update = RefUpdate::Untag { name: name.clone() };
    update_refs(Function::Untag, table, update, Some(name))
}

/// Makes the state of an older version the newest.
pub(super) fn roll_back(
    table: &AtioTable,
    arguments: &Arguments,
) -> Result<Arc<dyn TableProvider>> {
    let to = match (arguments.version()?, arguments.text("tag")?) {
        (Some(version), None) => Target::Version(version),
        (None, Some(tag)) => Target::Tag(tag.to_owned()),
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "atio_rollback takes a version or a tag, not both: leave one of them out",
            )
            .into());
        }
        (None, None) => {
            return Err(Error::invalid(
                "atio_rollback needs the version to go back to: give version or tag, as in atio_rollback('sales', version => 2)",
            )
            .into());
        }
    };
    update_refs(Function::Rollback, table, RefUpdate::Rollback { to }, None)
}

fn needed(function: Function, arguments: &Arguments, name: &str) -> AtioResult<String> {
    let missing = || {
        Error::invalid(format!(
            "{} needs a tag, as in {}('sales', tag => 'best')",
            function.name(),
            function.name()
        ))
    };
    arguments.text(name)?.map(str::to_owned).ok_or_else(missing)
}

/// One row: what was updated, and the version that says so.
fn update_refs(
    function: Function,
    table: &AtioTable,
    update: RefUpdate,
    tag: Option<String>,
) -> Result<Arc<dyn TableProvider>> {
    check_whole(function, table)?;
    let mut fields = vec![
        Field::new("version", DataType::UInt64, false),
        Field::new("committed_as", DataType::UInt64, true),
    ];
    if tag.is_some() {
        fields.insert(0, Field::new("tag", DataType::Utf8, false));
    }
    let schema = Arc::new(Schema::new(fields));
    let rows_schema = Arc::clone(&schema);
    let table = Arc::clone(table.table());
    function_table::provider(function.name(), schema, move |context| {
        let (table, schema) = (Arc::clone(&table), Arc::clone(&rows_schema));
        let (update, tag) = (update.clone(), tag.clone());
        Box::pin(async move {
            let options = CommitSettings::take(context.session_config());
            let updated = table.update_refs(update, options).await?;
            let committed = updated.committed.map(|version| version.get());
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from(vec![updated.version.get()])),
                Arc::new(UInt64Array::from(vec![committed])),
            ];
            if let Some(tag) = tag {
                columns.insert(0, Arc::new(StringArray::from(vec![tag])));
            }
            batch(schema, columns)
        })
    })
}
