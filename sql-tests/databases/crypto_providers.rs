//! Encrypted connections in processes whose hosts have installed cryptography of their own, or none,
//! beside an object store that takes what is installed. What is installed is so for a whole process,
//! so each of them is a child.

use std::path::Path;
use std::process::{Command, Stdio};

use datafusion::prelude::SessionContext;
use object_store::aws::AmazonS3Builder;
use object_store::{Certificate, ClientOptions, ObjectStoreExt};
use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::certificates::Authority;
use super::site::Site;
use crate::query::row;
use crate::session::run;

/// What the host of a child has installed.
const INSTALLED: &str = "ATIO_TEST_CRYPTO_INSTALLED";
/// `STORED AS` of the child's database; its URL is in [`DATABASE`].
const STORED_AS: &str = "ATIO_TEST_CRYPTO_STORED_AS";
const DATABASE: &str = "ATIO_TEST_CRYPTO_DATABASE";
/// What a child says at its end.
const DONE: &str = "child: done";

/// What a child does. In other processes this is no test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(installed) = std::env::var(INSTALLED) else {
        return;
    };
    let provider = match installed.as_str() {
        "nothing" => None,
        "aws-lc-rs" => Some(aws_lc_rs::default_provider()),
        "ring" => Some(ring::default_provider()),
        "no ciphers" => Some(CryptoProvider {
            cipher_suites: Vec::new(),
            ..ring::default_provider()
        }),
        other => panic!("{other}"),
    };
    let is_installed = provider.is_some();
    if let Some(provider) = provider {
        provider.install_default().unwrap();
    }
    use_database().await;
    // The object store could encrypt nothing.
    if installed != "no ciphers" {
        use_object_store().await;
        use_database().await;
    }
    assert_eq!(CryptoProvider::get_default().is_some(), is_installed);
    println!("{DONE}");
}

async fn use_database() {
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    let stored_as = std::env::var(STORED_AS).unwrap();
    let table = format!("env:{DATABASE}/t");
    let options = "OPTIONS (if_exists 'replace')";
    let copy = format!("COPY (SELECT 41 + 1 AS a) TO '{table}' STORED AS {stored_as} {options}");
    run(&ctx, &copy).await.unwrap();
    let open = format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION '{table}'");
    run(&ctx, &open).await.unwrap();
    assert_eq!(row(&ctx, "SELECT a FROM t").await, "42");
}

/// Reads an object from a server of this process, encrypted.
async fn use_object_store() {
    let authority = Authority::new("the authority of the object store");
    let acceptor = TlsAcceptor::from(authority.server());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = async {
        let (client, _) = listener.accept().await.unwrap();
        let mut client = acceptor.accept(client).await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(client.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nobject";
        client.write_all(answer).await.unwrap();
        client.shutdown().await.ok();
    };
    let certificate = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let store = AmazonS3Builder::new()
        .with_endpoint(format!("https://localhost:{port}"))
        .with_bucket_name("bucket")
        .with_region("region")
        .with_skip_signature(true)
        .with_client_options(ClientOptions::new().with_root_certificate(certificate))
        .build()
        .unwrap();
    let read = async {
        let found = store.get(&"object".into()).await.unwrap();
        assert_eq!(found.bytes().await.unwrap(), "object");
    };
    tokio::join!(server, read);
}

/// Runs a child for each thing that a host may have installed.
async fn check_every_host(site: Site) {
    let authority = site.authority().await;
    let mut url = url::Url::parse(&site.url()).unwrap();
    url.set_host(Some("localhost")).unwrap();
    url.set_query(Some("sslmode=verify-full"));
    let stored_as = site.stored_as();
    let children = tokio::task::spawn_blocking(move || {
        let hosts = ["nothing", "aws-lc-rs", "ring", "no ciphers"];
        let failed = hosts.map(|host| failure_of(host, stored_as, url.as_str(), &authority));
        failed.into_iter().flatten().collect::<Vec<_>>()
    });
    let failed = children.await.unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What a child said that failed.
fn failure_of(installed: &str, stored_as: &str, url: &str, authority: &Path) -> Option<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "databases::crypto_providers::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(INSTALLED, installed)
        .env(STORED_AS, stored_as)
        .env(DATABASE, url)
        // The authorities of the system.
        .env("SSL_CERT_FILE", authority)
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    let is_done = output.status.success() && said.contains(DONE);
    (!is_done).then(|| format!("where the host has installed {installed}: {said} {why}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_encrypted_whatever_the_host_has_installed() {
    if let Some(site) = Site::postgres().await {
        check_every_host(site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_encrypted_whatever_the_host_has_installed() {
    if let Some(site) = Site::mariadb().await {
        check_every_host(site).await;
    }
}
