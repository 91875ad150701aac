//! `CREATE EXTERNAL TABLE .. STORED AS POSTGRES | SQLITE | MYSQL LOCATION 'connection/table'`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::error::Result;
use datafusion::logical_expr::CreateExternalTable;

use super::connection::Engine;
use super::error::no_such_table;
use super::provider::DatabaseTable;
use super::registry::TableLocation;
use crate::error::Error;

/// What a session calls the tables of each engine, and opens them by. `free`: whether
/// statements may reach databases that are not registered.
pub(crate) fn factories(
    free: bool,
) -> impl Iterator<Item = (&'static str, Arc<dyn TableProviderFactory>)> {
    Engine::built_in().map(move |engine| {
        let factory: Arc<dyn TableProviderFactory> =
            Arc::new(DatabaseTableFactory { engine, free });
        (engine.stored_as(), factory)
    })
}

#[derive(Debug)]
struct DatabaseTableFactory {
    engine: Engine,
    free: bool,
}

#[async_trait]
impl TableProviderFactory for DatabaseTableFactory {
    async fn create(
        &self,
        state: &dyn Session,
        cmd: &CreateExternalTable,
    ) -> Result<Arc<dyn TableProvider>> {
        let [location] = cmd.locations.as_slice() else {
            return Err(
                Error::invalid(format!("table '{}' needs exactly one location", cmd.name)).into(),
            );
        };
        // The database has the columns; what a statement said of them would be forgotten.
        let stated = !cmd.schema.as_arrow().fields().is_empty()
            || !cmd.table_partition_cols.is_empty()
            || !cmd.order_exprs.is_empty()
            || !cmd.constraints.is_empty()
            || !cmd.options.is_empty()
            || cmd.unbounded;
        if stated {
            return Err(Error::unsupported(format!(
                "table '{}' has the columns that the database says: leave them, and all other clauses, out; COPY makes a table that is missing",
                cmd.name
            ))
            .into());
        }
        let location = TableLocation::find(state, self.engine, location, self.free)?;
        let columns = location.connection.columns(&location.table).await?;
        let columns = columns.ok_or_else(|| {
            no_such_table().context(format!(
                "cannot open table '{}' of {}",
                location.table, location.connection
            ))
        })?;
        Ok(Arc::new(DatabaseTable::new(location, columns)?))
    }
}
