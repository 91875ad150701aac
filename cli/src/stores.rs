//! Connects to the object stores that statements name, with the credentials in their OPTIONS
//! or in the environment.
//!
//! The credentials are taken out of the statement, so that no plan, EXPLAIN or message shows them.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};

use datafusion::catalog::{CatalogProvider, CatalogProviderList};
use datafusion::catalog::{MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider};
use datafusion::common::plan_datafusion_err;
use datafusion::common::{exec_err, plan_err};
use datafusion::config::ExtensionOptions;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::{DataFusionError, Result};
use datafusion::object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Value;
use datafusion_cli::catalog::DynamicObjectStoreCatalog;
use datafusion_cli::object_storage::{
    AwsOptions, GcpOptions, get_cos_object_store_builder, get_gcs_object_store_builder,
    get_oss_object_store_builder, get_s3_object_store_builder, is_stdin_location,
};
use url::{Position, Url};

/// Options of a statement that are meant for its object store.
type StoreOptions = Vec<(String, String)>;

/// What the names of such options begin with.
const NAMESPACES: [&str; 3] = ["aws.", "azure.", "gcp."];

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

    /// [`register`](Self::register) for files of this type that are to be read; `location` may
    /// be that of standard input, and then becomes its URL.
    pub(crate) async fn read(
        &self,
        ctx: &SessionContext,
        location: &mut String,
        file_type: &str,
    ) -> Result<()> {
        self.name_stdin(location, file_type)?;
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
                    self.name_stdin(location, &table.file_type)?;
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

    fn name_stdin(&self, location: &mut String, file_type: &str) -> Result<()> {
        if is_stdin_location(location) {
            *location = self.stdin_as(file_type)?;
        }
        Ok(())
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

/// Removes the `aws.*`, `azure.*` and `gcp.*` options, with their names in lower case.
fn take_store_options(options: &mut Vec<(String, Value)>) -> Result<StoreOptions> {
    options
        .extract_if(.., |(name, _)| {
            let name = name.to_ascii_lowercase();
            NAMESPACES.iter().any(|prefix| name.starts_with(prefix))
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
        "s3" | "s3a" if options.is_empty() && environment_is_enough_for_s3() => {
            atio::connect(ctx, whole_store(url))?;
        }
        "s3" | "s3a" => {
            let mut options = filled(AwsOptions::default(), "aws.", options)?;
            // Only Amazon can be asked for a region.
            let elsewhere = options.endpoint.is_some() || any_is_set(&AWS_ENDPOINTS);
            if elsewhere && options.region.is_none() && !any_is_set(&AWS_REGIONS) {
                options.region = Some("us-east-1".to_owned());
            }
            let builder = get_s3_object_store_builder(url, &options, false)
                .await
                .map_err(|error| cannot_connect_to_s3(url, error))?;
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
        "az" | "azure" | "adl" | "abfs" | "abfss" if !options.is_empty() => {
            let store = Arc::new(azure(url, options)?.build()?);
            ctx.register_object_store(&azure_key(url)?, store);
        }
        // Those that a statement says nothing of are connected to as every host does.
        "gs" | "az" | "azure" | "adl" | "abfs" | "abfss" if options.is_empty() => {
            atio::connect(ctx, whole_store(url))?;
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

/// The variables that say where a store that speaks S3 is.
const AWS_ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];
const AWS_REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// Says what to set where nothing was found, not only where it was looked for last.
fn cannot_connect_to_s3(url: &Url, error: DataFusionError) -> DataFusionError {
    let place = whole_store(url);
    error.context(format!(
        "cannot connect to {place}: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, \
         or AWS_PROFILE, or give them as OPTIONS ('aws.access_key_id' '..', ..)"
    ))
}

/// True if there is nothing to find out by profiles, or by asking the service.
fn environment_is_enough_for_s3() -> bool {
    let signs = any_is_set(&["AWS_ACCESS_KEY_ID"]) && any_is_set(&["AWS_SECRET_ACCESS_KEY"]);
    let signs = signs || any_is_set(&["AWS_SKIP_SIGNATURE"]);
    signs && (any_is_set(&AWS_ENDPOINTS) || any_is_set(&AWS_REGIONS))
}

fn any_is_set(variables: &[&str]) -> bool {
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    variables.iter().any(is_set)
}

/// The URL without its path.
fn whole_store(url: &Url) -> &str {
    &url[..Position::BeforePath]
}

/// The URL under which a container is found: one account has several.
fn azure_key(url: &Url) -> Result<Url> {
    let host = url.host_str().unwrap_or_default();
    let key = match url.username() {
        "" => format!("{}://{host}", url.scheme()),
        container => format!("{}://{container}.{host}", url.scheme()),
    };
    Url::parse(&key).map_err(|_| plan_datafusion_err!("{host} is not the name of a container"))
}

fn azure(url: &Url, options: StoreOptions) -> Result<MicrosoftAzureBuilder> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(whole_store(url));
    for (name, value) in options {
        let Some(key) = name.strip_prefix("azure.") else {
            return plan_err!("option '{name}' is for another kind of object store");
        };
        let key: AzureConfigKey = key
            .parse()
            .map_err(|_| plan_datafusion_err!("option '{name}' is not known"))?;
        builder = builder.with_config(key, value);
    }
    Ok(builder)
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
