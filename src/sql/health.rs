//! The table functions about the health of a table.

use std::sync::Arc;

use atio_core::log::{CheckOptions, RepairOptions};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::arguments::Arguments;
use super::function::Function;
use crate::function_table::{Call, provider, provider_of};
use crate::table::{AtioTable, Wanted, batches};

/// One row. Only what the statement asks for is looked up: the rest may need every list of files,
/// or every version.
pub(super) fn stats(table: &AtioTable) -> Result<Arc<dyn TableProvider>> {
    let name = Function::Stats.name();
    table.check_whole(name)?;
    let (table, schema) = (table.clone(), batches::stats(&[])?.schema());
    provider_of(Call::reading(name), schema, move |columns| {
        let asks = |prefix| columns.iter().any(|column| column.starts_with(prefix));
        let wanted = Wanted {
            small: asks("small_"),
            versions: asks("versions"),
            tags: asks("tags"),
            expirable: asks("expirable_"),
        };
        let table = table.clone();
        move |_| {
            let table = table.clone();
            Box::pin(async move { batches::stats(&[table.stats_of(wanted).await?]) })
        }
    })
}

/// One row for each thing that is wrong.
pub(super) fn check(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let name = Function::Check.name();
    let options = CheckOptions {
        deep: arguments.flag("deep", false)?,
    };
    table.check_whole(name)?;
    let (table, schema) = (table.clone(), batches::findings(&[])?.schema());
    provider(Call::reading(name), schema, move |_| {
        let table = table.clone();
        Box::pin(async move { batches::findings(&table.check(options).await?) })
    })
}

/// The same, with what was done about it.
pub(super) fn repair(table: &AtioTable, arguments: &Arguments) -> Result<Arc<dyn TableProvider>> {
    let options = RepairOptions {
        dry_run: arguments.flag("dry_run", true)?,
    };
    table.check_whole(Function::Repair.name())?;
    let (table, schema) = (table.clone(), batches::repaired(&[])?.schema());
    provider(Function::Repair.call(arguments)?, schema, move |_| {
        let table = table.clone();
        Box::pin(async move { batches::repaired(&table.repair(options).await?) })
    })
}
