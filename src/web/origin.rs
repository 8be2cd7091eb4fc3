//! Cross-site request forgery: a request that changes something must come from a page of ours.

use axum::http::HeaderMap;
use reqwest::Url;

use super::visit::text;

/// Whether the browser says that the request comes from this site: by Sec-Fetch-Site, which no page can forge, else by an
/// Origin that is the address the browser asked (`host`) or the public one. What says nothing is refused: every browser
/// in use sends Origin with a form.
pub fn is_ours(headers: &HeaderMap, host: Option<&str>, public: &Url) -> bool {
    if headers.contains_key("sec-fetch-site") {
        return text(headers, "sec-fetch-site").is_some_and(|site| matches!(&*site, "same-origin" | "none"));
    }
    let Some(origin) = text(headers, "origin").and_then(|origin| Url::parse(&origin).ok()) else {
        return false;
    };
    if !matches!(origin.scheme(), "http" | "https") {
        return false;
    }
    // The Host does not tell the scheme; its port is left out where it is the scheme's own.
    let asked = host.and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    origin.origin() == public.origin() || asked.is_some_and(|asked| asked.origin() == origin.origin())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn judged(lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let public = Url::parse("https://mail.example.org/").unwrap();
        is_ours(&headers, Some("localhost:5000"), &public)
    }

    #[test]
    fn only_our_own_pages_may_change_something() {
        for lines in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
            &[("origin", "http://localhost:5000")],
            &[("origin", "https://mail.example.org")],
            &[("origin", "https://mail.example.org:443")],
            &[("origin", "https://MAIL.example.org")],
        ] {
            assert!(judged(lines), "{lines:?}");
        }
        for lines in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "http://localhost:5000")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
            &[("origin", "http://mail.example.org")],
            &[("origin", "https://mail.example.org.evil.example")],
            &[("origin", "https://mail.example.org:8443")],
            &[("origin", "http://localhost")],
            &[("origin", "http://localhost:5001")],
            &[("origin", "ftp://localhost:5000")],
            &[("origin", "http://localhost:5000"), ("origin", "https://evil.example")],
        ] {
            assert!(!judged(lines), "{lines:?}");
        }
    }
}
