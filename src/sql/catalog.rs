//! The catalog: a directory of schemas, each a directory of tables.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::prelude::SessionContext;

use super::location::Location;
use super::managed::{Warehouse, check_name};
use super::namespace::AtioSchema;
use super::wait::wait;
use crate::error::{Error, Result};

/// Always there, also in an empty directory.
const DEFAULT_SCHEMA: &str = "public";

/// A warehouse: a directory in which `CREATE TABLE`, `CREATE TABLE .. AS SELECT`,
/// `DROP TABLE` and `CREATE SCHEMA` make and remove atio tables.
///
/// `<location>/<schema>/<table>` is the table's directory. Register it with
/// [`SessionContext::register_catalog`]. Views, and tables that are registered with a
/// location of their own, live in the session only and are never deleted.
///
/// `CREATE OR REPLACE TABLE` of a table that exists is refused: DataFusion would remove the
/// old one before the new rows are known. `INSERT OVERWRITE` replaces rows safely.
///
/// The columns of `CREATE TABLE .. AS SELECT` may all be NULL. `CREATE TABLE t (x INT NOT NULL)`
/// keeps its NOT NULL in sessions that atio is registered in, or that a catalog was opened with.
pub struct AtioCatalog {
    warehouse: Arc<Warehouse>,
    schemas: Mutex<HashMap<String, Arc<AtioSchema>>>,
}

impl AtioCatalog {
    /// The catalog over `location`: a local directory, which is made when the first table
    /// is, a `file://` URL, the URL of a store that is registered in `ctx`, or one that
    /// [`connect`](crate::connect) knows.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the location cannot be used;
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy forbids it.
    pub fn open(ctx: &SessionContext, location: &str) -> Result<Self> {
        let warehouse = Warehouse::new(ctx, Location::parse(location)?)?;
        Ok(Self {
            warehouse: Arc::new(warehouse),
            schemas: Mutex::default(),
        })
    }

    /// Drops a table as `DROP TABLE` does, but tells what went wrong: DataFusion turns
    /// every error of a DROP into "doesn't exist".
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if there is no such table;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if its directory holds files that
    /// atio did not make, which are never deleted.
    pub async fn drop_table(&self, schema: &str, table: &str) -> Result<()> {
        check_name("schema", schema)?;
        self.namespace(schema).drop_table(table).await
    }

    fn namespace(&self, name: &str) -> Arc<AtioSchema> {
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let schema = schemas
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(AtioSchema::new(Arc::clone(&self.warehouse), name)));
        Arc::clone(schema)
    }

    fn names(&self) -> Result<Vec<String>> {
        let warehouse = Arc::clone(&self.warehouse);
        let mut names = wait(async move { warehouse.schemas().await })?;
        if !names.iter().any(|name| name == DEFAULT_SCHEMA) {
            names.push(DEFAULT_SCHEMA.to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl CatalogProvider for AtioCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.names().unwrap_or_else(|error| {
            log::error!(
                "the schemas of {} cannot be listed: {error}",
                self.warehouse.location().shown()
            );
            vec![DEFAULT_SCHEMA.to_owned()]
        })
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name != DEFAULT_SCHEMA {
            check_name("schema", name).ok()?;
            let (warehouse, schema) = (Arc::clone(&self.warehouse), name.to_owned());
            let exists = wait(async move { warehouse.has_schema(&schema).await });
            match exists {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    log::error!("schema '{name}' cannot be looked up: {error}");
                    return None;
                }
            }
        }
        Some(self.namespace(name))
    }

    /// Makes the schema's directory; the provider that DataFusion offers is not used.
    fn register_schema(
        &self,
        name: &str,
        _: Arc<dyn SchemaProvider>,
    ) -> datafusion::error::Result<Option<Arc<dyn SchemaProvider>>> {
        check_name("schema", name)?;
        let (warehouse, schema) = (Arc::clone(&self.warehouse), name.to_owned());
        wait(async move { warehouse.create_schema(&schema).await })?;
        Ok(None)
    }

    /// Removes an empty schema; with `cascade` its tables are dropped first.
    fn deregister_schema(
        &self,
        name: &str,
        cascade: bool,
    ) -> datafusion::error::Result<Option<Arc<dyn SchemaProvider>>> {
        let Some(provider) = self.schema(name) else {
            return Ok(None);
        };
        if name == DEFAULT_SCHEMA {
            return Err(Error::unsupported(
                "schema 'public' is always there and cannot be dropped",
            )
            .into());
        }
        let schema = self.namespace(name);
        let warehouse = Arc::clone(&self.warehouse);
        let namespace = Arc::clone(&schema);
        wait(async move {
            let tables = namespace.managed_tables().await?;
            if !cascade && !tables.is_empty() {
                return Err(Error::invalid(format!(
                    "schema '{}' is not empty (it holds {}): drop its tables first, or use CASCADE",
                    namespace.name(),
                    tables.join(", ")
                )));
            }
            warehouse
                .check_schema_holds_only(namespace.name(), &tables)
                .await?;
            for table in &tables {
                namespace.check_droppable(table).await?;
            }
            for table in &tables {
                namespace.drop_table(table).await?;
            }
            warehouse.drop_schema(namespace.name()).await
        })?;
        self.schemas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        Ok(Some(provider))
    }
}

impl fmt::Debug for AtioCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtioCatalog")
            .field("location", &self.warehouse.location().shown())
            .finish_non_exhaustive()
    }
}
