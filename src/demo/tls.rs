//! A certificate authority of our own and one server certificate, made at start and kept in memory.

use std::io;
use std::sync::Arc;

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// What the server's certificate says. A test asks for another name or for an expired one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Subject alternative names, host names and IP addresses.
    pub names: Vec<String>,
    /// Days from now until it expires (to midnight UTC); negative: it has expired.
    pub days: i32,
}

impl Default for Certificate {
    fn default() -> Self {
        Self { names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(), days: 90 }
    }
}

/// The TLS side of the server.
pub(super) struct Tls {
    /// The certificate authority, in PEM, for the clients that shall trust us.
    pub ca_pem: String,
    pub acceptor: TlsAcceptor,
}

impl Tls {
    pub fn new(certificate: &Certificate, now: Timestamp) -> io::Result<Self> {
        let (ca_pem, config) = config(certificate, now).map_err(io::Error::other)?;
        Ok(Self { ca_pem, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

fn config(
    certificate: &Certificate,
    now: Timestamp,
) -> Result<(String, ServerConfig), Box<dyn std::error::Error + Send + Sync>> {
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = |days: i32| {
        let date = today.checked_add(i64::from(days).days())?;
        let month = u8::try_from(date.month()).unwrap_or(1);
        Ok::<_, jiff::Error>(rcgen::date_time_ymd(
            date.year().into(),
            month,
            u8::try_from(date.day()).unwrap_or(1),
        ))
    };

    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "MailDT demo CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = day(-400)?;
    params.not_after = day(4000)?;
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    let issuer = Issuer::new(params, ca_key);

    let mut params = CertificateParams::new(certificate.names.clone())?;
    params.distinguished_name.push(DnType::CommonName, "MailDT demo mail server");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = day(-365)?;
    params.not_after = day(certificate.days)?;
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &issuer)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )?;
    Ok((ca.pem(), config))
}
