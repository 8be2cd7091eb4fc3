//! From text to values, one function a kind of value. What is refused says why and what to write instead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;

use super::account::{Cleanup, TlsMode};
use super::placeholder;
use super::problem::Fault;

const DURATION_FORMS: &str = "give seconds, or a number with a unit, such as 90s, 5m, 6h or 7d";

/// A value in a message: quoted, shortened, and without the login part of a URL.
pub(super) fn shown(text: &str) -> String {
    let text = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://…{}", text.get(..scheme).unwrap_or_default(), text.get(at..).unwrap_or_default())
        }
        _ => text.to_owned(),
    };
    let readable = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    let short: String = text.chars().take(60).map(readable).collect();
    let cut = if text.chars().nth(60).is_some() { "…" } else { "" };
    format!("\"{short}{cut}\"")
}

/// Seconds, or numbers with units (ms, s, m, h, d, w), such as `90s` or `1h30m`.
pub fn duration(text: &str) -> Result<Duration, Fault> {
    let fault = || Fault::new(format!("{} is not a duration", shown(text)), DURATION_FORMS);
    let compact: String =
        text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    if let Ok(seconds) = compact.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut rest = compact.as_str();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(fault)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters).ok_or_else(fault)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(fault()),
        };
        let number: u32 = number.parse().map_err(|_| fault())?;
        let part = u64::from(number).checked_mul(millis).map(Duration::from_millis).ok_or_else(fault)?;
        total = total.checked_add(part).ok_or_else(fault)?;
        rest = after;
    }
    if compact.is_empty() { Err(fault()) } else { Ok(total) }
}

/// A duration as one would write it.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_millis() > 0 {
        return format!("{}ms", duration.as_millis());
    }
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

/// A duration between two bounds, both allowed.
pub(super) fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, Fault> {
    let value = duration(text)?;
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    let bound = if value < min { "shorter than" } else { "longer than" };
    let limit = show_duration(if value < min { min } else { max });
    let (min, max) = (show_duration(min), show_duration(max));
    Err(Fault::new(format!("{} is {bound} {limit}", show_duration(value)), format!("choose {min} to {max}")))
}

/// A whole number between two bounds, both allowed.
pub(super) fn number_within(text: &str, min: u32, max: u32) -> Result<u32, Fault> {
    match text.parse::<u32>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(Fault::new(
            format!("{} is not a whole number from {min} to {max}", shown(text)),
            format!("choose {min} to {max}"),
        )),
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err(Fault::new(format!("{} is neither true nor false", shown(text)), "write true or false")),
    }
}

pub(super) fn port(text: &str) -> Result<u16, Fault> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Fault::new(format!("{} is not a port", shown(text)), "give a number from 1 to 65535")),
    }
}

/// A host name or IP address, as it is handed to the resolver and, with TLS, checked against the certificate.
pub(super) fn host(text: &str) -> Result<String, Fault> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    if text.contains("://") || text.contains('/') {
        return Err(Fault::new(format!("{} is a URL", shown(text)), "give the host name alone"));
    }
    if text.contains('@') {
        return Err(Fault::new(format!("{} is an address", shown(text)), "give the host name of the server"));
    }
    if text.contains(':') {
        return Err(Fault::new(
            format!("{} holds a port", shown(text)),
            "give the host name alone and the port apart",
        ));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(Fault::new(
            format!("{} is not a host name", shown(text)),
            "give a name such as mail.your-domain.org, or an IP address",
        ));
    }
    if placeholder::is_example_domain(name) {
        return Err(Fault::new(
            format!("{} is the placeholder of an example", shown(text)),
            "give your server's name",
        ));
    }
    Ok(text.to_owned())
}

/// Whether a host is this machine for certain, without asking a resolver.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let by_name = name == "localhost" || name.ends_with(".localhost");
    by_name || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(super) fn tls_mode(text: &str) -> Result<TlsMode, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "implicit" => Ok(TlsMode::Implicit),
        "starttls" => Ok(TlsMode::StartTls),
        "none" => Ok(TlsMode::None),
        _ => Err(Fault::new(
            format!("{} is not a way to protect a connection", shown(text)),
            "write implicit (TLS from the first byte: ports 465, 993), starttls (587, 143) or none",
        )),
    }
}

pub(super) fn cleanup(text: &str) -> Result<Cleanup, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "delete" => Ok(Cleanup::Delete),
        "seen" => Ok(Cleanup::Seen),
        "keep" => Ok(Cleanup::Keep),
        _ => Err(Fault::new(format!("{} is not known", shown(text)), "write delete, seen or keep")),
    }
}

/// A folder's name, or a special-use attribute (RFC 6154) that tells it on each server.
pub(super) fn folder(text: &str) -> Result<String, Fault> {
    const SPECIAL: [&str; 8] =
        ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash"];
    if text.len() > 255 || text.chars().any(char::is_control) {
        return Err(Fault::new(
            format!("{} is not a folder name", shown(text)),
            "give names of at most 255 characters without control characters",
        ));
    }
    if !text.starts_with('\\') {
        return Ok(text.to_owned());
    }
    SPECIAL.iter().find(|known| known.eq_ignore_ascii_case(text)).map(|known| (*known).to_owned()).ok_or_else(
        || {
            Fault::new(
                format!("{} is not a special-use attribute", shown(text)),
                format!("write one of {}, or the folder's name", SPECIAL.join(" ")),
            )
        },
    )
}

/// An address to listen on. Port 0 lets the system choose.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Fault> {
    let with_address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    with_address.as_deref().unwrap_or(text).parse().map_err(|_| {
        Fault::new(
            format!("{} is not an address to listen on", shown(text)),
            "give IP:PORT, such as 127.0.0.1:5000, 0.0.0.0:5000 or [::]:5000",
        )
    })
}

/// The name of a sender or mailbox: a key of the file and a label of metrics.
pub(super) fn account_name(text: &str) -> Result<(), Fault> {
    let sane = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if sane && begins && text.len() <= 63 {
        return Ok(());
    }
    Err(Fault::new(
        format!("{} is not a name for an account", shown(text)),
        "use at most 63 letters, digits, - _ and ., with a letter or digit first",
    ))
}

/// The name of a recipient: what people read in tables and alerts, and a label of metrics.
pub(super) fn recipient_name(text: &str) -> Result<String, Fault> {
    let length = text.chars().count();
    if (1..=128).contains(&length) && text.trim() == text && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(
        format!("{} is not a name for a recipient", shown(text)),
        "use 1 to 128 characters without control characters or outer spaces",
    ))
}

/// An absolute http or https URL with a host and without a login. The text is not shown: it may be a secret.
pub(super) fn http_url(text: &str) -> Result<Url, Fault> {
    let form = "give an absolute URL such as https://host/path";
    let url = Url::parse(text).map_err(|_| Fault::new("is not a URL", form))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Fault::new("is not an http or https URL", form));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("holds a login", "leave user and password out of the URL"));
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(Fault::new("names no host", form));
    };
    if placeholder::is_example_domain(host) {
        return Err(Fault::new("leads to the host of an example", "put your own URL there"));
    }
    Ok(url)
}

/// Whether a URL leads to this machine for certain.
pub(super) fn leads_to_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])))
}

/// A network in CIDR form, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that count.
    prefix: u8,
}

impl Network {
    /// This machine.
    pub const LOOPBACK: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    /// Whether `ip` belongs to the network. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32_u32.saturating_sub(self.prefix.into());
                net.to_bits().checked_shr(shift) == ip.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128_u32.saturating_sub(self.prefix.into());
                net.to_bits().checked_shr(shift) == ip.to_bits().checked_shr(shift)
            }
            _ => false,
        }
    }
}

pub(super) fn network(text: &str) -> Result<Network, Fault> {
    let fault = || {
        Fault::new(
            format!("{} is not an address or network", shown(text)),
            "give IP addresses or networks, such as 10.0.0.0/8 or fd00::/8",
        )
    };
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
    let address: IpAddr = address.trim().parse().map_err(|_| fault())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.trim().parse::<u8>().ok().filter(|p| *p <= bits).ok_or_else(fault)?,
        None => bits,
    };
    Ok(Network { address, prefix })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [
            ("3600", 3600),
            ("90s", 90),
            ("5m", 300),
            ("6h", 21_600),
            ("7d", 604_800),
            ("1h 30m", 5400),
            ("0", 0),
            ("2 MIN", 120),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        for text in ["", "-5", "5 minutes", "1.5h", "s", "5x", "5m3", "99999999999", "５m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        let inside = |net: &str, ip: &str| network(net).unwrap().contains(ip.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.200.3.4"));
        assert!(inside("10.0.0.0/8", "::ffff:10.200.3.4"));
        assert!(!inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(!inside("0.0.0.0/0", "::1"));
        assert!(inside("::/0", "2001:db8::1"));
        assert!(inside("192.0.2.7", "192.0.2.7"));
        assert!(!inside("192.0.2.7", "192.0.2.6"));
        assert!(inside("fd00::/8", "fdff::1"));
        for text in ["10.0.0.0/33", "::/129", "proxy", "10.0.0.0/", "10.0.0/8"] {
            assert!(network(text).is_err(), "{text}");
        }
        assert!(Network::LOOPBACK.iter().any(|net| net.contains("127.5.5.5".parse().unwrap())));
    }

    #[test]
    fn a_login_in_a_url_is_not_shown() {
        assert_eq!(shown("smtp://me:hunter2@mail"), "\"smtp://…@mail\"");
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"ü".repeat(61)), format!("\"{}…\"", "ü".repeat(60)));
    }

    proptest! {
        #[test]
        fn a_shown_duration_reads_as_itself(ms in 0u64..10_000_000_000) {
            let exact = Duration::from_millis(ms);
            if let Ok(read) = duration(&show_duration(exact)) {
                prop_assert_eq!(read, exact);
            } else {
                prop_assert!(ms > u64::from(u32::MAX));
            }
        }

        #[test]
        fn nothing_makes_a_parser_panic(text in "\\PC{0,40}|[0-9smhdw:./\\[\\]@ -]{0,30}") {
            let _ = (duration(&text), boolean(&text), port(&text), host(&text), tls_mode(&text), folder(&text));
            let _ = (listen(&text), network(&text), http_url(&text), shown(&text), recipient_name(&text));
        }
    }
}
