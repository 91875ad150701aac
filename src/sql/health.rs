//! The table functions about the health of a table.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::Result;

use super::function::Function;
use crate::function_table::{Call, provider_of};
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
