//! The signed token that a probe carries: `v1.<probe id>.<mac>`.
//!
//! The mac is an HMAC-SHA-256 over probe id and recipient id, cut to 128 bits (RFC 2104, section 5 allows half the
//! length) and written in lower-case base32, so that it survives a system that folds case. It is checked before
//! anything is looked up.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::id::ProbeId;

const VERSION: &str = "v1.";
const UUID_LENGTH: usize = 36;
const MAC_LENGTH: usize = 26;
/// Length of a token in characters.
pub const LENGTH: usize = VERSION.len() + UUID_LENGTH + 1 + MAC_LENGTH;

/// A token as read from a message: well-formed, not yet verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    probe: ProbeId,
    mac: [u8; 16],
}

/// Text that is not a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a probe token")]
pub struct Malformed;

/// A secret that signs tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Zeroizing<[u8; 32]>);

impl SigningKey {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key that stands for a configured `SECRET_KEY` of any length.
    #[must_use]
    pub fn from_passphrase(text: &str) -> Self {
        let mut digest = Sha256::new_with_prefix(b"maildt signing key v1\0");
        digest.update(text.as_bytes());
        Self::new(digest.finalize().into())
    }

    /// For the database, and for nothing else.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn mac(&self, probe: ProbeId) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_slice())
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(b"maildt probe v1\0");
        mac.update(probe.uuid().as_bytes());
        mac.update(&probe.recipient().0.to_be_bytes());
        mac
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// The current key and those that still verify.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: SigningKey,
    older: Vec<SigningKey>,
}

impl Keyring {
    #[must_use]
    pub fn new(current: SigningKey, older: Vec<SigningKey>) -> Self {
        Self { current, older }
    }

    /// The token of a probe.
    #[must_use]
    pub fn sign(&self, probe: ProbeId) -> Token {
        let full = self.current.mac(probe).finalize().into_bytes();
        let mut mac = [0; 16];
        mac.copy_from_slice(full.get(..16).unwrap_or(&[0; 16]));
        Token { probe, mac }
    }

    /// The probe that a token names, if one of our keys signed it. Compares in constant time.
    #[must_use]
    pub fn verify(&self, token: &Token) -> Option<ProbeId> {
        std::iter::once(&self.current)
            .chain(&self.older)
            .any(|key| key.mac(token.probe).verify_truncated_left(&token.mac).is_ok())
            .then_some(token.probe)
    }
}

/// Lower-case base32 that is read in any case.
fn base32() -> &'static Encoding {
    static ENCODING: std::sync::OnceLock<Encoding> = std::sync::OnceLock::new();
    ENCODING.get_or_init(|| {
        let mut spec = BASE32_NOPAD.specification();
        spec.symbols = spec.symbols.to_ascii_lowercase();
        spec.translate.from.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        spec.translate.to.push_str("abcdefghijklmnopqrstuvwxyz");
        spec.encoding().unwrap_or(BASE32_NOPAD)
    })
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}{}.{}", self.probe, base32().encode(&self.mac))
    }
}

impl FromStr for Token {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let version = text.get(..VERSION.len()).ok_or(Malformed)?;
        let rest = text.get(VERSION.len()..).ok_or(Malformed)?;
        let (uuid, mac) = rest.split_once('.').ok_or(Malformed)?;
        if !version.eq_ignore_ascii_case(VERSION) || uuid.len() != UUID_LENGTH || mac.len() != MAC_LENGTH {
            return Err(Malformed);
        }
        let mac = base32().decode(mac.as_bytes()).map_err(|_| Malformed)?;
        Ok(Self { probe: uuid.parse().map_err(|_| Malformed)?, mac: mac.try_into().map_err(|_| Malformed)? })
    }
}

/// Every distinct token in `text`, in order of appearance, at most `limit`.
#[must_use]
pub fn find(text: &[u8], limit: usize) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    for (start, window) in text.windows(LENGTH).enumerate() {
        if found.len() >= limit {
            break;
        }
        let dots = window.get(2) == Some(&b'.') && window.get(VERSION.len() + UUID_LENGTH) == Some(&b'.');
        if !dots || !stands_alone(text, start) {
            continue;
        }
        let token = std::str::from_utf8(window).ok().and_then(|text| text.parse().ok());
        found.extend(token.filter(|token| !found.contains(token)));
    }
    found
}

/// Whether the token-sized piece at `start` is not the middle of a longer word.
fn stands_alone(text: &[u8], start: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    let after = text.get(start + LENGTH);
    !before.is_some_and(u8::is_ascii_alphanumeric) && !after.is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::id::RecipientId;
    use proptest::prelude::*;

    fn ring(seed: u8) -> Keyring {
        Keyring::new(SigningKey::new([seed; 32]), vec![])
    }

    prop_compose! {
        fn probe()(ms in 0u64..1 << 48, recipient: i32, random: u64) -> ProbeId {
            ProbeId::new(ms, RecipientId(recipient), random)
        }
    }

    proptest! {
        #[test]
        fn a_signed_token_verifies_in_any_case(probe in probe()) {
            let text = ring(1).sign(probe).to_string();
            prop_assert_eq!(text.len(), LENGTH);
            for text in [text.clone(), text.to_ascii_uppercase()] {
                prop_assert_eq!(ring(1).verify(&text.parse().unwrap()), Some(probe));
            }
        }

        #[test]
        fn an_altered_token_never_verifies(probe in probe(), at in 0..LENGTH, to in "[a-z0-9.]") {
            let text = ring(1).sign(probe).to_string();
            let mut altered = text.clone();
            altered.replace_range(at..=at, &to);
            prop_assume!(altered != text);
            // The last base32 digit carries three spare bits; an alteration of those alone is malformed.
            let verified = altered.parse().ok().and_then(|token: Token| ring(1).verify(&token));
            prop_assert_eq!(verified, None);
        }

        #[test]
        fn another_installation_never_verifies(probe in probe()) {
            prop_assert_eq!(ring(2).verify(&ring(1).sign(probe)), None);
            let older = Keyring::new(SigningKey::new([2; 32]), vec![SigningKey::new([1; 32])]);
            prop_assert_eq!(older.verify(&ring(1).sign(probe)), Some(probe));
        }

        #[test]
        fn tokens_are_found_in_any_surroundings(
            probe in probe(), before in "([^a-zA-Z0-9]|.*[^a-zA-Z0-9]|)", after in "([^a-zA-Z0-9].*|)",
        ) {
            let token = ring(1).sign(probe);
            let text = format!("{before}{token}{after}");
            prop_assert!(find(text.as_bytes(), 8).contains(&token), "{text:?}");
        }

        #[test]
        fn arbitrary_text_never_panics(text: Vec<u8>) {
            prop_assert_eq!(find(&text, 8), vec![]);
        }
    }
}
