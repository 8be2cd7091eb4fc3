//! What a reverse proxy tells about the client, and which proxies are believed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use axum::http::HeaderMap;

use crate::config::Proxy;

/// The client as the proxies tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub client: IpAddr,
    pub host: Option<String>,
    pub by_https: bool,
}

/// The client behind `peer`. Anybody can send these headers; only what a believed proxy has added counts, and that is what
/// stands on the right.
pub fn told(proxy: &Proxy, gateway: Option<IpAddr>, peer: IpAddr, headers: &HeaderMap) -> Told {
    let is_trusted = |ip: IpAddr| {
        proxy.trusted.iter().any(|net| net.contains(ip)) || (proxy.gateway && gateway == Some(ip))
    };
    if !proxy.enabled || !is_trusted(peer) {
        return Told { client: peer, host: None, by_https: false };
    }
    let mut client = peer;
    for hop in list(headers, "x-forwarded-for").rev() {
        // What cannot be read came from beyond the last proxy that is believed.
        let Some(ip) = address(&hop) else { break };
        client = ip;
        if !is_trusted(ip) {
            break;
        }
    }
    Told {
        client,
        host: list(headers, "x-forwarded-host").next_back(),
        by_https: list(headers, "x-forwarded-proto")
            .next_back()
            .is_some_and(|p| p.eq_ignore_ascii_case("https")),
    }
}

/// The elements of a header that may come as several lines (RFC 9110, section 5.3).
fn list(headers: &HeaderMap, name: &str) -> impl DoubleEndedIterator<Item = String> {
    let elements: Vec<String> = headers
        .get_all(name)
        .iter()
        // A line that is no text is an element that cannot be read, not one that is not there.
        .map(|line| line.to_str().unwrap_or("?"))
        .flat_map(|line| line.split(','))
        .map(|element| element.trim().to_owned())
        .collect();
    elements.into_iter()
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// The default router of the container that this program runs in: connections that a container engine forwards from outside
/// come from there. `None` outside of containers, where the router is somebody else's machine.
pub fn container_gateway() -> Option<IpAddr> {
    let in_container = ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
    let routes = in_container.then(|| std::fs::read_to_string("/proc/net/route").ok())??;
    default_router(&routes).map(IpAddr::V4)
}

/// The router of the default route in the form of `/proc/net/route`: hexadecimal, in the machine's byte order.
fn default_router(routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000" && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

/// The network whose failed logins are counted together: one IPv4 address, or the /64 that an IPv6 host can choose its
/// addresses from.
pub fn source(client: IpAddr) -> String {
    match client.to_canonical() {
        IpAddr::V4(ip) => format!("{ip}/32"),
        IpAddr::V6(ip) => {
            let prefix = ip.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::config::Network;

    fn loopback_trusted() -> Proxy {
        Proxy { enabled: true, trusted: Network::LOOPBACK.to_vec(), gateway: true }
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn forwarded(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    fn client(proxy: &Proxy, peer: &str, lines: &[&str]) -> String {
        let gateway = Some("172.17.0.1".parse().unwrap());
        told(proxy, gateway, peer.parse().unwrap(), &forwarded(lines)).client.to_string()
    }

    #[test]
    fn the_right_most_hop_that_is_not_trusted_is_the_client() {
        let proxy = loopback_trusted();
        for (peer, lines, expected) in [
            ("127.0.0.1", &["203.0.113.9"][..], "203.0.113.9"),
            ("127.0.0.1", &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["203.0.113.9, 127.0.0.1"], "203.0.113.9"),
            ("172.17.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("127.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("127.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1", &["6.6.6.6, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["6.6.6.6, unknown, 127.0.0.2"], "127.0.0.2"),
            ("127.0.0.1", &["6.6.6.6,"], "127.0.0.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("203.0.113.50", &["6.6.6.6"], "203.0.113.50"),
        ] {
            assert_eq!(client(&proxy, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn nobody_is_believed_without_being_told_to() {
        let disabled = Proxy { enabled: false, ..loopback_trusted() };
        assert_eq!(client(&disabled, "127.0.0.1", &["203.0.113.9"]), "127.0.0.1");
        let named = Proxy { gateway: false, ..loopback_trusted() };
        assert_eq!(client(&named, "172.17.0.1", &["203.0.113.9"]), "172.17.0.1");
        let mut headers = forwarded(&[]);
        headers.insert("x-forwarded-host", HeaderValue::from_static("evil.example"));
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let told = told(&loopback_trusted(), None, "203.0.113.50".parse().unwrap(), &headers);
        assert_eq!((told.host, told.by_https), (None, false));
    }

    #[test]
    fn the_default_router_is_read_from_the_kernel_s_table() {
        let table = "Iface\tDestination\tGateway \tFlags\neth0\t000011AC\t00000000\t0001\neth0\t00000000\t010011AC\t0003\n";
        let expected = if cfg!(target_endian = "little") { "172.17.0.1" } else { "1.0.17.172" };
        assert_eq!(default_router(table).unwrap().to_string(), expected);
        assert_eq!(default_router("Iface\neth0\t000011AC\t00000000\n"), None);
        assert_eq!(default_router(""), None);
    }

    #[test]
    fn an_ipv6_host_cannot_leave_its_network() {
        assert_eq!(source("203.0.113.9".parse().unwrap()), "203.0.113.9/32");
        assert_eq!(source("::ffff:203.0.113.9".parse().unwrap()), "203.0.113.9/32");
        assert_eq!(source("2001:db8:1:2:3:4:5:6".parse().unwrap()), "2001:db8:1:2::/64");
    }

    proptest! {
        /// Whatever a client writes, what its proxy appended decides.
        #[test]
        fn a_client_cannot_choose_its_address(forged in "[ -~]{0,60}", last in any::<u32>()) {
            let real = IpAddr::V4(Ipv4Addr::from(last));
            prop_assume!(!real.is_loopback());
            let headers = forwarded(&[&forged, &real.to_string()]);
            prop_assert_eq!(told(&loopback_trusted(), None, HERE, &headers).client, real);
            let joined = forwarded(&[&format!("{forged}, {real}")]);
            prop_assert_eq!(told(&loopback_trusted(), None, HERE, &joined).client, real);
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert("x-forwarded-for", value.clone());
                headers.insert("x-forwarded-host", value);
            }
            let _ = told(&loopback_trusted(), None, HERE, &headers);
        }
    }
}
