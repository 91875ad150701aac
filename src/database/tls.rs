//! How a connection to a server is encrypted.
//!
//! Both clients get the configuration that is made here. It brings its own cryptography: what the
//! process has installed is the host's, and may be nothing, or something else.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::server::Tls;
use crate::error::{Error, Result};

/// The configuration for this protection; None for a connection that is not encrypted.
///
/// # Errors
///
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the file with the authority cannot be used.
pub(super) fn client_config(protection: &Tls) -> Result<Option<ClientConfig>> {
    let provider = crypto::ring::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::invalid(format!("TLS cannot be used: {error}")))?;
    let builder = match protection {
        Tls::Auto | Tls::Off => return Ok(None),
        Tls::Unverified => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms))),
        Tls::Verified(file) => builder.with_root_certificates(authorities(file.as_deref())?),
    };
    Ok(Some(builder.with_no_client_auth()))
}

/// The authorities of the system, and those of the file.
fn authorities(file: Option<&Path>) -> Result<RootCertStore> {
    let mut authorities = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // Others of them may do. If none does, the server's certificate is refused.
    for error in system.errors {
        log::warn!("cannot read authorities of the system for TLS: {error}");
    }
    authorities.add_parsable_certificates(system.certs);
    if let Some(file) = file {
        add_file(&mut authorities, file).map_err(|why| {
            let file = file.display().to_string();
            Error::invalid(format!(
                "the certificates for TLS cannot be used: file '{}': {why}",
                file.escape_debug()
            ))
        })?;
    }
    Ok(authorities)
}

fn add_file(authorities: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let before = authorities.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        // Nothing of the file is repeated: it may hold a key.
        let certificate = certificate.map_err(|_| "it is no whole PEM")?;
        authorities
            .add(certificate)
            .map_err(|_| "it holds a certificate that cannot be read")?;
    }
    match authorities.len() > before {
        true => Ok(()),
        false => Err("it holds no certificate in PEM".to_owned()),
    }
}

/// Takes the certificate of any server, but only from a server that has its key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// What went wrong with TLS, and what to do; None if TLS is not the cause of the error.
pub(super) fn said(error: &(dyn StdError + 'static)) -> Option<String> {
    let found = cause(error)?;
    let rustls::Error::InvalidCertificate(why) = found else {
        return Some(format!("TLS failed: {found}"));
    };
    let text = why.to_string();
    let refusal = match why {
        CertificateError::UnknownIssuer => {
            "no authority that is known here has signed it; name the file of the one that has (sslrootcert)".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{text}; connect by a name that it has")
        }
        // The library below has kinds for these, but this one hands on their text alone.
        _ if text.contains("CaUsedAsEndEntity") => {
            "it is that of an authority itself; the server needs one that the authority has signed".to_owned()
        }
        _ if text.contains("UnsupportedCertVersion") => {
            "it is of X.509 version 1; the server needs one of version 3".to_owned()
        }
        _ => format!("{text}; the server needs another one"),
    };
    Some(format!("the server's certificate is refused: {refusal}"))
}

/// The error of TLS among the causes of an error.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // An error of I/O does not name what it wraps as its source.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(|error| error.get_ref());
    match wrapped {
        Some(wrapped) => cause(wrapped),
        None => cause(error.source()?),
    }
}

#[cfg(test)]
pub(super) mod tests;
