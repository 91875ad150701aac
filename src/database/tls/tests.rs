//! Handshakes with servers in memory.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion};
use tempfile::TempDir;

use super::*;
use crate::error::ErrorKind;

/// An authority, and the directory with the file that names it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    directory: TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("authority.pem"), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            directory,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// A client that trusts it.
    fn client(&self) -> ClientConfig {
        let verified = Tls::Verified(Some(self.file()));
        client_config(&verified).unwrap().unwrap()
    }

    fn certificate_for(&self, name: &str, key: &KeyPair) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }
}

/// Shows a certificate, and signs with a key that need not be that of the certificate.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn server_of(
    version: &'static SupportedProtocolVersion,
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = crypto::ring::sign::any_supported_type(&key).unwrap();
    let shows = Shows(Arc::new(CertifiedKey::new(vec![certificate], key)));
    ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shows))
}

/// A server whose certificate nobody has signed but itself.
pub(in crate::database) fn server() -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    server_of(&TLS13, certificate.der().clone(), &key)
}

/// What the client says of the server.
fn handshake(client: ClientConfig, server: ServerConfig, name: &str) -> Result<(), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        let mut sent = sent.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets().unwrap();
        }
        let mut sent = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut sent).unwrap();
        }
        let mut sent = sent.as_slice();
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

#[test]
fn protection_that_is_off_has_no_configuration() {
    assert!(client_config(&Tls::Off).unwrap().is_none());
}

#[test]
fn server_must_have_the_key_of_its_certificate_even_if_it_may_be_any() {
    let authority = Authority::new("ours");
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = authority.certificate_for("localhost", &key);
    for version in [&TLS12, &TLS13] {
        for (of_client, client) in [
            (
                "Unverified",
                client_config(&Tls::Unverified).unwrap().unwrap(),
            ),
            ("Verified", authority.client()),
        ] {
            let server = |key| server_of(version, certificate.clone(), key);
            handshake(client.clone(), server(&key), "localhost").unwrap();
            let error = handshake(client, server(&other), "localhost").unwrap_err();
            assert_eq!(
                error,
                rustls::Error::InvalidCertificate(CertificateError::BadSignature),
                "{of_client}, {version:?}"
            );
        }
    }
}

#[test]
fn refused_certificate_is_told_with_what_to_do() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let key = KeyPair::generate().unwrap();
    let said = |client: ClientConfig, certificate: CertificateDer<'static>, name: &str| {
        let error = handshake(client, server_of(&TLS13, certificate, &key), name);
        said(&io::Error::other(error.unwrap_err())).unwrap()
    };
    let certificate = ours.certificate_for("localhost", &key);
    assert_eq!(
        said(other.client(), certificate.clone(), "localhost"),
        "the server's certificate is refused: no authority that is known here has signed it; name the file of the one that has (sslrootcert)"
    );
    assert_eq!(
        said(ours.client(), certificate, "127.0.0.1"),
        "the server's certificate is refused: certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"localhost\"); connect by a name that it has"
    );
    // A server that shows the certificate of its authority.
    let key = ours.issuer.key();
    let shown = server_of(&TLS13, ours.certificate.der().clone(), key);
    let error = handshake(ours.client(), shown, "localhost").unwrap_err();
    assert_eq!(
        super::said(&error).unwrap(),
        "the server's certificate is refused: it is that of an authority itself; the server needs one that the authority has signed"
    );
}

#[test]
fn every_authority_of_the_file_counts() {
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let both = format!("{}\n{}", other.certificate.pem(), ours.certificate.pem());
    std::fs::write(ours.file(), both).unwrap();
    let key = KeyPair::generate().unwrap();
    for authority in [&ours, &other] {
        let certificate = authority.certificate_for("localhost", &key);
        handshake(
            ours.client(),
            server_of(&TLS13, certificate, &key),
            "localhost",
        )
        .unwrap();
    }
}

#[test]
fn file_without_authorities_is_named_and_not_shown() {
    let authority = Authority::new("ours");
    let key = KeyPair::generate().unwrap().serialize_pem();
    let (file, pem) = (authority.file(), authority.certificate.pem());
    let half = &pem[..pem.len() / 2];
    for (content, why) in [
        (None, "No such file or directory (os error 2)"),
        (Some(""), "it holds no certificate in PEM"),
        (Some("SECRET"), "it holds no certificate in PEM"),
        (Some(key.as_str()), "it holds no certificate in PEM"),
        (Some(half), "it is no whole PEM"),
        (
            Some("-----BEGIN CERTIFICATE-----\nU0VDUkVU\n-----END CERTIFICATE-----\n"),
            "it holds a certificate that cannot be read",
        ),
    ] {
        match content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let error = client_config(&Tls::Verified(Some(file.clone()))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.message(),
            format!(
                "the certificates for TLS cannot be used: file '{}': {why}",
                file.display()
            )
        );
    }
}
