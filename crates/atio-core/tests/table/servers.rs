//! Tables on servers that speak S3 and Azure: programs of others, which `.ci/servers` installs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use atio_core::ErrorKind;
use atio_core::format::Version;
use atio_core::log::{OpenOptions, Table, Transaction};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;

use super::commits::writers_beside_each_other;
use super::{append, create, everything, file};
use crate::shared::server_program::{Program, given};

const INSTALLER: &str = ".ci/servers";
/// What the bucket, or container, is called.
const BUCKET: &str = "atio-core-tests";
/// The emulator's account and key, which everybody knows.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A signature made with that key which allows everything, so that no test needs to sign.
const SIGNATURE: &str = "sv=2020-04-08&ss=b&srt=sco&sp=rwdlac&se=2999-01-01T00%3A00%3A00Z\
                         &spr=https,http&sig=zMnuc901W%2BYQwFIX247gjtUIywHAblFvz%2FSY8f1DmMM%3D";

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
        static STARTED: OnceLock<Program> = OnceLock::new();
        let program = given("ATIO_AZURITE", INSTALLER)?;
        let address = STARTED
            .get_or_init(|| {
                let command = |port: u16| {
                    let port = port.to_string();
                    let words = [
                        "--disableTelemetry",
                        "--skipApiVersionCheck",
                        "--silent",
                        "--inMemoryPersistence",
                        "--blobHost",
                        "127.0.0.1",
                        "--blobPort",
                        &port,
                    ];
                    let words = words.into_iter().map(Into::into);
                    [program.clone().into()].into_iter().chain(words).collect()
                };
                let started = Program::start(command).unwrap();
                let container = format!("/{ACCOUNT}/{BUCKET}?restype=container&{SIGNATURE}");
                make(started.address, &container, "201");
                started
            })
            .address;
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
        static STARTED: OnceLock<Program> = OnceLock::new();
        let python = given("ATIO_MOTO_PYTHON", INSTALLER)?;
        let address = STARTED
            .get_or_init(|| {
                let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql-tests/servers");
                // Its name must not be that of the package.
                let script = tests.join("serial_moto.py");
                let command = |port: u16| {
                    let port = port.to_string().into();
                    vec![python.clone().into(), script.clone().into(), port]
                };
                let started = Program::start(command).unwrap();
                make(started.address, &format!("/{BUCKET}"), "200");
                started
            })
            .address;
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

/// Makes a bucket, or a container.
fn make(address: SocketAddr, path: &str, expected: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let ask = format!(
        "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.split(' ').nth(1), Some(expected), "{answer}");
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
