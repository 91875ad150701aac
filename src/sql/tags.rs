//! `atio_tags`, and the functions that make a version without rows of its own: `atio_tag`,
//! `atio_untag`, `atio_rollback`.

use std::sync::Arc;

use atio_core::log::{CommitOptions, RefUpdated};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::arguments::Arguments;
use super::function::Function;
use crate::error::{Error, Result as AtioResult};
use crate::function_table::{Call, provider};
use crate::settings::CommitSettings;
use crate::table::{AtioTable, TagOptions, VersionRef, batches};

/// The tags of a table.
pub(super) fn list(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let (table, schema) = (table.clone(), batches::tags(&[])?.schema());
    provider(Call::reading(Function::Tags.name()), schema, move |_| {
        let table = table.clone();
        Box::pin(async move { batches::tags(&table.tags().await?) })
    })
}

/// Gives a version a name.
pub(super) fn tag(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let name = needed(Function::Tag, arguments, "tag")?;
    let options = TagOptions {
        version: arguments.version()?.map_or(VersionRef::Newest, Into::into),
        message: arguments.text("message")?.map(str::to_owned),
        replace: arguments.flag("replace", false)?,
        ..TagOptions::default()
    };
    let tag = Some(name.clone());
    update_refs(Function::Tag, table, tag, move |table, commit| {
        let (name, mut options) = (name.clone(), options.clone());
        options.commit = commit;
        async move { table.tag(&name, options).await }.boxed()
    })
}

/// Takes a name back.
pub(super) fn untag(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let name = needed(Function::Untag, arguments, "tag")?;
    let tag = Some(name.clone());
    update_refs(Function::Untag, table, tag, move |table, commit| {
        let name = name.clone();
        async move { table.untag(&name, commit).await }.boxed()
    })
}

/// Makes the state of an older version the newest.
pub(super) fn roll_back(
    table: &AtioTable,
    arguments: &Arguments,
) -> Result<Arc<dyn TableProvider>> {
    let to = match (arguments.version()?, arguments.text("tag")?) {
        (Some(version), None) => VersionRef::Version(version),
        (None, Some(tag)) => VersionRef::from(tag),
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
    update_refs(Function::Rollback, table, None, move |table, commit| {
        let to = to.clone();
        async move { table.rollback(to, commit).await }.boxed()
    })
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
    tag: Option<String>,
    update: impl Fn(AtioTable, CommitOptions) -> BoxFuture<'static, AtioResult<RefUpdated>>
    + Send
    + Sync
    + 'static,
) -> Result<Arc<dyn TableProvider>> {
    table.check_whole(function.name())?;
    let schema = batches::updated(tag.as_deref(), None)?.schema();
    let (table, update) = (table.clone(), Arc::new(update));
    provider(Call::writing(function.name()), schema, move |context| {
        let (table, update, tag) = (table.clone(), Arc::clone(&update), tag.clone());
        Box::pin(async move {
            let commit = CommitSettings::take(context.session_config())?;
            let updated = update(table, commit).await?;
            batches::updated(tag.as_deref(), Some(updated))
        })
    })
}
