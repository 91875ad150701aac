//! A schema of the catalog: managed tables on storage, and what only the session knows.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::TableType;

use super::damaged::DamagedTable;
use super::declared::DeclaredColumns;
use super::lookups::Lookups;
use super::managed::{Warehouse, check_name};
use super::new_rows::NewRows;
use super::wait::wait;
use crate::error::{Error, ErrorKind, Result as AtioResult};
use crate::table::{AtioTable, Dropped, DroppedTable, UndropOptions};

#[derive(Clone)]
pub(super) struct AtioSchema {
    warehouse: Arc<Warehouse>,
    name: Arc<str>,
    /// Views and tables with locations of their own: never on storage, never deleted.
    session: Arc<Mutex<HashMap<String, Arc<dyn TableProvider>>>>,
    lookups: Arc<Lookups>,
}

tokio::task_local! {
    /// Filled by the schema of atio that is asked for a table meanwhile.
    static WHO_HAS: RefCell<Option<AtioSchema>>;
}

/// The schema of atio that `schema` is, or wraps, where it is asked for `table`.
///
/// Hosts wrap catalogs, as DataFusion does for tables that are files, and no wrapper tells what is
/// in it; but all pass on what they are asked.
pub(super) async fn who_has(schema: &dyn SchemaProvider, table: &str) -> Option<AtioSchema> {
    WHO_HAS
        .scope(RefCell::default(), async {
            // What it says of the table is said again by the statement.
            schema.table_type(table).await.ok();
            WHO_HAS.with(RefCell::take)
        })
        .await
}

impl AtioSchema {
    pub(super) fn new(warehouse: Arc<Warehouse>, name: &str) -> Self {
        Self {
            warehouse,
            name: name.into(),
            session: Arc::default(),
            lookups: Arc::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn managed_tables(&self) -> AtioResult<Vec<String>> {
        self.warehouse.tables(&self.name).await
    }

    /// Fails if dropping a managed table would.
    pub(super) async fn check_droppable(&self, table: &str) -> AtioResult<()> {
        self.warehouse.check_droppable(&self.name, table).await
    }

    /// Drops a managed table, or takes a registration out of the session.
    pub(super) async fn drop_table(&self, table: &str) -> AtioResult<Dropped> {
        let registered = self
            .session()
            .get(table)
            .map(|provider| provider.table_type());
        match registered {
            Some(TableType::Base) => {
                self.session().remove(table);
                return Ok(Dropped::Forgotten);
            }
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::TableNotFound,
                    format!("'{table}' is a view, not a table: use DROP VIEW"),
                ));
            }
            None => {}
        }
        self.warehouse.drop_table(&self.name, table).await
    }

    /// Brings a dropped table back.
    pub(super) async fn undrop(
        &self,
        table: &str,
        options: &UndropOptions,
    ) -> AtioResult<DroppedTable> {
        let name = options.new_name.as_deref().unwrap_or(table);
        if self.session().contains_key(name) {
            return Err(Error::new(
                ErrorKind::TableExists,
                format!(
                    "table '{table}' cannot come back as '{name}': this session has a view or table '{name}' in schema '{}', which would hide it; drop that one first, or give the table another name by new_name",
                    self.name
                ),
            ));
        }
        self.warehouse.undrop(&self.name, table, options).await
    }

    /// Makes a managed table, which nobody sees before all of its rows are there: on the local
    /// disk. Elsewhere see [`Warehouse::create_table`].
    pub(super) async fn create_table(&self, table: &str, rows: NewRows) -> AtioResult<()> {
        check_name("table", table)?;
        if self.session().contains_key(table) {
            return Err(exists(table));
        }
        self.warehouse.create_table(&self.name, table, rows).await
    }

    /// Puts columns and rows in the place of those of a managed table, in one version, or makes
    /// the table. If that fails all is as it was.
    pub(super) async fn replace_table(&self, table: &str, rows: NewRows) -> AtioResult<()> {
        check_name("table", table)?;
        match self.warehouse.has_table(&self.name, table).await? {
            true => {
                self.warehouse
                    .replace_table(&self.name, table, rows)
                    .await?
            }
            false => self.warehouse.create_table(&self.name, table, rows).await?,
        }
        // What only the session knew by this name.
        self.session().remove(table);
        Ok(())
    }

    /// Tells who asks which schema it has come to.
    fn tell_asker(&self) {
        let told = WHO_HAS.try_with(|asker| asker.replace(Some(self.clone())));
        // Mostly nobody asks.
        drop(told);
    }

    fn session(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<dyn TableProvider>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self) -> AtioResult<Vec<String>> {
        let (warehouse, schema) = (Arc::clone(&self.warehouse), Arc::clone(&self.name));
        wait(async move { warehouse.tables(&schema).await })
    }
}

#[async_trait]
impl SchemaProvider for AtioSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.session().keys().cloned().collect();
        match self.list() {
            Ok(tables) => names.extend(tables),
            Err(error) => log::error!(
                "the tables of schema '{}' cannot be listed: {error}",
                self.name
            ),
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The table; one that cannot be opened is given as a placeholder, so that listing all
    /// tables works, and DROP too.
    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        self.tell_asker();
        let registered = self.session().get(name).cloned();
        if registered.is_some() {
            return Ok(registered);
        }
        // Also asked for the names of functions, which are no names of tables.
        if check_name("table", name).is_err() {
            return Ok(None);
        }
        let opened = self.warehouse.open(&self.name, name).await;
        let lookup = self.lookups.hand_out(name);
        Ok(match opened {
            Ok(table) => Some(Arc::new(table.of_lookup(lookup))),
            Err(error) if error.kind() == ErrorKind::TableNotFound => None,
            // There is nothing to list, or to DROP, either.
            Err(error) if error.kind() == ErrorKind::StoreNotFound => return Err(error.into()),
            Err(error) => {
                let table = self.warehouse.unread(&self.name, name)?;
                Some(Arc::new(DamagedTable::new(&error, table, lookup)))
            }
        })
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        self.tell_asker();
        let registered = self.session().get(name).cloned();
        if let Some(registered) = registered {
            return Ok(Some(registered.table_type()));
        }
        let exists =
            check_name("table", name).is_ok() && self.warehouse.has_table(&self.name, name).await?;
        Ok(exists.then_some(TableType::Base))
    }

    /// Rows in memory, as CREATE TABLE gives them, become a managed table; everything else
    /// is registered in the session only.
    fn register_table(
        &self,
        name: String,
        provider: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        check_name("table", &name)?;
        let Some(rows) = (provider.as_ref() as &dyn Any).downcast_ref::<MemTable>() else {
            let own = self.warehouse.location_of(&self.name, &name);
            if AtioTable::downcast(provider.as_ref()).is_some_and(|table| table.location() == own) {
                // CREATE EXTERNAL TABLE in the table's own place: it is there already.
                return Ok(None);
            }
            if self.table_exist(&name) {
                return Err(exists(&name).into());
            }
            self.session().insert(name, provider);
            return Ok(None);
        };
        if self.session().contains_key(&name) {
            return Err(exists(&name).into());
        }
        let declared = DeclaredColumns::has(&rows.schema());
        let rows = NewRows::of(&name, rows, declared)?;
        let (warehouse, schema) = (Arc::clone(&self.warehouse), Arc::clone(&self.name));
        wait(async move { warehouse.create_table(&schema, &name, rows).await })?;
        Ok(None)
    }

    /// Drops a managed table only for DROP TABLE; see [`Lookups`].
    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let registered = self.session().remove(name);
        if registered.is_some() {
            return Ok(registered);
        }
        if !self.table_exist(name) {
            return Ok(None);
        }
        if !self.lookups.is_dropping(name) {
            return Err(Error::unsupported(format!(
                "table '{name}' is not replaced: DataFusion would remove it before its new rows are known; use INSERT OVERWRITE to replace its rows, or DROP TABLE first"
            ))
            .into());
        }
        let (warehouse, schema, table) = (
            Arc::clone(&self.warehouse),
            Arc::clone(&self.name),
            name.to_owned(),
        );
        let dropped = wait(async move { warehouse.drop_table(&schema, &table).await });
        if let Err(error) = &dropped {
            // DataFusion tells "doesn't exist" instead.
            log::error!("DROP TABLE {name} failed: {error}");
        }
        dropped?;
        Ok(None)
    }

    fn table_exist(&self, name: &str) -> bool {
        if self.session().contains_key(name) {
            return true;
        }
        let table = name.to_owned();
        let exists = check_name("table", name).is_ok().then(|| {
            let (warehouse, schema) = (Arc::clone(&self.warehouse), Arc::clone(&self.name));
            wait(async move { warehouse.has_table(&schema, &table).await })
        });
        // What cannot be looked up may be there: nothing may be made in its place.
        exists.is_some_and(|exists| exists.unwrap_or(true))
    }
}

fn exists(name: &str) -> Error {
    Error::new(
        ErrorKind::TableExists,
        format!("there is a table '{name}' already"),
    )
}

impl std::fmt::Debug for AtioSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtioSchema")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
