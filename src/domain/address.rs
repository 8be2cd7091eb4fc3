//! Addresses that may stand in a reverse-path, a forward-path and a header.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Octets of a local part (RFC 5321, section 4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;
/// Octets of a domain (RFC 5321, section 4.5.3.1.2).
const DOMAIN_MAX: usize = 255;
/// Octets of an address: a path of 256 octets less its angle brackets (RFC 5321, section 4.5.3.1.3).
const ADDRESS_MAX: usize = 254;
/// Octets of one label of a domain (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// An address in the syntax of RFC 5321, section 4.1.2, that can be written to a server and into a header as it is:
/// ASCII, without control characters or folding, within the length limits.
///
/// Narrower than the RFC in three points: quoted local parts are refused when they hold a backslash, a quote or anything
/// but printable ASCII; of the address literals only IPv4 is known; internationalised addresses (RFC 6531) must be
/// written in their ASCII form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailAddress {
    text: String,
    /// Where the `@` stands.
    at: usize,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("it is empty")]
    Empty,
    #[error("it has characters that no address may have (white space, control characters or angle brackets)")]
    ForbiddenCharacter,
    #[error("it is not ASCII (write an international domain in its xn-- form)")]
    NotAscii,
    #[error("it has no @")]
    NoAt,
    #[error("it is longer than 254 characters")]
    TooLong,
    #[error("the part before the @ is empty, longer than 64 characters or not of the right form")]
    LocalPart,
    #[error("the part after the @ is not a domain")]
    Domain,
}

impl MailAddress {
    /// The address, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`. Its case matters to its server and to nobody else.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What stands after the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }
}

impl FromStr for MailAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::Empty);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>')) {
            return Err(Invalid::ForbiddenCharacter);
        }
        if !text.is_ascii() {
            return Err(Invalid::NotAscii);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(Invalid::NoAt)?;
        if text.len() > ADDRESS_MAX {
            return Err(Invalid::TooLong);
        }
        if local.is_empty() || local.len() > LOCAL_PART_MAX || !(is_dot_string(local) || is_quoted(local)) {
            return Err(Invalid::LocalPart);
        }
        if !is_domain(domain) && !is_ipv4_literal(domain) {
            return Err(Invalid::Domain);
        }
        Ok(Self { text: text.to_owned(), at: local.len() })
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// `Domain` of RFC 5321: labels of letters, digits and inner hyphens. A single label is a domain too.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    text.len() <= DOMAIN_MAX && text.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= LABEL_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// `Dot-string`: atoms (RFC 5322, section 3.2.3) joined by single dots.
fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

fn is_quoted(local: &str) -> bool {
    local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some_and(|inner| {
        !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    })
}

fn is_ipv4_literal(domain: &str) -> bool {
    domain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invalid(text: &str) -> Invalid {
        text.parse::<MailAddress>().unwrap_err()
    }

    #[test]
    fn common_forms_are_addresses() {
        for text in [
            "probe@mail.test",
            "Probe+tag=x@mx-1.mail.test",
            "o'hara_{x}@a.b",
            "root@localhost",
            "\"a@b,c\"@mail.test",
            "probe@[192.0.2.1]",
            "probe@xn--bcher-kva.test",
        ] {
            let address: MailAddress = text.parse().unwrap();
            assert_eq!(address.as_str(), text);
            assert_eq!(format!("{}@{}", address.local_part(), address.domain()), text);
        }
    }

    #[test]
    fn each_fault_has_its_reason() {
        assert_eq!(invalid(""), Invalid::Empty);
        assert_eq!(invalid("probe"), Invalid::NoAt);
        for text in [
            "a b@mail.test",
            "a@mail.test\r\nRCPT TO:<x@y>",
            "a\0@mail.test",
            "<a@mail.test>",
            "a@mail.test ",
        ] {
            assert_eq!(invalid(text), Invalid::ForbiddenCharacter, "{text:?}");
        }
        assert_eq!(invalid("bücher@mail.test"), Invalid::NotAscii);
        for text in [
            "@mail.test",
            ".a@mail.test",
            "a..b@mail.test",
            "a.@mail.test",
            "a@b@mail.test",
            "\"\"@mail.test",
            "\"a\\b\"@x",
        ] {
            assert_eq!(invalid(text), Invalid::LocalPart, "{text:?}");
        }
        for text in [
            "a@",
            "a@.test",
            "a@mail..test",
            "a@mail.test.",
            "a@-mail.test",
            "a@mail_x.test",
            "a@[::1]",
            "a@b,c",
        ] {
            assert_eq!(invalid(text), Invalid::Domain, "{text:?}");
        }
    }

    #[test]
    fn lengths_are_those_of_the_rfc() {
        let domain = format!("{}.{}.{}", "d".repeat(63), "d".repeat(63), "d".repeat(61));
        assert_eq!(domain.len(), 189);
        assert!(format!("{}@{domain}", "l".repeat(64)).parse::<MailAddress>().is_ok());
        assert_eq!(invalid(&format!("{}@{domain}", "l".repeat(65))), Invalid::TooLong);
        assert_eq!(invalid(&format!("{}@mail.test", "l".repeat(65))), Invalid::LocalPart);
        assert_eq!(invalid(&format!("a@{}.test", "d".repeat(64))), Invalid::Domain);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_safe_on_the_wire_and_known_to_the_mail_library(text in "[ -~\r\n\0é@.]{0,40}") {
            if let Ok(address) = text.parse::<MailAddress>() {
                prop_assert!(!address.as_str().contains(['\r', '\n', '\0', '<', '>', ' ']));
                prop_assert!(address.as_str().parse::<lettre::Address>().is_ok());
            }
        }

        #[test]
        fn well_formed_addresses_are_accepted(
            local in "[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\\.[a-z0-9]{1,10}){0,3}",
            domain in "[a-z0-9]{1,20}(\\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?){0,4}",
        ) {
            let address: MailAddress = format!("{local}@{domain}").parse().unwrap();
            prop_assert_eq!(address.local_part(), local);
            prop_assert_eq!(address.domain(), domain);
            prop_assert!(address.as_str().parse::<lettre::Address>().is_ok());
        }
    }
}
