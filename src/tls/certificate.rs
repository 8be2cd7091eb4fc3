//! What a server's certificate says, and what is wrong with it, in plain words.

use jiff::Timestamp;
use rustls::CertificateError as Fault;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// How many of a certificate's names an error message lists.
const NAMES_SHOWN: usize = 5;

/// The end of a certificate's validity in seconds since the epoch (RFC 5280, section 4.1.2.5), or `None` where `der` is
/// not one certificate.
#[must_use]
pub fn not_after(der: &[u8]) -> Option<i64> {
    let certificate = Certificate::from_der(der).ok()?;
    i64::try_from(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs()).ok()
}

/// When the certificate expired that made a handshake fail, in seconds since the epoch; `None` for any other error.
#[must_use]
pub fn expired_at(error: &rustls::Error) -> Option<i64> {
    match error {
        rustls::Error::InvalidCertificate(Fault::ExpiredContext { not_after, .. }) => {
            i64::try_from(not_after.as_secs()).ok()
        }
        _ => None,
    }
}

/// Why a TLS connection failed, in words that tell the operator what to do. Names from a certificate are foreign text:
/// they come out short and printable.
#[must_use]
pub fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(fault) => explain_certificate(fault),
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS here; check the port and the TLS mode (implicit or starttls)"
                .to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the server ended the handshake with alert {alert:?}"),
        rustls::Error::PeerIncompatible(why) => {
            format!("the server offers no TLS 1.2 or 1.3 that we can use ({why:?})")
        }
        rustls::Error::NoCertificatesPresented => "the server presented no certificate".to_owned(),
        other => printable(&other.to_string(), 200),
    }
}

fn explain_certificate(fault: &Fault) -> String {
    match fault {
        Fault::NotValidForNameContext { expected, presented } => {
            format!("the server's certificate is not for {} but for {}", expected.to_str(), names(presented))
        }
        Fault::NotValidForName => "the server's certificate is for another name".to_owned(),
        Fault::UnknownIssuer => {
            "the issuer of the server's certificate is not trusted; if it is a CA of your own, name its file in \
             TLS_CA_FILE"
                .to_owned()
        }
        Fault::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired at {}", date(not_after.as_secs()))
        }
        Fault::Expired => "the server's certificate has expired".to_owned(),
        Fault::NotValidYetContext { not_before, .. } => {
            format!(
                "the server's certificate is not valid before {}; check this machine's clock",
                date(not_before.as_secs())
            )
        }
        Fault::NotValidYet => {
            "the server's certificate is not valid yet; check this machine's clock".to_owned()
        }
        Fault::Revoked => "the server's certificate was revoked".to_owned(),
        Fault::BadSignature => {
            "the server's certificate is not signed by the trusted CA of that name; is TLS_CA_FILE out of date?"
                .to_owned()
        }
        Fault::BadEncoding => "the server's certificate cannot be read".to_owned(),
        Fault::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is that of a CA (self-signed?), not one for a server".to_owned()
        }
        other => format!("the server's certificate is not accepted: {}", printable(&other.to_string(), 200)),
    }
}

fn date(unix_seconds: u64) -> String {
    i64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| "an unknown time".to_owned(), |time| time.to_string())
}

/// rustls presents names as `DnsName("mail.example.org")` and `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        printable(inner.trim_matches('"'), 100)
    };
    let shown: Vec<String> = presented.iter().take(NAMES_SHOWN).map(bare).collect();
    match presented.len().saturating_sub(NAMES_SHOWN) {
        _ if shown.is_empty() => "no name at all".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn printable(text: &str, limit: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(limit).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, date_time_ymd};
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    /// 2030-01-01T00:00:00Z.
    const IN_2030: i64 = 1_893_456_000;

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(names: &[&str], ca: &CertifiedIssuer<'static, KeyPair>) -> CertificateDer<'static> {
        let mut params =
            CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap().der().clone()
    }

    fn verify(
        certificate: &CertificateDer<'_>,
        ca: &CertificateDer<'static>,
        name: &str,
        at: i64,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(at.try_into().unwrap()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(certificate, &[], &name, &[], now).map(|_| ())
    }

    #[test]
    fn a_wrong_name_is_told_with_the_names_it_has() {
        let ca = authority("one");
        let certificate = leaf(&["mail.example.org", "192.0.2.1"], &ca);
        let error = verify(&certificate, ca.der(), "smtp.example.org", IN_2030 - 1).unwrap_err();
        assert_eq!(
            explain(&error),
            "the server's certificate is not for smtp.example.org but for mail.example.org, 192.0.2.1"
        );
        assert_eq!(expired_at(&error), None);
    }

    #[test]
    fn an_expired_certificate_tells_since_when() {
        let ca = authority("one");
        let error = verify(&leaf(&["a.example"], &ca), ca.der(), "a.example", IN_2030 + 86_400).unwrap_err();
        assert_eq!(explain(&error), "the server's certificate expired at 2030-01-01T00:00:00Z");
        assert_eq!(expired_at(&error), Some(IN_2030));
    }

    #[test]
    fn a_certificate_from_the_future_points_at_the_clock() {
        let ca = authority("one");
        let error = verify(&leaf(&["a.example"], &ca), ca.der(), "a.example", 1_000_000_000).unwrap_err();
        assert_eq!(
            explain(&error),
            "the server's certificate is not valid before 2020-01-01T00:00:00Z; check this machine's clock"
        );
    }

    #[test]
    fn unknown_and_self_signed_issuers_are_told_apart() {
        let (ca, other) = (authority("one"), authority("two"));
        let unknown = verify(&leaf(&["a.example"], &other), ca.der(), "a.example", IN_2030 - 1).unwrap_err();
        assert!(explain(&unknown).contains("issuer of the server's certificate is not trusted"), "{unknown}");
        let itself = verify(ca.der(), ca.der(), "a.example", IN_2030 - 1).unwrap_err();
        assert!(explain(&itself).contains("that of a CA"), "{itself:?}");
        let renewed = authority("one");
        let stale = verify(&leaf(&["a.example"], &renewed), ca.der(), "a.example", IN_2030 - 1).unwrap_err();
        assert!(explain(&stale).contains("is TLS_CA_FILE out of date?"), "{stale:?}");
    }

    #[test]
    fn many_names_are_cut_and_made_printable() {
        let presented: Vec<String> = (0..8).map(|i| format!("DnsName(\"h{i}\u{7}.example\")")).collect();
        assert_eq!(
            names(&presented),
            "h0.example, h1.example, h2.example, h3.example, h4.example and 3 more"
        );
        assert_eq!(names(&[]), "no name at all");
    }

    #[test]
    fn the_end_of_validity_is_read_in_both_time_formats() {
        let expiry = |year| {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            not_after(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der())
        };
        assert_eq!(expiry(2030), Some(IN_2030), "UTCTime until 2049");
        assert_eq!(expiry(2050), Some(2_524_608_000), "GeneralizedTime from 2050 on");
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_no_reason_to_panic(
            at in 0usize..400, byte: u8, cut: prop::sample::Index, noise in proptest::collection::vec(any::<u8>(), 0..64)
        ) {
            let ca = authority("one");
            let mut der = ca.der().to_vec();
            prop_assert!(not_after(&der).is_some());
            if let Some(b) = der.get_mut(at) { *b = byte; }
            let _ = not_after(&der);
            der = ca.der().to_vec();
            der.truncate(cut.index(der.len()));
            prop_assert_eq!(not_after(&der), None);
            prop_assert_eq!(not_after(&noise), None);
        }
    }
}
