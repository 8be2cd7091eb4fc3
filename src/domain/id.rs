//! Identities: which recipient, which probe.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A monitored address, as numbered by the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecipientId(pub i32);

impl fmt::Display for RecipientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One probe: the life of one message.
///
/// A UUID version 8 (RFC 9562, section 5.8): 48 bits of Unix milliseconds, so that identifiers sort by age;
/// 12 random bits; the 32-bit recipient id; 30 random bits. The token in a message is therefore
/// enough to tell the recipient, even when the probe's row is long gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeId(Uuid);

impl ProbeId {
    /// A new identity. `unix_ms` orders, `random` makes it unique; neither is trusted for anything else.
    #[must_use]
    pub fn new(unix_ms: u64, recipient: RecipientId, random: u64) -> Self {
        let recipient = u128::from(recipient.0.cast_unsigned());
        let random = u128::from(random);
        let bits = (u128::from(unix_ms) & 0xffff_ffff_ffff) << 80
            | (random & 0xfff) << 64
            | recipient << 30
            | (random >> 12) & 0x3fff_ffff;
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
    }

    /// The recipient that this probe was made for.
    #[must_use]
    pub fn recipient(self) -> RecipientId {
        let bits = (self.0.as_u128() >> 30) & 0xffff_ffff;
        RecipientId(u32::try_from(bits).unwrap_or_default().cast_signed())
    }

    /// When it was made, in milliseconds since the epoch.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        u64::try_from(self.0.as_u128() >> 80).unwrap_or_default()
    }

    /// As the database knows it.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// An identity read back from the database.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for ProbeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ProbeId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_probe_id_carries_its_recipient(ms in 0u64..1 << 48, recipient: i32, random: u64) {
            let id = ProbeId::new(ms, RecipientId(recipient), random);
            prop_assert_eq!(id.recipient(), RecipientId(recipient));
            prop_assert_eq!(id.uuid().get_version_num(), 8);
            prop_assert_eq!(id.to_string().parse::<ProbeId>().ok(), Some(id));
        }

        #[test]
        fn later_ids_sort_later(a in 0u64..1 << 48, b in 0u64..1 << 48, x: u64, y: u64) {
            prop_assume!(a < b);
            prop_assert!(ProbeId::new(a, RecipientId(1), x) < ProbeId::new(b, RecipientId(1), y));
        }
    }
}
