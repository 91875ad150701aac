//! Certificates for servers, and the authorities that sign them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;

/// An authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    pub(super) pem: String,
}

/// Files of a server's certificate.
pub(super) struct Certificates {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for the name `localhost`, and its key.
    fn localhost(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What a server in this process needs to be `localhost`.
    pub(super) fn server(&self) -> Arc<ServerConfig> {
        let (certificate, key) = self.localhost();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }
}

impl Certificates {
    /// Writes those of a server that is `localhost`, signed by an authority of its own.
    pub(super) fn for_localhost(directory: &Path, authority: &str) -> Self {
        let authority = Authority::new(authority);
        let (certificate, key) = authority.localhost();
        let write = |name: &str, pem: String| {
            let path = directory.join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let written = Self {
            authority: write("authority.pem", authority.pem),
            certificate: write("server.pem", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
        };
        // PostgreSQL takes no key that others can read.
        std::fs::set_permissions(&written.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        written
    }
}
