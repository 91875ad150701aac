//! Tables on servers that speak S3 and Azure: programs of others, which `.ci/servers` installs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use atio_core::ErrorKind;
use atio_core::format::Version;
use atio_core::log::{OpenOptions, Table, Transaction};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;

use super::commits::writers_beside_each_other;
use super::{append, create, everything, file};
use crate::shared::object_store_servers::{self as servers, ACCOUNT, KEY, SIGNATURE};

/// What the bucket, or container, is called.
const BUCKET: &str = "atio-core-tests";

/// A folder of a bucket, for one test.
struct Place {
    open: Box<dyn Fn() -> Arc<dyn ObjectStore>>,
    folder: String,
}

impl Place {
    fn new(open: impl Fn() -> Arc<dyn ObjectStore> + 'static) -> Self {
        Self {
            open: Box::new(open),
            folder: uuid::Uuid::new_v4().to_string(),
        }
    }

    /// Azure, by Azurite; None if it is not there.
    fn azurite() -> Option<Self> {
        let address = servers::azurite()?;
        make(
            address,
            &format!("/{ACCOUNT}/{BUCKET}?restype=container&{SIGNATURE}"),
        );
        Some(Self::new(move || {
            let store = MicrosoftAzureBuilder::new()
                .with_account(ACCOUNT)
                .with_access_key(KEY)
                .with_endpoint(format!("http://{address}/{ACCOUNT}"))
                .with_allow_http(true)
                .with_container_name(BUCKET)
                .build();
            Arc::new(store.unwrap())
        }))
    }

    /// S3, by moto; None if it is not there.
    fn moto() -> Option<Self> {
        let address = servers::moto()?;
        make(address, &format!("/{BUCKET}"));
        Some(Self::new(move || {
            let store = AmazonS3Builder::new()
                .with_endpoint(format!("http://{address}"))
                .with_allow_http(true)
                .with_region("us-east-1")
                .with_bucket_name(BUCKET)
                .with_access_key_id(ACCOUNT)
                .with_secret_access_key(KEY)
                .build();
            Arc::new(store.unwrap())
        }))
    }

    /// A handle with a client of its own, as another process would have it.
    fn table(&self) -> Arc<Table> {
        let root = object_store::path::Path::from(self.folder.as_str()).join("t");
        let location = format!("store://{BUCKET}/{root}");
        let options = OpenOptions::default();
        Arc::new(Table::new((self.open)(), root, location, None, options))
    }

    /// The names of all objects below `below` in the table.
    async fn names(&self, below: &str) -> Vec<String> {
        let folder = format!("{}/t/{below}", self.folder);
        let listed = (self.open)().list(Some(&folder.into())).try_collect();
        let listed: Vec<_> = listed.await.unwrap();
        listed
            .iter()
            .map(|meta| meta.location.to_string())
            .collect()
    }
}

/// Makes a bucket, or a container; another test may have done so.
fn make(address: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let ask = format!(
        "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1);
    assert!(matches!(status, Some("200" | "201" | "409")), "{answer}");
}

async fn expired_dropped_and_made_again(place: Place) {
    let table = place.table();
    create(&table).await;
    for _ in 0..5 {
        append(&table).await.unwrap();
    }
    let other = place.table();
    assert_eq!(other.newest().await.unwrap().totals().rows, 5);
    // A writer that died leaves a file behind.
    let dead = Transaction::begin(&table);
    let orphan = file(&dead).await.unwrap().path;
    std::mem::forget(dead);
    assert_eq!(place.names("data").await.len(), 6);
    let rows = other.expire(&everything(), None).await.unwrap();
    assert!(rows.iter().any(|row| row.deleted && row.path == orphan));
    assert_eq!(place.names("data").await.len(), 5);
    for handle in [&table, &place.table()] {
        assert_eq!(handle.newest().await.unwrap().totals().rows, 5);
        let gone = handle.version(Version::ZERO).await;
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::VersionExpired);
    }
    append(&table).await.unwrap();
    other.drop_log_at(None).await.unwrap();
    let gone = place.table().newest().await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::TableNotFound);
    create(&place.table()).await;
    append(&place.table()).await.unwrap();
    assert_eq!(place.table().newest().await.unwrap().totals().rows, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_on_moto_is_expired_dropped_and_made_again() {
    if let Some(place) = Place::moto() {
        expired_dropped_and_made_again(place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_on_azurite_is_expired_dropped_and_made_again() {
    if let Some(place) = Place::azurite() {
        expired_dropped_and_made_again(place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_beside_each_other_on_moto() {
    if let Some(place) = Place::moto() {
        writers_beside_each_other(|| place.table()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_beside_each_other_on_azurite() {
    if let Some(place) = Place::azurite() {
        writers_beside_each_other(|| place.table()).await;
    }
}
