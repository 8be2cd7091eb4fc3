//! Server certificates: a good one and the three that must be refused.
//!
//! Each kind belongs to a loopback address of its own on which the same servers listen, so that no test has to change a
//! certificate under another one.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// What a server presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presents {
    Good,
    /// Valid and trusted, for another host.
    WrongName,
    /// Right in all but the authority that signed it.
    Untrusted,
    /// Right in all but its time, which ended in 2020.
    Expired,
}

impl Presents {
    pub const ALL: [Self; 4] = [Self::Good, Self::WrongName, Self::Untrusted, Self::Expired];

    /// The address on which the servers present it.
    pub fn address(self) -> Ipv4Addr {
        let last = match self {
            Self::Good => 1,
            Self::WrongName => 2,
            Self::Untrusted => 3,
            Self::Expired => 4,
        };
        Ipv4Addr::new(127, 0, 0, last)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::WrongName => "wrongname",
            Self::Untrusted => "untrusted",
            Self::Expired => "expired",
        }
    }
}

/// The files, PEM.
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    pub fn write(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let (trusted, trusted_pem) = authority("MailDT test authority");
        let (other, _) = authority("Another authority");
        fs::write(directory.join("ca.pem"), trusted_pem).unwrap();
        for presents in Presents::ALL {
            let issuer = if presents == Presents::Untrusted { &other } else { &trusted };
            let key = KeyPair::generate().unwrap();
            let certificate = leaf(presents).signed_by(&key, issuer).unwrap();
            let path = directory.join(format!("{}.pem", presents.name()));
            fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self { directory: directory.to_owned() }
    }

    /// The authority to trust.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// A server's key followed by its certificate, in one file: Postfix wants the key first.
    pub fn server(&self, presents: Presents) -> PathBuf {
        self.directory.join(format!("{}.pem", presents.name()))
    }
}

fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

fn leaf(presents: Presents) -> CertificateParams {
    let names = match presents {
        Presents::WrongName => vec!["mail.elsewhere.example".to_owned()],
        _ => vec!["localhost".to_owned(), presents.address().to_string()],
    };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "MailDT test server");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after =
        if presents == Presents::Expired { date_time_ymd(2020, 1, 1) } else { date_time_ymd(2100, 1, 1) };
    params
}
