//! Who may use the admin UI.

use std::fmt;

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::parse;
use super::problem::{Fault, Findings, Origin, Place};
use super::table::Table;
use crate::secret::Secret;

/// Characters of a password.
const PASSWORD_MIN: usize = 12;
/// Octets of a password: more would only keep the hash busy.
const PASSWORD_MAX: usize = 1024;
/// Octets of a TOTP secret that are accepted (80 bit), and that RFC 4226, section 4, asks for (128 bit).
const TOTP_MIN: usize = 10;
const TOTP_GOOD: usize = 16;

/// Passwords that everybody tries first, among those that are long enough.
const KNOWN: [&str; 14] = [
    "administrator",
    "adminadminadmin",
    "admin123456789",
    "password1234",
    "password12345",
    "password123456",
    "passwordpassword",
    "securepassword",
    "supersecretpassword",
    "letmeinletmein",
    "123456789012",
    "1234567890123",
    "qwertyuiop123",
    "maildtmaildt",
];

/// The one account of the admin UI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub user: String,
    /// Always there under [`super::Purpose::Serve`].
    pub credential: Option<Credential>,
    /// `None`: login without a second factor.
    pub totp: Option<TotpSecret>,
}

/// What a login is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Password(Secret),
    /// An argon2id hash as a PHC string; it has been parsed once and found strong enough.
    Hash(Secret),
}

/// The shared secret of RFC 6238, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Zeroizing<Vec<u8>>);

impl TotpSecret {
    /// The octets themselves, for the HMAC and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Admin {
    /// An account that nobody can log in to.
    pub(super) fn closed() -> Self {
        Self { user: "admin".to_owned(), credential: None, totp: None }
    }

    /// Reads the account; a login must be possible and not be guessable.
    pub(super) fn read(top: &Table, findings: &mut Findings) -> Self {
        let user = top.parsed("admin_user", findings, |text| {
            if text.chars().count() <= 64 {
                return Ok(text.to_owned());
            }
            Err(Fault::new(
                format!("{} is longer than 64 characters", parse::shown(text)),
                "choose a shorter name",
            ))
        });
        let password = top.secret("admin_password", findings);
        let hash = top.secret("admin_password_hash", findings);
        let credential = match (password, hash) {
            (Some(password), Some(hash)) => {
                let reason = format!("{} is set as well", hash.place);
                findings.refuse(password.place, Fault::new(reason, "set only one of the two"));
                None
            }
            (Some(password), None) => {
                let checked = check_password(&password.value);
                findings.keep(&password.place, checked).map(|()| Credential::Password(password.value))
            }
            (None, Some(hash)) => {
                let checked = check_hash(&hash.value);
                findings.keep(&hash.place, checked).map(|()| Credential::Hash(hash.value))
            }
            (None, None) => {
                if !top.has_secret("admin_password") && !top.has_secret("admin_password_hash") {
                    let remedy = "set it to at least 12 characters, or ADMIN_PASSWORD_HASH to what `maildt hash-password` prints";
                    findings.refuse(
                        top.place("admin_password"),
                        Fault::new("the admin UI has no password", remedy),
                    );
                }
                None
            }
        };
        Self { user: user.unwrap_or_else(|| "admin".to_owned()), credential, totp: read_totp(top, findings) }
    }
}

/// Refuses a password that is short or known to everybody. The message does not show it.
pub fn check_password(password: &Secret) -> Result<(), Fault> {
    let text = password.reveal();
    let remedy = "choose at least 12 characters that nobody can guess";
    if text.chars().count() < PASSWORD_MIN {
        return Err(Fault::new("is shorter than 12 characters", remedy));
    }
    if text.len() > PASSWORD_MAX {
        return Err(Fault::new("is longer than 1024 bytes", "choose a shorter one"));
    }
    let first = text.chars().next();
    if KNOWN.contains(&text.to_lowercase().as_str()) || text.chars().all(|c| Some(c) == first) {
        return Err(Fault::new("is a password that everybody tries first", remedy));
    }
    Ok(())
}

/// Refuses what is no argon2id hash, or one below m=19456, t=2, p=1, or one so costly that a login would exhaust the
/// machine.
fn check_hash(hash: &Secret) -> Result<(), Fault> {
    let remedy =
        "put there what `maildt hash-password` prints; in a compose .env file in single quotes, for its $";
    let parsed = PasswordHash::new(hash.reveal())
        .map_err(|_| Fault::new("is not a password hash (PHC string)", remedy))?;
    if parsed.algorithm.as_str() != "argon2id" || parsed.version.is_some_and(|version| version != 19) {
        return Err(Fault::new("is not an argon2id hash of version 19", remedy));
    }
    let complete =
        parsed.salt.is_some() && parsed.hash.as_ref().is_some_and(|hash| hash.as_bytes().len() >= 16);
    let params = Params::try_from(&parsed).ok().filter(|_| complete);
    let params = params.ok_or_else(|| Fault::new("is not a complete argon2id hash", remedy))?;
    if params.m_cost() < 19_456 || params.t_cost() < 2 || params.p_cost() < 1 {
        return Err(Fault::new("is weaker than m=19456,t=2,p=1", remedy));
    }
    if params.m_cost() > 1_048_576 || params.t_cost() > 64 || params.p_cost() > 64 {
        return Err(Fault::new("is costlier than m=1048576,t=64,p=64", remedy));
    }
    Ok(())
}

fn read_totp(top: &Table, findings: &mut Findings) -> Option<TotpSecret> {
    if !top.has_secret("admin_totp_secret") {
        let place = Place { setting: "ADMIN_TOTP_SECRET".to_owned(), origin: Origin::Unset };
        findings.warn(&place, "login needs no second factor; `maildt totp` makes a secret for one");
        return None;
    }
    let found = top.secret("admin_totp_secret", findings)?;
    let secret = findings.keep(&found.place, decode_totp(&found.value))?;
    if secret.0.len() < TOTP_GOOD {
        findings.warn(&found.place, "is shorter than 128 bit; `maildt totp` makes a longer one");
    }
    Some(secret)
}

fn decode_totp(text: &Secret) -> Result<TotpSecret, Fault> {
    let remedy = "put there the secret that `maildt totp` prints";
    let compact: Zeroizing<String> = Zeroizing::new(
        text.reveal()
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '='))
            .collect::<String>()
            .to_uppercase(),
    );
    let decoded = BASE32_NOPAD.decode(compact.as_bytes()).map_err(|_| Fault::new("is not base32", remedy))?;
    let secret = TotpSecret(Zeroizing::new(decoded));
    if secret.0.len() < TOTP_MIN {
        return Err(Fault::new("is shorter than 80 bit", remedy));
    }
    Ok(secret)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn totp_secrets_are_read_as_apps_show_them() {
        let plain = decode_totp(&Secret::new("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")).unwrap();
        let shown = decode_totp(&Secret::new("jbsw y3dp ehpk 3pxp-jbsw y3dp ehpk 3pxp==")).unwrap();
        assert_eq!(plain, shown);
        assert_eq!(plain.reveal().len(), 20);
        assert!(decode_totp(&Secret::new("JBSWY3DP")).is_err());
        assert!(decode_totp(&Secret::new("JBSWY3DPEHPK3PX1")).is_err());
    }

    #[test]
    fn guessable_passwords_are_refused() {
        for text in ["", "admin", "elevenchars", "Administrator", "aaaaaaaaaaaaaaaa", "SECUREPASSWORD"] {
            assert!(check_password(&Secret::new(text)).is_err(), "{text}");
        }
        assert!(check_password(&Secret::new("twelve chars")).is_ok());
        assert!(check_password(&Secret::new("x".repeat(1025))).is_err());
    }
}
