//! Values of an example that nobody has replaced yet.

use std::net::IpAddr;

use super::problem::Fault;

/// Refuses a value that only stands in an example, such as `changeme`, `your-password` or `<token>`.
pub(super) fn refuse(text: &str) -> Result<(), Fault> {
    if is_placeholder(text) {
        return Err(Fault::new("is still the placeholder of an example", "put your own value there"));
    }
    Ok(())
}

fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let whole =
        ["placeholder", "todo", "fixme", "replaceme", "replace-me", "replace_me", "base32_secret_here"];
    let starts = ["changeme", "change-me", "change_me", "your-", "your_", "my-secret-"];
    let ends = ["_here", "-here", "..."];
    whole.contains(&text.as_str())
        || starts.iter().any(|s| text.starts_with(s))
        || ends.iter().any(|s| text.ends_with(s))
        || text.contains('…')
        || text.starts_with('<') && text.ends_with('>')
        || text.len() >= 3 && (text.bytes().all(|b| b == b'x') || text.bytes().all(|b| b == b'*'))
}

/// Whether a domain is reserved for examples (RFC 2606, RFC 6761): no mail will ever come from there.
pub(super) fn is_example_domain(domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    ["example.com", "example.net", "example.org", "example", "invalid"].iter().any(|reserved| {
        domain.strip_suffix(reserved).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Refuses an address of an example domain, unless the server behind it is one of a private network, where such
/// domains are in real use.
pub(super) fn refuse_address(address: &str, host: &str) -> Result<(), Fault> {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    if is_example_domain(domain) && !is_private(host) {
        return Err(Fault::new(
            format!("{address:?} is the placeholder of an example"),
            "put a real address there",
        ));
    }
    Ok(())
}

/// Whether a host is on this machine or in a private network, by its name or address alone.
fn is_private(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => {
            let host = host.to_ascii_lowercase();
            let private = [".localhost", ".test", ".local", ".lan", ".internal", ".home.arpa"];
            !host.contains('.') || private.iter().any(|suffix| host.ends_with(suffix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_values() {
        for text in [
            "changeme",
            "CHANGE_ME_NOW",
            "your-password",
            "<token>",
            "base32_secret_here",
            "xxx",
            "abc…",
            "https://x/...",
        ] {
            assert!(refuse(text).is_err(), "{text}");
        }
        for text in ["hunter2-and-more", "exchange", "yours", "x", "here", "s3cr3t<>", "password"] {
            assert!(refuse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn example_addresses_are_for_private_networks_only() {
        assert!(refuse_address("user@example.com", "smtp.mail.org").is_err());
        for host in ["127.0.0.1", "::1", "10.1.2.3", "mail", "mx.lab.test", "localhost"] {
            assert!(refuse_address("user@example.com", host).is_ok(), "{host}");
        }
        assert!(refuse_address("user@myexample.com", "smtp.mail.org").is_ok());
        assert!(is_example_domain("smtp.Example.ORG."));
        assert!(!is_example_domain("notexample.org"));
    }
}
