//! Where the tables of these tests are: a bucket on a server, and clients and sessions for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use atio::AtioCatalog;
use bytes::Bytes;
use datafusion::object_store::aws::AmazonS3Builder;
use datafusion::object_store::azure::MicrosoftAzureBuilder;
use datafusion::object_store::gcp::GoogleCloudStorageBuilder;
use datafusion::object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use hyper::{Method, StatusCode};
use url::Url;

use super::bucket::Bucket;
use super::fake_server::{Behind, Listener, send};
use super::fault_script::{Fault, Script};
use super::object_store_servers::{self, ACCOUNT, INSTALLER, KEY, SIGNATURE};
use super::protocol::{Dialect, texts};
use super::request::{Kind, Request};
use super::server_program::{Program, given};

/// What the bucket, or container, is called everywhere.
pub(super) const BUCKET: &str = "atio-tests";

/// Which client speaks to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    S3,
    Gcs,
    Azure,
}

/// A place for tables in a bucket of a server, which no other test uses.
pub(super) struct Server {
    pub(super) wire: Wire,
    address: SocketAddr,
    /// All tables lie in this folder.
    pub(super) folder: String,
    retries: usize,
    timeout: Duration,
    bucket: Option<Arc<Bucket>>,
    listener: Option<Listener>,
    /// The server of this folder that the listener is a proxy of.
    behind: Option<Listener>,
    /// A server of this test alone, and the directory that it serves: ended in this order.
    program: Option<Program>,
    files: Option<tempfile::TempDir>,
}

impl Server {
    fn new(wire: Wire, address: SocketAddr) -> Self {
        Self {
            wire,
            address,
            folder: format!("test-{}", uuid::Uuid::new_v4().simple()),
            retries: 10,
            timeout: Duration::from_secs(30),
            bucket: None,
            listener: None,
            behind: None,
            program: None,
            files: None,
        }
    }

    fn own(wire: Wire, dialect: Dialect) -> Self {
        let bucket = Arc::new(Bucket::new());
        let behind = Behind::Bucket(dialect, BUCKET, Arc::clone(&bucket));
        let listener = Listener::start(behind);
        let mut server = Self::new(wire, listener.address);
        server.bucket = Some(bucket);
        server.listener = Some(listener);
        server
    }

    /// S3, by the server of this folder.
    pub(super) fn s3() -> Self {
        Self::own(Wire::S3, Dialect::S3)
    }

    /// GCS, by the server of this folder.
    pub(super) fn gcs() -> Self {
        Self::own(Wire::Gcs, Dialect::Gcs)
    }

    /// Azure, by Azurite; None if it is not there.
    pub(super) async fn azurite() -> Option<Self> {
        let server = Self::new(Wire::Azure, object_store_servers::azurite()?);
        let path = format!("/{ACCOUNT}/{BUCKET}?restype=container&{SIGNATURE}");
        let (status, _) = server.ask(Method::PUT, &path).await;
        // It is there already for every test but the first.
        assert!(
            matches!(status, StatusCode::CREATED | StatusCode::CONFLICT),
            "Azurite made no container: {status}"
        );
        Some(server)
    }

    /// S3, by moto; None if it is not there.
    pub(super) async fn moto() -> Option<Self> {
        let server = Self::new(Wire::S3, object_store_servers::moto()?);
        let (status, _) = server.ask(Method::PUT, &format!("/{BUCKET}")).await;
        assert_eq!(status, StatusCode::OK, "moto made no bucket");
        Some(server)
    }

    /// S3, by s3s-fs, whose conditional writes race; None if it is not there.
    pub(super) async fn s3s_fs() -> Option<Self> {
        let program = given("ATIO_S3S_FS", INSTALLER)?;
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let command = |port: u16| {
            let port = port.to_string();
            let arguments = ["--host", "127.0.0.1", "--port", &port];
            let keys = ["--access-key", ACCOUNT, "--secret-key", KEY];
            let arguments = arguments.into_iter().chain(keys).map(Into::into);
            let program = [program.clone().into()];
            let root = [root.path().into()];
            program.into_iter().chain(arguments).chain(root).collect()
        };
        let program = Program::start(command).unwrap();
        let mut server = Self::new(Wire::S3, program.address);
        server.files = Some(root);
        server.program = Some(program);
        Some(server)
    }

    /// The same server behind one of ours, whose script then decides about each request.
    pub(super) fn through_a_proxy(mut self) -> Self {
        let proxy = Listener::start(Behind::Server(self.address));
        self.address = proxy.address;
        self.behind = self.listener.replace(proxy);
        self
    }

    /// Clients made from here on send a request at most this often again.
    pub(super) fn with_retries(self, retries: usize) -> Self {
        Self { retries, ..self }
    }

    /// Clients made from here on give up a request after so long.
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The bucket, of a server of this folder.
    pub(super) fn bucket(&self) -> &Bucket {
        self.bucket.as_ref().unwrap()
    }

    /// The script, of a server of this folder or one behind a proxy.
    pub(super) fn script(&self) -> &Script {
        &self.listener.as_ref().unwrap().script
    }

    /// Adds a fault to the script.
    pub(super) fn fault(&self, fault: Fault) {
        self.script().add(fault);
    }

    /// How many requests of a kind came in for keys that contain `key`.
    pub(super) fn seen(&self, kind: Kind, key: &str) -> usize {
        let seen = self.script().seen();
        let seen = seen.iter();
        seen.filter(|seen| seen.kind == kind && seen.key.contains(key))
            .count()
    }

    /// The URL of the bucket.
    pub(super) fn url(&self) -> String {
        self.url_of(BUCKET)
    }

    /// The URL of a bucket that may not exist.
    pub(super) fn url_of(&self, bucket: &str) -> String {
        let scheme = match self.wire {
            Wire::S3 => "s3",
            Wire::Gcs => "gs",
            Wire::Azure => "az",
        };
        format!("{scheme}://{bucket}")
    }

    /// The location of the table called `name`.
    pub(super) fn location(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.url(), self.folder)
    }

    /// A client of its own, as another process would have it.
    pub(super) fn client(&self) -> Arc<dyn ObjectStore> {
        self.client_of(BUCKET)
    }

    fn client_of(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        let endpoint = format!("http://{}", self.address);
        let options = ClientOptions::new()
            .with_allow_http(true)
            .with_timeout(self.timeout);
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(5),
                max_backoff: Duration::from_millis(100),
                base: 2.0,
            },
            max_retries: self.retries,
            retry_timeout: Duration::from_secs(60),
        };
        match self.wire {
            Wire::S3 => Arc::new(
                AmazonS3Builder::new()
                    .with_endpoint(endpoint)
                    .with_region("us-east-1")
                    .with_bucket_name(bucket)
                    .with_access_key_id(ACCOUNT)
                    .with_secret_access_key(KEY)
                    .with_client_options(options)
                    .with_retry(retry)
                    .build()
                    .unwrap(),
            ),
            Wire::Gcs => Arc::new(
                GoogleCloudStorageBuilder::new()
                    .with_service_account_key(
                        serde_json::json!({
                            "gcs_base_url": endpoint,
                            "disable_oauth": true,
                            "client_email": "",
                            "private_key": "",
                            "private_key_id": "",
                        })
                        .to_string(),
                    )
                    .with_bucket_name(bucket)
                    .with_client_options(options)
                    .with_retry(retry)
                    .build()
                    .unwrap(),
            ),
            Wire::Azure => Arc::new(
                MicrosoftAzureBuilder::new()
                    .with_account(ACCOUNT)
                    .with_access_key(KEY)
                    .with_endpoint(format!("{endpoint}/{ACCOUNT}"))
                    .with_container_name(bucket)
                    .with_client_options(options)
                    .with_retry(retry)
                    .build()
                    .unwrap(),
            ),
        }
    }

    /// A session of its own, as another process would have it, with a catalog `w`.
    pub(super) fn session(&self) -> SessionContext {
        let ctx = self.session_of(BUCKET);
        let warehouse = format!("{}/{}/warehouse", self.url(), self.folder);
        let catalog = AtioCatalog::open(&ctx, &warehouse).unwrap();
        ctx.register_catalog("w", Arc::new(catalog));
        ctx
    }

    /// A session for a bucket that may not exist.
    pub(super) fn session_of(&self, bucket: &str) -> SessionContext {
        let config = SessionConfig::new().with_target_partitions(2);
        let ctx = SessionContext::new_with_config(config);
        let url = Url::parse(&self.url_of(bucket)).unwrap();
        ctx.register_object_store(&url, self.client_of(bucket));
        atio::register(&ctx).unwrap();
        ctx
    }

    /// The names of all objects of a table, as the table itself calls them.
    pub(super) async fn names(&self, table: &str) -> Vec<String> {
        let folder = format!("{}/{table}/", self.folder);
        let listed: Vec<_> = self
            .client()
            .list(Some(&folder.trim_end_matches('/').into()))
            .try_collect()
            .await
            .unwrap();
        let names = listed.iter().map(|meta| {
            let name = meta.location.as_ref();
            name.strip_prefix(&folder).unwrap().to_owned()
        });
        names.collect()
    }

    /// The keys of uploads in the folder that were neither completed nor aborted. Azure has
    /// none: there the parts of an upload are of no object until it is complete.
    pub(super) async fn uploads(&self) -> Vec<String> {
        if self.wire == Wire::Azure {
            return Vec::new();
        }
        let (status, body) = self.ask(Method::GET, &format!("/{BUCKET}?uploads")).await;
        assert_eq!(status, StatusCode::OK);
        let mut keys = texts(&body, "Key");
        keys.retain(|key| key.starts_with(&self.folder));
        keys
    }

    /// Sends a request that is not signed.
    async fn ask(&self, method: Method, path: &str) -> (StatusCode, Bytes) {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("host", self.address.to_string().parse().unwrap());
        headers.insert("content-length", 0.into());
        let request = Request {
            kind: Kind::Other,
            method,
            uri: path.parse().unwrap(),
            headers,
            query: Default::default(),
            bucket: String::new(),
            key: String::new(),
            body: Bytes::new(),
        };
        let answer = send(self.address, &request).await.unwrap();
        (answer.status(), answer.into_body())
    }
}
