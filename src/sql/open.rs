//! The tables that a session has open: one handle for each place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use atio_core::log::{OpenOptions, Snapshot, Table};
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;

use super::location::Location;
use super::stores::store;
use crate::error::Result;
use crate::table::{AtioTable, Statement};

/// Shares handles, and so what they remember, between all names of a table.
#[derive(Debug, Default)]
pub(super) struct OpenTables {
    tables: Mutex<HashMap<(String, OpenOptions), Opened>>,
}

#[derive(Debug)]
struct Opened {
    /// As it was registered.
    store: Arc<dyn ObjectStore>,
    table: Arc<Table>,
}

impl OpenTables {
    /// The one of this session, which `register` puts there; otherwise a new one.
    pub(super) fn of(state: &dyn Session) -> Arc<Self> {
        state.config().get_extension::<Self>().unwrap_or_default()
    }

    /// The handle for `location` that uses it so; nothing is read.
    pub(super) fn handle(
        &self,
        runtime: &RuntimeEnv,
        location: &Location,
        options: OpenOptions,
    ) -> Result<Arc<Table>> {
        location.check_no_file()?;
        let key = (location.shown().to_owned(), options);
        let store = store(runtime, location)?;
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = tables.get(&key) {
            // The store under this URL may have been registered anew.
            if Arc::ptr_eq(&opened.store, &store) {
                return Ok(Arc::clone(&opened.table));
            }
        }
        let table = Arc::new(Table::new(
            Arc::clone(&store),
            location.path.clone(),
            location.shown().to_owned(),
            location.local.clone(),
            options,
        ));
        let opened = Opened {
            store,
            table: Arc::clone(&table),
        };
        tables.insert(key, opened);
        Ok(table)
    }

    /// The table at `location` without looking at it: its columns are not known.
    pub(super) fn unread(&self, runtime: &RuntimeEnv, location: &Location) -> Result<AtioTable> {
        let table = self.handle(runtime, location, OpenOptions::default())?;
        let schema = Arc::new(Schema::empty());
        Ok(AtioTable::newest(table, location.store.clone(), schema))
    }

    /// Opens the table at `location`, following its newest version.
    pub(super) async fn open(
        &self,
        runtime: &RuntimeEnv,
        location: &Location,
        options: OpenOptions,
    ) -> Result<AtioTable> {
        let table = self.handle(runtime, location, options)?;
        let newest = table.newest().await?;
        Ok(Self::opened(table, location, newest))
    }

    /// The same for a statement that is being planned, and looks again before it runs.
    pub(super) async fn open_for_planning(
        &self,
        runtime: &RuntimeEnv,
        location: &Location,
    ) -> Result<AtioTable> {
        let table = self.handle(runtime, location, OpenOptions::default())?;
        let newest = match Statement::current() {
            // It does not.
            Some(_) => table.newest().await?,
            None => table.newest_for_planning().await?,
        };
        Ok(Self::opened(table, location, newest))
    }

    /// The table, of which `newest` was just found.
    pub(super) fn opened(
        table: Arc<Table>,
        location: &Location,
        newest: Arc<Snapshot>,
    ) -> AtioTable {
        let schema = Arc::clone(&newest.arrow);
        AtioTable::newest(table, location.store.clone(), schema).looked(newest)
    }
}
