//! One TLS client configuration for SMTP, IMAP, HTTP and PostgreSQL.

mod certificate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

pub use certificate::{expired_at, explain, not_after};

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("TLS_CA_FILE {path}: {reason}; give a readable file with at least one PEM certificate")]
    CaFile { path: PathBuf, reason: String },
    #[error(
        "no usable certificate store on this system: {0}; install ca-certificates, or name a file in TLS_CA_FILE"
    )]
    NoStore(rustls::Error),
}

/// Builds the configuration: the system's trust anchors and, besides them, those of `ca_file`. Certificates are always
/// verified; there is no switch for that.
///
/// # Errors
/// When `ca_file` cannot be read or holds no certificate, or when the system has no certificate store.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let extra = ca_file.map(read_ca_file).transpose()?.unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(Error::NoStore)?;
    Ok(Arc::new(with_verifier(provider, verifier)))
}

fn with_verifier(provider: Arc<CryptoProvider>, verifier: Verifier) -> ClientConfig {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| unreachable!("ring supports TLS 1.2 and 1.3"))
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth()
}

fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fail = |reason: String| Error::CaFile { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|e| fail(e.to_string()))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| fail(e.to_string()))?;
    if certificates.is_empty() {
        return Err(fail("holds no certificate".to_owned()));
    }
    Ok(certificates)
}
