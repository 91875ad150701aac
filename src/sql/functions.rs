//! The table functions: the rows that they give.

use std::sync::Arc;
use std::time::Duration;

use atio_core::progress::Listener;
use chrono::Utc;
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::execution::SessionState;

use super::arguments::Arguments;
use super::as_of::{at, time};
use super::compact::compact;
use super::function::Function;
use super::health;
use super::list::parse_list;
use super::tags;
use super::wait::wait;
use crate::error::{Error, Result as AtioResult};
use crate::function_table::{Call, provider};
use crate::table::{
    AtioTable, ChangesOptions, ChangesTable, ExpireOptions, Expired, HistoryOptions, VersionRef,
    batches,
};

impl Function {
    /// The provider of the rows that a call gives. Changes nothing.
    pub(super) fn provider(
        self,
        table: &AtioTable,
        arguments: &Arguments,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::Table => Ok(Arc::new(selected(table, arguments)?)),
            Self::Changes => Ok(Arc::new(changes(table, arguments, state)?)),
            Self::History => history(table),
            Self::Files => files(table, arguments),
            Self::Expire => expire(table, arguments),
            Self::Compact => compact(table, arguments, state),
            Self::Tags => tags::list(table),
            Self::Sources => sources(table),
            Self::Stats => health::stats(table),
            Self::Check => health::check(table, arguments),
            Self::Repair => health::repair(table, arguments),
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
        (Some(version), None, None) => at(table, version),
        (None, Some(at_us), None) => at(table, time(at_us)?),
        (None, None, Some(tag)) => at(table, tag),
        _ => Err(Error::invalid(
            "atio_table: give one of version, as_of and tag",
        )),
    }
}

/// The changes of `table` that a call asks for.
fn changes(
    table: &AtioTable,
    arguments: &Arguments,
    state: &SessionState,
) -> AtioResult<ChangesTable> {
    let from = match (arguments.version_or_tag("from")?, arguments.time("since")?) {
        (None, None) => None,
        (Some(from), None) => Some(from),
        (None, Some(at_us)) => Some(time(at_us)?),
        (Some(_), Some(_)) => {
            return Err(Error::invalid("atio_changes: give one of from and since"));
        }
    };
    let key = arguments.text("key")?.map(|key| names(state, key));
    let options = ChangesOptions {
        from,
        to: arguments.version_or_tag("to")?.unwrap_or_default(),
        key: key.transpose()?.unwrap_or_default(),
        net: arguments.flag("net", false)?,
    };
    let table = table.clone();
    wait(async move { table.changes_table(options).await })
}

/// The names in a list such as `id, "Day"`, as SQL reads them.
fn names(state: &SessionState, list: &str) -> AtioResult<Vec<String>> {
    let names = parse_list(state, list, |parser| parser.parse_identifier()).map_err(|error| {
        Error::invalid(format!(
            "atio_changes: key must be the names of columns with commas between them, such as 'id, day', not '{}'",
            list.escape_debug()
        ))
        .with_source(error)
    })?;
    let lower = state.config_options().sql_parser.enable_ident_normalization;
    let names = names.into_iter().map(|name| match name.quote_style {
        None if lower => name.value.to_ascii_lowercase(),
        _ => name.value,
    });
    Ok(names.collect())
}

fn history(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let (table, schema) = (table.clone(), batches::history(&[])?.schema());
    provider(Call::reading(Function::History.name()), schema, move |_| {
        let table = table.clone();
        Box::pin(async move {
            let mut entries = table.history(HistoryOptions::default()).await?;
            entries.reverse();
            batches::history(&entries)
        })
    })
}

fn files(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let table = match arguments.version()? {
        // Asked for by number: say now if there is no such version.
        Some(version) => at(table, version)?,
        None => table.clone(),
    };
    let schema = batches::files(&[])?.schema();
    provider(Call::reading(Function::Files.name()), schema, move |_| {
        let table = table.clone();
        Box::pin(async move { batches::files(&table.files(VersionRef::Newest).await?) })
    })
}

/// The sources that the newest version knows: streams, and loads that have not ended. A load that
/// an overwrite ended has no position.
fn sources(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let (table, schema) = (table.clone(), batches::sources([])?.schema());
    provider(Call::reading(Function::Sources.name()), schema, move |_| {
        let table = table.clone();
        Box::pin(async move {
            let sources = table.sources().await?;
            batches::sources(sources.iter().map(|(name, at)| (name.as_str(), *at)))
        })
    })
}

fn expire(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let now = Utc::now();
    let defaults = ExpireOptions::default();
    let duration = |name, default: Duration| -> AtioResult<Duration> {
        let default_us = i64::try_from(default.as_micros()).unwrap_or(i64::MAX);
        let given = arguments.duration(name, default_us, now)?;
        Ok(Duration::from_micros(given.unsigned_abs()))
    };
    let options = ExpireOptions {
        keep_for: duration("keep_for", defaults.keep_for)?,
        orphan_age: duration("orphan_age", defaults.orphan_age)?,
        retain_last: arguments.count("retain_last", defaults.retain_last)?,
        dry_run: arguments.flag("dry_run", defaults.dry_run)?,
    };
    table.check_whole(Function::Expire.name())?;
    let (table, schema) = (
        table.clone(),
        batches::expired(&Expired::default())?.schema(),
    );
    provider(Function::Expire.call(arguments)?, schema, move |context| {
        let listener = context.session_config().get_extension::<Listener>();
        let (table, options) = (table.clone(), options.clone());
        Box::pin(async move {
            let expired = table.expire_telling(options, listener).await?;
            batches::expired(&expired)
        })
    })
}
