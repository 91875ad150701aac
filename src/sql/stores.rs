//! Connecting to object stores by their URL, with what the environment says.
//!
//! Each service is a cargo feature. A store that the host registered is never replaced.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionContext;
use object_store::ObjectStore;

use super::location::Location;
use crate::error::{Error, Result};
use crate::features::needs;

/// Held while a store is looked up and registered, so that a URL gets one.
static CONNECTING: Mutex<()> = Mutex::new(());

/// Registers the store of `location`, a table's or a whole store's URL, in `ctx`, unless one
/// is registered for it: so that other tables and `COPY` find it too.
///
/// `s3://bucket/prefix` and `s3a://` need the cargo feature `aws` and take `AWS_*` from the
/// environment; `az://container/prefix` and `abfss://container@account.dfs.core.windows.net/prefix`
/// need `azure` and take `AZURE_*`; `gs://bucket/prefix` needs `gcp` and takes `GOOGLE_*`.
/// Tables that are opened by such a URL do this themselves. A path on the local disk needs
/// no store.
///
/// The connections of this store run on threads of their own. Register stores with it where
/// the program runs on one thread alone: statements that DataFusion runs synchronously, such as
/// `CREATE TABLE .. AS`, block that thread, and a connection that runs on it stands still until
/// the request times out.
///
/// ```
/// let ctx = datafusion::prelude::SessionContext::new();
/// // The local disk is there anyway.
/// atio::connect(&ctx, "/tmp/sales")?;
/// // Without the feature or the credentials it says what is missing.
/// atio::connect(&ctx, "s3://reports/daily").ok();
/// # Ok::<(), atio::Error>(())
/// ```
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the location or the environment does
/// not tell how to connect. Nothing is sent: that the store does not answer is found out by
/// whoever uses it.
pub fn connect(ctx: &SessionContext, location: &str) -> Result<()> {
    let location = Location::parse_store(location)?;
    store(&ctx.runtime_env(), &location).map(drop)
}

/// The store of `location`: the registered one, or else a new one that is registered.
pub(super) fn store(runtime: &RuntimeEnv, location: &Location) -> Result<Arc<dyn ObjectStore>> {
    let registry = &runtime.object_store_registry;
    let url = location.store.as_ref();
    if location.service == location.store.as_str()
        && let Ok(store) = registry.get_store(url)
    {
        return Ok(store);
    }
    let _turn = CONNECTING.lock().unwrap_or_else(PoisonError::into_inner);
    let known = registry.get_store(url).ok();
    if let Some(store) = known {
        return Ok(store);
    }
    // The registry does not look at what is before an '@', so a store that the host registered
    // may be that of another container of the account.
    let service = url::Url::parse(&location.service).ok();
    if service.is_some_and(|service| registry.get_store(&service).is_ok()) {
        return Err(Error::invalid(format!(
            "a store is registered for the account of {}, but not which container it is of: register it for {}",
            location.shown(),
            location.store.as_str()
        )));
    }
    registry.register_store(url, build(location)?);
    // Not the one just made: a registry may wrap what it is given.
    registry.get_store(url).map_err(|_| no_store(location))
}

fn build(location: &Location) -> Result<Arc<dyn ObjectStore>> {
    let scheme = location.service.split(':').next().unwrap_or_default();
    match scheme {
        "s3" | "s3a" => service::s3(location),
        "az" | "azure" | "adl" | "abfs" | "abfss" => service::azure(location),
        "gs" => service::gcs(location),
        "postgres" | "postgresql" => Err(no_database(location, "postgres")),
        "mysql" | "mariadb" => Err(no_database(location, "mysql")),
        "sqlite" => Err(no_database(location, "sqlite")),
        _ => Err(no_store(location)),
    }
}

/// The engine's own message calls this a bug of its own, so it is not repeated.
fn no_store(location: &Location) -> Error {
    Error::invalid(format!(
        "there is no store for {}: register one for {} in the session, or use a local path",
        location.shown(),
        location.store.as_str()
    ))
}

/// Of a database by its URL, whether or not it is built in.
fn no_database(location: &Location, feature: &str) -> Error {
    needs(
        &format!(
            "{} is a database: write to 'connection/table' STORED AS {}, which",
            location.shown(),
            feature.to_uppercase()
        ),
        feature,
    )
}

#[cfg(any(test, not(all(feature = "aws", feature = "azure", feature = "gcp"))))]
fn left_out(location: &Location, feature: &str) -> Error {
    needs(
        &format!(
            "{} is on no store that is registered in the session (for {}), so it",
            location.shown(),
            location.store.as_str()
        ),
        feature,
    )
}

/// Each as its cargo feature has it.
mod service {
    use super::*;

    #[cfg(not(feature = "aws"))]
    pub(super) fn s3(location: &Location) -> Result<Arc<dyn ObjectStore>> {
        Err(left_out(location, "aws"))
    }

    #[cfg(not(feature = "azure"))]
    pub(super) fn azure(location: &Location) -> Result<Arc<dyn ObjectStore>> {
        Err(left_out(location, "azure"))
    }

    #[cfg(not(feature = "gcp"))]
    pub(super) fn gcs(location: &Location) -> Result<Arc<dyn ObjectStore>> {
        Err(left_out(location, "gcp"))
    }

    #[cfg(feature = "aws")]
    pub(super) fn s3(location: &Location) -> Result<Arc<dyn ObjectStore>> {
        use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

        let builder = AmazonS3Builder::from_env()
            .with_url(&location.service)
            .with_retry(cloud::retry())
            .with_http_connector(cloud::connector()?);
        let value = |key| builder.get_config_value(&key);
        let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or(value(AmazonS3ConfigKey::Endpoint));
        cloud::check_http(
            "AWS_ENDPOINT",
            endpoint,
            "AWS_ALLOW_HTTP",
            value(AmazonS3ConfigKey::Client(cloud::ALLOW_HTTP)),
        )?;
        Ok(Arc::new(
            builder
                .build()
                .map_err(|error| cloud::cannot_connect(location, error))?,
        ))
    }

    #[cfg(feature = "azure")]
    pub(super) fn azure(location: &Location) -> Result<Arc<dyn ObjectStore>> {
        use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

        let builder = MicrosoftAzureBuilder::from_env()
            .with_url(&location.service)
            .with_retry(cloud::retry())
            .with_http_connector(cloud::connector()?);
        let value = |key| builder.get_config_value(&key);
        let in_url = location.service.contains('@');
        let emulator = cloud::is_true(value(AzureConfigKey::UseEmulator));
        if !in_url && !emulator && value(AzureConfigKey::AccountName).is_none() {
            return Err(Error::invalid(format!(
                "cannot connect to {}: set AZURE_STORAGE_ACCOUNT_NAME to the account, or name it in the URL as in abfss://container@account.dfs.core.windows.net/table",
                location.shown()
            )));
        }
        cloud::check_http(
            "AZURE_STORAGE_ENDPOINT",
            value(AzureConfigKey::Endpoint).filter(|_| !emulator),
            "AZURE_ALLOW_HTTP",
            value(AzureConfigKey::Client(cloud::ALLOW_HTTP)),
        )?;
        Ok(Arc::new(
            builder
                .build()
                .map_err(|error| cloud::cannot_connect(location, error))?,
        ))
    }

    #[cfg(feature = "gcp")]
    pub(super) fn gcs(location: &Location) -> Result<Arc<dyn ObjectStore>> {
        use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

        let builder = GoogleCloudStorageBuilder::from_env()
            .with_url(&location.service)
            .with_retry(cloud::retry())
            .with_http_connector(cloud::connector()?);
        let value = |key| builder.get_config_value(&key);
        cloud::check_http(
            "GOOGLE_BASE_URL",
            value(GoogleConfigKey::BaseUrl),
            "GOOGLE_ALLOW_HTTP",
            value(GoogleConfigKey::Client(cloud::ALLOW_HTTP)),
        )?;
        Ok(Arc::new(
            builder
                .build()
                .map_err(|error| cloud::cannot_connect(location, error))?,
        ))
    }
}

/// What the services share.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
mod cloud {
    use std::time::Duration;

    use object_store::client::SpawnedReqwestConnector;
    use object_store::{ClientConfigKey, RetryConfig};

    use super::*;

    pub(super) const ALLOW_HTTP: ClientConfigKey = ClientConfigKey::AllowHttp;

    /// Requests are bounded by the client's time-outs (30 seconds, 5 of them to connect,
    /// unless the environment says otherwise), and tries by this, so that a commit whose
    /// answer does not come is looked for in time.
    pub(super) fn retry() -> RetryConfig {
        RetryConfig {
            retry_timeout: Duration::from_secs(60),
            ..RetryConfig::default()
        }
    }

    /// Connections live on a runtime of their own: those of a caller's would stand still
    /// while DataFusion waits in one of its synchronous hooks, and die with it.
    pub(super) fn connector() -> Result<SpawnedReqwestConnector> {
        Ok(SpawnedReqwestConnector::new(
            crate::sql::wait::io_runtime()?.clone(),
        ))
    }

    /// The client's own message says that a scheme is not allowed, and not how to allow it.
    pub(super) fn check_http(
        variable: &str,
        endpoint: Option<String>,
        allow: &str,
        allowed: Option<String>,
    ) -> Result<()> {
        let http = endpoint.is_some_and(|url| url.to_ascii_lowercase().starts_with("http://"));
        if http && !is_true(allowed) {
            return Err(Error::invalid(format!(
                "{variable} is an http URL: set {allow} to true if requests may travel unencrypted"
            )));
        }
        Ok(())
    }

    /// As the services' own clients read it.
    pub(super) fn is_true(value: Option<String>) -> bool {
        let value = value.unwrap_or_default().to_ascii_lowercase();
        matches!(value.as_str(), "1" | "true" | "on" | "yes" | "y")
    }

    pub(super) fn cannot_connect(location: &Location, error: object_store::Error) -> Error {
        atio_core::storage::explain(format!("cannot connect to {}", location.shown()), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_that_is_left_out_names_its_feature() {
        let location = Location::parse_store("s3://bucket/t").unwrap();
        assert_eq!(
            left_out(&location, "aws").to_string(),
            "s3://bucket/t is on no store that is registered in the session (for s3://bucket/), so it needs the feature 'aws' of the crate atio"
        );
    }

    #[test]
    fn database_is_no_store_and_names_its_feature() {
        let runtime = RuntimeEnv::default();
        for (scheme, feature) in [
            ("postgres", "postgres"),
            ("postgresql", "postgres"),
            ("mysql", "mysql"),
            ("mariadb", "mysql"),
            ("sqlite", "sqlite"),
        ] {
            let location = Location::parse_store(&format!("{scheme}://host/db")).unwrap();
            assert_eq!(
                store(&runtime, &location).unwrap_err().to_string(),
                format!(
                    "{scheme}://host/db is a database: write to 'connection/table' STORED AS {}, which needs the feature '{feature}' of the crate atio",
                    feature.to_uppercase()
                )
            );
        }
    }
}
