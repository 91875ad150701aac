//! The catalog: a directory of schemas, each a directory of tables.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::prelude::SessionContext;

use super::dropped_folder::DroppedFolder;
use super::location::Location;
use super::managed::{Warehouse, check_name};
use super::namespace::AtioSchema;
use super::wait::wait;
use crate::error::{Error, Result};
use crate::table::{Dropped, DroppedTable, PurgeOptions, PurgedTable, UndropOptions};

/// Always there, also in an empty directory.
const DEFAULT_SCHEMA: &str = "public";

/// A warehouse: a directory in which `CREATE TABLE`, `CREATE TABLE .. AS SELECT`,
/// `DROP TABLE` and `CREATE SCHEMA` make and remove atio tables.
///
/// `<location>/<schema>/<table>` is the table's directory. [`register`](Self::register) makes one
/// a catalog of a session. Views, and tables that are registered with a
/// location of their own, live in the session only and are never deleted.
///
/// [`atio::sql`](crate::sql()) runs all of its statements as they should be run. DataFusion itself
/// holds the rows of `CREATE TABLE .. AS SELECT` in memory, and its `CREATE OR REPLACE TABLE` of a
/// table that exists is refused: it would remove the old one before the new rows are known.
///
/// The columns of `CREATE TABLE .. AS SELECT` may all be NULL. `CREATE TABLE t (x INT NOT NULL)`
/// keeps its NOT NULL in sessions that atio is registered in, or that a catalog was opened with.
///
/// # DROP can be undone
///
/// On a local disk a dropped table is set aside for seven days, with all its versions.
/// `SELECT * FROM atio_dropped()` lists such tables, `atio_undrop('sales')` brings one back, and
/// `atio_purge('sales', dry_run => false)` deletes it at once. What is older goes with the next
/// DROP in the catalog. Meanwhile the name is free; a table that was dropped several times is kept
/// several times. On an object store **a DROP is final**.
///
/// ```
/// use atio::{AtioCatalog, Dropped, PurgeOptions, UndropOptions};
/// use datafusion::prelude::SessionContext;
///
/// # #[tokio::main(flavor = "multi_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let location = directory.path().to_str().unwrap_or_default();
/// let ctx = SessionContext::new();
/// atio::register(&ctx)?;
/// let catalog = AtioCatalog::register(&ctx, "w", location)?;
/// ctx.sql("CREATE TABLE w.public.sales AS SELECT 'tea' AS item").await?.collect().await?;
///
/// let dropped = catalog.drop_table("public", "sales").await?;
/// assert!(matches!(dropped, Dropped::Kept(_)));
/// assert_eq!(catalog.dropped_tables().await?[0].table, "sales");
///
/// catalog.undrop_table("public", "sales", &UndropOptions::default()).await?;
/// assert_eq!(ctx.sql("SELECT item FROM w.public.sales").await?.count().await?, 1);
///
/// catalog.drop_table("public", "sales").await?;
/// let options = PurgeOptions { dry_run: false, ..PurgeOptions::default() };
/// let purged = catalog.purge_table("public", "sales", &options).await?;
/// assert!(purged[0].deleted && catalog.dropped_tables().await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AtioCatalog {
    pub(super) warehouse: Arc<Warehouse>,
    schemas: Schemas,
}

/// The schemas that were asked for, by name.
pub(super) type Schemas = Arc<Mutex<HashMap<String, Arc<AtioSchema>>>>;

impl AtioCatalog {
    /// The catalog over `location`: a local directory, which is made when the first table
    /// is, a `file://` URL, the URL of a store that is registered in `ctx`, or one that
    /// [`connect`](crate::connect) knows. It is not registered yet.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let warehouse = directory.path().to_str().unwrap_or_default();
    /// let ctx = SessionContext::new();
    /// let lake = atio::AtioCatalog::open(&ctx, warehouse)?;
    /// ctx.register_catalog("lake", Arc::new(lake));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the location cannot be used;
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy forbids it.
    pub fn open(ctx: &SessionContext, location: &str) -> Result<Self> {
        let warehouse = Warehouse::new(ctx, Location::parse(location)?)?;
        Ok(Self {
            warehouse: Arc::new(warehouse),
            schemas: Schemas::default(),
        })
    }

    /// Drops a table as `DROP TABLE` does, but tells what went wrong, where DataFusion turns
    /// every error of a DROP into "doesn't exist", and what became of the table.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let warehouse = directory.path().to_str().unwrap_or_default();
    /// let ctx = SessionContext::new();
    /// atio::register(&ctx)?;
    /// let lake = Arc::new(atio::AtioCatalog::open(&ctx, warehouse)?);
    /// ctx.register_catalog("lake", Arc::clone(&lake) as _);
    /// ctx.sql("CREATE TABLE lake.public.sales (item TEXT)").await?;
    /// lake.drop_table("public", "sales").await?;
    /// let gone = lake.drop_table("public", "sales").await.unwrap_err();
    /// assert_eq!(gone.kind(), atio::ErrorKind::TableNotFound);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if there is no such table;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if its directory holds files that
    /// atio did not make, which are never deleted;
    /// [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) if it was dropped, and a power
    /// failure may bring it back.
    pub async fn drop_table(&self, schema: &str, table: &str) -> Result<Dropped> {
        check_name("schema", schema)?;
        self.namespace(schema).drop_table(table).await
    }

    /// The dropped tables that can come back, in order of their schemas and names, those of one
    /// name from the newest on. None on an object store, where a DROP is final.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "multi_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = directory.path().to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// use atio::AtioCatalog;
    ///
    /// let catalog = AtioCatalog::register(&ctx, "w", location)?;
    /// ctx.sql("CREATE TABLE w.public.sales AS SELECT 'tea' AS item").await?.collect().await?;
    /// catalog.drop_table("public", "sales").await?;
    ///
    /// let dropped = catalog.dropped_tables().await?;
    /// assert_eq!((dropped[0].schema.as_str(), dropped[0].table.as_str()), ("public", "sales"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Storage`](crate::ErrorKind::Storage) if the directory cannot be read.
    pub async fn dropped_tables(&self) -> Result<Vec<DroppedTable>> {
        let dropped = self.warehouse.dropped().await?;
        Ok(dropped.iter().map(DroppedFolder::shown).collect())
    }

    /// Brings a dropped table back, with all its versions. Its schema is made if it was
    /// dropped, too. A write that was under way when the table was dropped commits nothing any
    /// more.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "multi_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = directory.path().to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// use atio::{AtioCatalog, UndropOptions};
    ///
    /// let catalog = AtioCatalog::register(&ctx, "w", location)?;
    /// ctx.sql("CREATE TABLE w.public.sales AS SELECT 'tea' AS item").await?.collect().await?;
    /// catalog.drop_table("public", "sales").await?;
    ///
    /// let options = UndropOptions { new_name: Some("old_sales".into()), ..UndropOptions::default() };
    /// catalog.undrop_table("public", "sales", &options).await?;
    /// assert_eq!(ctx.sql("SELECT item FROM w.public.old_sales").await?.count().await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if no such table is kept, or somebody
    /// else has just brought it back or purged it;
    /// [`TableExists`](crate::ErrorKind::TableExists) if its name was given to another table since;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on an object store;
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy forbids it;
    /// [`CommitNotDurable`](crate::ErrorKind::CommitNotDurable) if it is back, and a power
    /// failure may drop it again.
    pub async fn undrop_table(
        &self,
        schema: &str,
        table: &str,
        options: &UndropOptions,
    ) -> Result<DroppedTable> {
        check_name("schema", schema)?;
        self.namespace(schema).undrop(table, options).await
    }

    /// Deletes what was dropped as `table`, for good, or tells what would go. What is not kept any
    /// longer is deleted without this, by the next DROP.
    ///
    /// ```
    /// # use datafusion::prelude::SessionContext;
    /// # #[tokio::main(flavor = "multi_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let location = directory.path().to_str().unwrap_or_default();
    /// # let ctx = SessionContext::new();
    /// # atio::register(&ctx)?;
    /// use atio::{AtioCatalog, PurgeOptions};
    ///
    /// let catalog = AtioCatalog::register(&ctx, "w", location)?;
    /// ctx.sql("CREATE TABLE w.public.sales AS SELECT 'tea' AS item").await?.collect().await?;
    /// catalog.drop_table("public", "sales").await?;
    ///
    /// let would_go = catalog.purge_table("public", "sales", &PurgeOptions::default()).await?;
    /// assert!(would_go[0].bytes > 0 && !would_go[0].deleted);
    /// let options = PurgeOptions { dry_run: false, ..PurgeOptions::default() };
    /// assert!(catalog.purge_table("public", "sales", &options).await?[0].deleted);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableNotFound`](crate::ErrorKind::TableNotFound) if no such table is kept, or somebody
    /// else has just brought it back or purged it;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if its directory holds files that atio did
    /// not make: then nothing is deleted;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on an object store;
    /// [`NotAllowed`](crate::ErrorKind::NotAllowed) if the session's policy forbids it.
    pub async fn purge_table(
        &self,
        schema: &str,
        table: &str,
        options: &PurgeOptions,
    ) -> Result<Vec<PurgedTable>> {
        self.warehouse.purge(schema, table, options).await
    }

    /// What does not keep the catalog alive, and finds it again.
    pub(super) fn downgrade(&self) -> WeakCatalog {
        WeakCatalog {
            warehouse: Arc::downgrade(&self.warehouse),
            schemas: Arc::downgrade(&self.schemas),
        }
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

/// A catalog as long as somebody uses it.
pub(super) struct WeakCatalog {
    warehouse: Weak<Warehouse>,
    schemas: Weak<Mutex<HashMap<String, Arc<AtioSchema>>>>,
}

impl WeakCatalog {
    pub(super) fn upgrade(&self) -> Option<AtioCatalog> {
        Some(AtioCatalog {
            warehouse: self.warehouse.upgrade()?,
            schemas: self.schemas.upgrade()?,
        })
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
