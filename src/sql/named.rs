//! The table that a person names: registered in the session, or at a path or URL.

use std::sync::Arc;

use atio_core::log::OpenOptions;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::execution::SessionState;

use super::damaged::DamagedTable;
use super::location::Location;
use super::open::OpenTables;
use super::policy::{Access, AtioPolicy};
use crate::error::{Error, Result};
use crate::table::AtioTable;

/// Finds the table that `text` names, for `asker`, which messages begin with.
///
/// Only one whose newest version is whole, if it `needs_newest`.
pub(super) async fn named(
    state: SessionState,
    asker: &str,
    access: Access,
    text: &str,
    needs_newest: bool,
) -> Result<AtioTable> {
    let policy = AtioPolicy::of(&state);
    policy.check_access(access)?;
    let place = text.contains('/') || text.contains('\\');
    if place {
        let location = Location::parse(text)?;
        policy.check(&location, access)?;
        let tables = OpenTables::of(&state);
        let runtime = Arc::clone(state.runtime_env());
        return match needs_newest {
            true => {
                let options = OpenOptions::default();
                tables.open(&runtime, &location, options).await
            }
            false => tables.unread(&runtime, &location),
        };
    }
    let reference = TableReference::parse_str(text);
    let found = registered(&state, &reference).await?;
    let provider = found.ok_or_else(|| {
        Error::invalid(format!(
            "{asker}: there is no table '{reference}' in this session; give the name of a registered table, or a path with a '/'"
        ))
    })?;
    if let Some(damaged) = DamagedTable::downcast(provider.as_ref()) {
        return match needs_newest {
            true => Err(damaged.error()),
            false => Ok(damaged.table().clone()),
        };
    }
    let table = AtioTable::downcast(provider.as_ref()).cloned();
    table.ok_or_else(|| Error::invalid(format!("{asker}: '{reference}' is not an atio table")))
}

async fn registered(
    state: &SessionState,
    reference: &TableReference,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let Ok(schema) = state.schema_for_ref(reference.clone()) else {
        return Ok(None);
    };
    let name = reference.table();
    let found = schema.table(name).await;
    found.map_err(|error| {
        Error::invalid(format!("table '{name}' cannot be opened")).with_source(error)
    })
}
