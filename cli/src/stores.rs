//! Connects to the object stores that statements name, with the credentials in their OPTIONS.
//!
//! The credentials are taken out of the statement, so that no plan, EXPLAIN or message shows them.

use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};

use datafusion::catalog::{CatalogProvider, CatalogProviderList};
use datafusion::catalog::{MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider};
use datafusion::common::plan_datafusion_err;
use datafusion::common::{exec_err, plan_err};
use datafusion::config::ExtensionOptions;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Value;
use datafusion_cli::catalog::DynamicObjectStoreCatalog;
use datafusion_cli::object_storage::{
    AwsOptions, GcpOptions, get_cos_object_store_builder, get_gcs_object_store_builder,
    get_oss_object_store_builder, get_s3_object_store_builder, is_stdin_location,
};

/// Options of a statement that are meant for its object store.
type StoreOptions = Vec<(String, String)>;

/// The connections of a session.
pub(crate) struct Stores {
    stdin_carries_sql: bool,
    /// What standard input was read as; it can be read only once.
    stdin_location: OnceLock<String>,
}

impl Stores {
    /// No connections yet. Standard input can hold statements or rows, not both.
    pub(crate) fn new(stdin_carries_sql: bool) -> Self {
        Self {
            stdin_carries_sql,
            stdin_location: OnceLock::new(),
        }
    }

    /// Connects to the store of `location` with what the environment knows; a local path needs
    /// no connection.
    pub(crate) async fn register(&self, ctx: &SessionContext, location: &str) -> Result<()> {
        register(ctx, location, Vec::new()).await
    }

    /// Connects to the stores that `statement` reads from or writes to.
    pub(crate) async fn connect(
        &self,
        ctx: &SessionContext,
        statement: &mut Statement,
    ) -> Result<()> {
        match statement {
            Statement::CreateExternalTable(table) => {
                let options = take_store_options(&mut table.options)?;
                for location in &mut table.locations {
                    if is_stdin_location(location) {
                        *location = self.stdin_as(&table.file_type)?;
                    }
                    register(ctx, location, options.clone()).await?;
                }
                Ok(())
            }
            Statement::CopyTo(copy) => {
                let options = take_store_options(&mut copy.options)?;
                register(ctx, &copy.target, options).await
            }
            Statement::Explain(explain) => {
                Box::pin(self.connect(ctx, &mut explain.statement)).await
            }
            Statement::Statement(_) | Statement::Reset(_) => Ok(()),
        }
    }

    /// The URL of standard input as a file of this type.
    fn stdin_as(&self, file_type: &str) -> Result<String> {
        if self.stdin_carries_sql || io::stdin().is_terminal() {
            return exec_err!(
                "standard input holds the statements, so it cannot hold rows; \
                 give the statements with -c or -f"
            );
        }
        let location = format!("stdin:///stdin.{}", file_type.to_ascii_lowercase());
        let first = self.stdin_location.get_or_init(|| location.clone());
        if *first != location {
            return exec_err!("standard input was already read, as another type of file");
        }
        Ok(location)
    }
}

/// Removes the `aws.*` and `gcp.*` options, with their names in lower case.
fn take_store_options(options: &mut Vec<(String, Value)>) -> Result<StoreOptions> {
    options
        .extract_if(.., |(name, _)| {
            let name = name.to_ascii_lowercase();
            name.starts_with("aws.") || name.starts_with("gcp.")
        })
        .map(|(name, value)| match value {
            Value::SingleQuotedString(value) => Ok((name.to_ascii_lowercase(), value)),
            Value::Number(..) | Value::Boolean(_) => {
                Ok((name.to_ascii_lowercase(), value.to_string()))
            }
            _ => plan_err!("the value of option '{name}' must be a string in single quotes"),
        })
        .collect()
}

async fn register(ctx: &SessionContext, location: &str, options: StoreOptions) -> Result<()> {
    let Ok(parsed) = ListingTableUrl::parse(location) else {
        // The statement will fail on it with a better message.
        return Ok(());
    };
    let scheme = parsed.scheme();
    let url = parsed.as_ref();
    let registry = &ctx.runtime_env().object_store_registry;
    if options.is_empty() && registry.get_store(url).is_ok() {
        return Ok(());
    }
    match scheme {
        "s3" => {
            let options = filled(AwsOptions::default(), "aws.", options)?;
            let builder = get_s3_object_store_builder(url, &options, false).await?;
            ctx.register_object_store(url, Arc::new(builder.build()?));
        }
        "oss" => {
            let options = filled(AwsOptions::default(), "aws.", options)?;
            let builder = get_oss_object_store_builder(url, &options)?;
            ctx.register_object_store(url, Arc::new(builder.build()?));
        }
        "cos" => {
            let options = filled(AwsOptions::default(), "aws.", options)?;
            let builder = get_cos_object_store_builder(url, &options)?;
            ctx.register_object_store(url, Arc::new(builder.build()?));
        }
        "gs" | "gcs" => {
            let options = filled(GcpOptions::default(), "gcp.", options)?;
            let builder = get_gcs_object_store_builder(url, &options)?;
            ctx.register_object_store(url, Arc::new(builder.build()?));
        }
        _ => {
            if let Some((name, _)) = options.first() {
                return plan_err!("option '{name}' means nothing to a location of type '{scheme}'");
            }
            if matches!(scheme, "http" | "https" | "stdin") {
                register_without_options(ctx, location).await?;
            }
        }
    }
    Ok(())
}

fn filled<O: ExtensionOptions>(mut target: O, namespace: &str, options: StoreOptions) -> Result<O> {
    for (name, value) in options {
        if !name.starts_with(namespace) {
            return plan_err!("option '{name}' is for another kind of object store");
        }
        // The cause may quote the value.
        target.set(&name, &value).map_err(|_| {
            plan_datafusion_err!("option '{name}' is not known, or its value is not valid")
        })?;
    }
    Ok(target)
}

/// Lets `datafusion-cli` register the store as if the URL were a table of an empty catalog.
async fn register_without_options(ctx: &SessionContext, location: &str) -> Result<()> {
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema("empty", Arc::new(MemorySchemaProvider::new()))?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog("empty".to_owned(), Arc::new(catalog));
    let schema = DynamicObjectStoreCatalog::new(Arc::new(catalogs), ctx.state_weak_ref())
        .catalog("empty")
        .and_then(|catalog| catalog.schema("empty"));
    if let Some(schema) = schema {
        schema.table(location).await?;
    }
    Ok(())
}
