//! Catalogs whose schemas also answer to the names of files: `SELECT * FROM 'june.csv'`.
//!
//! `datafusion-cli` has wrappers for this. They ask for a file whenever a table is missing, also
//! for the names of table functions, and they drop `DROP SCHEMA` and cheap table types on the
//! way. So each catalog is asked bare, and the wrappers only for what can be a file.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::plan_err;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_cli::catalog::DynamicObjectStoreCatalog;

/// Makes a context in which files and URLs can stand for tables.
pub(crate) async fn context_with_files(
    config: SessionConfig,
    environment: Arc<RuntimeEnv>,
) -> Result<SessionContext> {
    let ctx = SessionContext::new_with_config_rt(config, environment);
    let bare = Arc::clone(ctx.state().catalog_list());
    let ctx = ctx.enable_url_table();
    ctx.refresh_catalogs().await?;
    let files = DynamicObjectStoreCatalog::new(
        Arc::clone(ctx.state().catalog_list()),
        ctx.state_weak_ref(),
    );
    ctx.register_catalog_list(Arc::new(Catalogs { bare, files }));
    Ok(ctx)
}

#[derive(Debug)]
struct Catalogs {
    bare: Arc<dyn CatalogProviderList>,
    files: DynamicObjectStoreCatalog,
}

impl CatalogProviderList for Catalogs {
    fn register_catalog(
        &self,
        name: String,
        catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        self.bare.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        self.bare.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(Catalog {
            bare: self.bare.catalog(name)?,
            files: self.files.catalog(name)?,
        }))
    }
}

#[derive(Debug)]
struct Catalog {
    bare: Arc<dyn CatalogProvider>,
    files: Arc<dyn CatalogProvider>,
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        self.bare.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Schema {
            bare: self.bare.schema(name)?,
            files: self.files.schema(name)?,
        }))
    }

    fn register_schema(
        &self,
        name: &str,
        schema: Arc<dyn SchemaProvider>,
    ) -> Result<Option<Arc<dyn SchemaProvider>>> {
        self.bare.register_schema(name, schema)
    }

    fn deregister_schema(
        &self,
        name: &str,
        cascade: bool,
    ) -> Result<Option<Arc<dyn SchemaProvider>>> {
        self.bare.deregister_schema(name, cascade)
    }
}

#[derive(Debug)]
struct Schema {
    bare: Arc<dyn SchemaProvider>,
    files: Arc<dyn SchemaProvider>,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn owner_name(&self) -> Option<&str> {
        self.bare.owner_name()
    }

    fn table_names(&self) -> Vec<String> {
        self.bare.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !can_be_file(name) {
            return self.bare.table(name).await;
        }
        if self.bare.table_exist(name) {
            return self.bare.table(name).await;
        }
        if is_atio_table(Path::new(name)) {
            return plan_err!(
                "'{name}' is an atio table, and its files are those of many versions; \
                 read it as atio_table('{name}'), or name it by \
                 CREATE EXTERNAL TABLE t STORED AS ATIO LOCATION '{name}'"
            );
        }
        self.files.table(name).await
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        self.bare.table_type(name).await
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        self.bare.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.bare.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.bare.table_exist(name)
    }
}

/// A file is named with an extension or a folder, a URL with both.
fn can_be_file(name: &str) -> bool {
    name.contains(['.', '/', '\\'])
}

/// The pointer is there once a table has been written, the first records from its creation.
pub(crate) fn is_atio_table(path: &Path) -> bool {
    [
        "_current_version.json",
        "metadata/v0.metadata.json",
        "metadata/v1.metadata.json",
    ]
    .iter()
    .any(|name| path.join(name).is_file())
}
