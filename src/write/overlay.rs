//! A session with some more tables, which nobody else sees, and whose catalogs can only be read.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::error::Result;
use datafusion::execution::SessionState;

/// More tables, by name.
pub(super) type Tables = Arc<HashMap<&'static str, Arc<dyn TableProvider>>>;

/// Puts `tables` into the default schema of `session`, before those that are there.
pub(super) fn add(session: &mut SessionState, tables: &Tables) {
    let defaults = &session.config_options().catalog;
    let catalogs = Catalogs {
        inner: Arc::clone(session.catalog_list()),
        catalog: defaults.default_catalog.clone(),
        schema: defaults.default_schema.clone(),
        tables: Arc::clone(tables),
    };
    session.register_catalog_list(Arc::new(catalogs));
}

#[derive(Debug)]
struct Catalogs {
    inner: Arc<dyn CatalogProviderList>,
    /// The names of the schema that has more tables.
    catalog: String,
    schema: String,
    tables: Tables,
}

impl CatalogProviderList for Catalogs {
    /// Takes none: whoever is given such a session reads.
    fn register_catalog(
        &self,
        _: String,
        _: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.inner.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let inner = self.inner.catalog(name);
        let more = name == self.catalog;
        (more || inner.is_some()).then(|| -> Arc<dyn CatalogProvider> {
            Arc::new(Catalog {
                inner,
                more: more.then(|| (self.schema.clone(), Arc::clone(&self.tables))),
            })
        })
    }
}

#[derive(Debug)]
struct Catalog {
    inner: Option<Arc<dyn CatalogProvider>>,
    /// The schema that has more tables, if it is of this catalog.
    more: Option<(String, Tables)>,
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        let inner = self.inner.as_ref();
        inner.map_or_else(Vec::new, |inner| inner.schema_names())
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let inner = self.inner.as_ref().and_then(|inner| inner.schema(name));
        let more = self.more.as_ref().filter(|(schema, _)| schema == name);
        let tables = more.map(|(_, tables)| Arc::clone(tables));
        (tables.is_some() || inner.is_some()).then(|| -> Arc<dyn SchemaProvider> {
            Arc::new(Schema {
                inner,
                tables: tables.unwrap_or_default(),
            })
        })
    }
}

#[derive(Debug)]
struct Schema {
    inner: Option<Arc<dyn SchemaProvider>>,
    tables: Tables,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        let inner = self.inner.as_ref();
        inner.map_or_else(Vec::new, |inner| inner.table_names())
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match (self.tables.get(name), &self.inner) {
            (Some(table), _) => Ok(Some(Arc::clone(table))),
            (None, Some(inner)) => inner.table(name).await,
            (None, None) => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        let inner = self.inner.as_ref();
        self.tables.contains_key(name) || inner.is_some_and(|inner| inner.table_exist(name))
    }
}
