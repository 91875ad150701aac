//! Encrypted connections: which servers are spoken to, and what is said of the others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atio::{Connection, ErrorKind, Server, Tls};
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificates::Authority;
use super::server_programs::PASSWORD;
use super::site::{Kind, Site};
use crate::query::{row, texts};
use crate::session::run;

/// Runs each check on both kinds of servers.
macro_rules! on_both_servers {
    ($($check:ident),+ $(,)?) => { $(
        mod $check {
            use crate::databases::site::Site;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                if let Some(site) = Site::postgres().await {
                    super::$check(site).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_mariadb() {
                if let Some(site) = Site::mariadb().await {
                    super::$check(site).await;
                }
            }
        }
    )+ };
}

on_both_servers!(
    connection_is_encrypted_as_the_url_says,
    server_of_another_authority_is_refused,
    server_of_another_name_is_refused_unless_any_will_do,
    system_that_does_not_know_the_authority_refuses_the_server,
    authority_whose_file_is_missing_is_named,
    server_that_has_no_tls_is_told_nothing,
    many_rows_pass_encrypted_both_ways,
);

/// What the PostgreSQL client sends to ask for TLS: a length, and a number that is no version.
const POSTGRES_ASKS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

fn session(connection: Connection) -> SessionContext {
    let ctx = SessionContext::new();
    atio::register(&ctx).unwrap();
    atio::register_connection(&ctx, "db", connection).unwrap();
    ctx
}

/// Makes a view that tells who asks how the connection is encrypted.
async fn make_view(site: &Site) {
    let asked = match site.kind {
        Kind::MariaDb(_, _) => {
            "SELECT variable_value AS protocol FROM information_schema.session_status WHERE variable_name = 'Ssl_version'"
        }
        _ => {
            "SELECT coalesce(version, '') AS protocol FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        }
    };
    site.ask(&format!("CREATE VIEW encryption AS {asked}"))
        .await;
}

/// How the server says that a connection of atio is encrypted; empty if it is not.
async fn protocol(site: &Site, connection: Connection) -> Result<String> {
    let ctx = session(connection);
    let stored_as = site.stored_as();
    let open =
        format!("CREATE EXTERNAL TABLE encryption STORED AS {stored_as} LOCATION 'db/encryption'");
    run(&ctx, &open).await?;
    let rows = texts(&run(&ctx, "SELECT protocol FROM encryption").await?);
    assert_eq!(rows.len(), 1, "{rows:?}");
    Ok(rows.into_iter().next().unwrap())
}

/// Why the server is refused.
async fn refusal(site: &Site, connection: Connection) -> String {
    let place = connection.to_string();
    let error = protocol(site, connection).await.unwrap_err();
    let kind = atio::Error::find(&error).unwrap().kind();
    assert_eq!(kind, ErrorKind::Storage, "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD), "{text}");
    let place = format!("of {place}: cannot connect: ");
    let said = error.to_string();
    let (_, why) = said.split_once(&place).unwrap_or_else(|| panic!("{said}"));
    why.to_owned()
}

/// The server by another name, with this protection.
fn reached(site: &Site, host: &str, tls: Tls) -> Connection {
    site.connection_by(Server {
        host: host.to_owned(),
        tls,
        ..site.server()
    })
}

async fn connection_is_encrypted_as_the_url_says(site: Site) {
    make_view(&site).await;
    let authority = site.authority().await;
    let authority = authority.display();
    for (host, query, encrypted) in [
        ("localhost", String::new(), false),
        ("127.0.0.1", String::new(), false),
        ("localhost", "sslmode=disable".to_owned(), false),
        ("localhost", "sslmode=require".to_owned(), true),
        ("127.0.0.1", "ssl-mode=REQUIRED".to_owned(), true),
        ("localhost", format!("sslrootcert={authority}"), true),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={authority}"),
            true,
        ),
    ] {
        let mut url = url::Url::parse(&site.url()).unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_query(Some(&query));
        let connection = Connection::url(url.as_str()).unwrap();
        let protocol = protocol(&site, connection).await.unwrap();
        let expected = if encrypted { "TLSv1.3" } else { "" };
        assert_eq!(protocol, expected, "{host}?{query}");
    }
}

async fn server_of_another_authority_is_refused(site: Site) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("authority.pem");
    std::fs::write(&file, Authority::new("another authority").pem).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let verified = Tls::Verified(Some(file.clone()));
        assert_eq!(
            refusal(&site, reached(&site, host, verified)).await,
            "the server's certificate is refused: no authority that is known here has signed it; name the file of the one that has (sslrootcert)"
        );
    }
}

async fn server_of_another_name_is_refused_unless_any_will_do(site: Site) {
    make_view(&site).await;
    let verified = Tls::Verified(Some(site.authority().await));
    assert_eq!(
        refusal(&site, reached(&site, "127.0.0.1", verified)).await,
        "the server's certificate is refused: certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"localhost\"); connect by a name that it has"
    );
    let any = reached(&site, "127.0.0.1", Tls::Unverified);
    assert_eq!(protocol(&site, any).await.unwrap(), "TLSv1.3");
}

/// That it accepts the server where it knows the authority is shown in `crypto_providers`.
async fn system_that_does_not_know_the_authority_refuses_the_server(site: Site) {
    let why = refusal(&site, reached(&site, "localhost", Tls::Verified(None))).await;
    assert!(why.contains("no authority that is known here"), "{why}");
}

async fn authority_whose_file_is_missing_is_named(site: Site) {
    let missing = PathBuf::from("/no/such/authority.pem");
    let connection = reached(&site, "localhost", Tls::Verified(Some(missing)));
    let error = protocol(&site, connection).await.unwrap_err();
    let kind = atio::Error::find(&error).unwrap().kind();
    assert_eq!(kind, ErrorKind::InvalidInput);
    let said = "the certificates for TLS cannot be used: file '/no/such/authority.pem': No such file or directory";
    assert!(error.to_string().contains(said), "{error}");
}

/// What a server answers that has no TLS, and what it hears from then on.
async fn server_that_has_no_tls_is_told_nothing(site: Site) {
    let is_postgres = matches!(site.kind, Kind::Postgres(_, _));
    for tls in [Tls::Unverified, Tls::Verified(None)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = site.connection_by(Server {
            port: Some(listener.local_addr().unwrap().port()),
            tls,
            ..site.server()
        });
        let server = async {
            let (mut client, _) = listener.accept().await.unwrap();
            if is_postgres {
                let mut asked = [0; 8];
                client.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, POSTGRES_ASKS);
                client.write_all(b"N").await.unwrap();
            } else {
                let mut greeting = b"\x0a5.7.1\0".to_vec();
                greeting.extend(*b"\x01\0\0\0noncenon\0\xff\xf7\x21\x02\0\xff\xc1\x15");
                greeting.extend(*b"\0\0\0\0\0\0\0\0\0\0noncenonceno\0mysql_native_password\0");
                let length = u8::try_from(greeting.len()).unwrap();
                client.write_all(&[length, 0, 0, 0]).await.unwrap();
                client.write_all(&greeting).await.unwrap();
            }
            let mut heard = [0; 64];
            let length = client.read(&mut heard).await.unwrap();
            assert_eq!(heard[..length], *b"");
        };
        let (why, ()) = tokio::join!(refusal(&site, connection), server);
        assert!(why.contains("server does not support TLS"), "{why}");
    }
}

/// More than the buffers of all sockets hold, so that each side waits for the other.
async fn many_rows_pass_encrypted_both_ways(site: Site) {
    let verified = Tls::Verified(Some(site.authority().await));
    let ctx = session(reached(&site, "localhost", verified));
    let stored_as = site.stored_as();
    let rows = "SELECT value AS a, repeat('x', 1000) AS b FROM range(0, 5000)";
    let copy = format!("COPY ({rows}) TO 'db/t' STORED AS {stored_as}");
    run(&ctx, &copy).await.unwrap();
    let open = format!("CREATE EXTERNAL TABLE t STORED AS {stored_as} LOCATION 'db/t'");
    run(&ctx, &open).await.unwrap();
    let totals = "SELECT count(*), sum(a), sum(length(b)) FROM t";
    assert_eq!(row(&ctx, totals).await, "5000|12497500|5000000");
    // A scan that ends early ends its connection.
    assert_eq!(row(&ctx, "SELECT length(b) FROM t LIMIT 1").await, "1000");
    site.alone().await;
}

/// Stands between a client and PostgreSQL, with a certificate of its own.
async fn stand_between(listener: TcpListener, server: TcpStream, authority: PathBuf) {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut asked = [0; 8];
    client.read_exact(&mut asked).await.unwrap();
    client.write_all(b"S").await.unwrap();
    let acceptor = TlsAcceptor::from(Authority::new("nobody").server());
    let mut client = acceptor.accept(client).await.unwrap();
    let mut server = encrypted(server, authority).await;
    // It ends when the server refuses.
    copy_bidirectional(&mut client, &mut server).await.ok();
}

/// An encrypted connection to PostgreSQL.
async fn encrypted(
    mut server: TcpStream,
    authority: PathBuf,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    server.write_all(&POSTGRES_ASKS).await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'S');
    let mut authorities = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).unwrap();
    authorities.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, server).await.unwrap()
}

/// Who signs in by SCRAM says which certificate was shown, and PostgreSQL knows its own. So nobody
/// can stand between, even where the certificate is not verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_of_scram_is_for_the_server_that_has_the_certificate() {
    let Some(site) = Site::postgres().await else {
        return;
    };
    make_view(&site).await;
    let role = format!("{}_scram", site.server().database);
    site.ask(&format!(
        "SET password_encryption = 'scram-sha-256'; CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON encryption TO {role}"
    ))
    .await;
    let direct = Server {
        user: role,
        tls: Tls::Unverified,
        ..site.server()
    };
    let connection = site.connection_by(direct.clone());
    assert_eq!(protocol(&site, connection).await.unwrap(), "TLSv1.3");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = Server {
        port: Some(listener.local_addr().unwrap().port()),
        ..direct
    };
    let server = TcpStream::connect(site.address().unwrap()).await.unwrap();
    let between = tokio::spawn(stand_between(listener, server, site.authority().await));
    let why = refusal(&site, site.connection_by(through)).await;
    assert!(why.contains("SCRAM channel binding check failed"), "{why}");
    let ended = tokio::time::timeout(Duration::from_secs(30), between).await;
    ended.unwrap().unwrap();
}
