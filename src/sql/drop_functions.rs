//! The table functions about dropped tables: `atio_dropped`, `atio_undrop` and `atio_purge`.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::error::Result;
use datafusion::execution::SessionState;

use super::arguments::Arguments;
use super::catalog::AtioCatalog;
use super::catalogs;
use super::policy::{Access, AtioPolicy};
use super::undrop::purge_access;
use crate::error::{Error, Result as AtioResult};
use crate::function_table::{Call, provider};
use crate::table::{PurgeOptions, UndropOptions, batches};

/// The functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DropFunction {
    Dropped,
    Undrop,
    Purge,
}

impl DropFunction {
    pub(super) const ALL: [Self; 3] = [Self::Dropped, Self::Undrop, Self::Purge];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dropped => "atio_dropped",
            Self::Undrop => "atio_undrop",
            Self::Purge => "atio_purge",
        }
    }

    /// The parameters, in the order of positional arguments.
    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Dropped => &[],
            Self::Undrop => &["table", "id", "new_name"],
            Self::Purge => &["table", "id", "dry_run"],
        }
    }

    /// The provider of the rows that a call gives. Changes nothing.
    pub(super) fn provider(
        self,
        arguments: &Arguments,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::Dropped => dropped(state),
            Self::Undrop => undrop(arguments, state),
            Self::Purge => purge(arguments, state),
        }
    }
}

/// The table that a call is about.
struct Named {
    catalog_name: String,
    catalog: AtioCatalog,
    schema: String,
    table: String,
}

impl Named {
    fn of(
        function: DropFunction,
        access: Access,
        arguments: &Arguments,
        state: &SessionState,
    ) -> AtioResult<Self> {
        let name = function.name();
        let text = arguments.needed_text("table", "sales")?;
        if text.contains(['/', '\\']) {
            return Err(Error::invalid(format!(
                "{name} takes the name of a table in a catalog, not the path '{}': where a table lies is not known any more when it is dropped",
                text.escape_debug()
            )));
        }
        AtioPolicy::of(state).check_access(access)?;
        let defaults = &state.config_options().catalog;
        let reference = TableReference::parse_str(text)
            .resolve(&defaults.default_catalog, &defaults.default_schema);
        let catalog = catalogs::named(state, name, &reference.catalog)?;
        let named = Self {
            catalog_name: reference.catalog.to_string(),
            catalog,
            schema: reference.schema.to_string(),
            table: reference.table.to_string(),
        };
        let warehouse = &named.catalog.warehouse;
        warehouse.check_keeps(&named.schema, &named.table, access)?;
        Ok(named)
    }
}

fn dropped(state: &SessionState) -> Result<Arc<dyn TableProvider>> {
    let catalogs = Arc::new(catalogs::all(state));
    let schema = batches::dropped([])?.schema();
    provider(
        Call::reading(DropFunction::Dropped.name()),
        schema,
        move |_| {
            let catalogs = Arc::clone(&catalogs);
            Box::pin(async move {
                let mut tables = Vec::new();
                for (name, catalog) in catalogs.iter() {
                    let of_catalog = catalog.dropped_tables().await?;
                    tables.extend(of_catalog.into_iter().map(|table| (name, table)));
                }
                batches::dropped(tables.iter().map(|(name, table)| (name.as_str(), table)))
            })
        },
    )
}

fn undrop(arguments: &Arguments, state: &SessionState) -> Result<Arc<dyn TableProvider>> {
    let function = DropFunction::Undrop;
    let options = UndropOptions {
        id: arguments.text("id")?.map(str::to_owned),
        new_name: arguments.text("new_name")?.map(str::to_owned),
    };
    let named = Arc::new(Named::of(function, Access::Create, arguments, state)?);
    let schema = batches::undropped([])?.schema();
    provider(Call::writing(function.name()), schema, move |_| {
        let (named, options) = (Arc::clone(&named), options.clone());
        Box::pin(async move {
            let catalog_name = named.catalog_name.clone();
            let back = to_its_end(async move {
                let (schema, table) = (&named.schema, &named.table);
                let mut back = named.catalog.undrop_table(schema, table, &options).await?;
                // As it is called by now.
                back.table = options.new_name.unwrap_or(back.table);
                Ok(back)
            });
            batches::undropped([(catalog_name.as_str(), &back.await?)])
        })
    })
}

fn purge(arguments: &Arguments, state: &SessionState) -> Result<Arc<dyn TableProvider>> {
    let function = DropFunction::Purge;
    let options = PurgeOptions {
        id: arguments.text("id")?.map(str::to_owned),
        dry_run: arguments.flag("dry_run", true)?,
    };
    let access = purge_access(options.dry_run);
    let named = Arc::new(Named::of(function, access, arguments, state)?);
    let schema = batches::purged([])?.schema();
    let call = Call {
        name: function.name(),
        writes: !options.dry_run,
    };
    provider(call, schema, move |_| {
        let (named, options) = (Arc::clone(&named), options.clone());
        Box::pin(async move {
            let catalog_name = named.catalog_name.clone();
            let purged = to_its_end(async move {
                let (schema, table) = (&named.schema, &named.table);
                named.catalog.purge_table(schema, table, &options).await
            });
            let purged = purged.await?;
            batches::purged(purged.iter().map(|of| (catalog_name.as_str(), of)))
        })
    })
}

/// Runs what changes something to its end, even if the reader of the rows stops reading.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = AtioResult<T>> + Send + 'static,
) -> AtioResult<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| {
        Error::invalid("this was cut off; look at atio_dropped() and run it again")
            .with_source(error)
    })?
}
