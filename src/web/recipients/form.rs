//! A form as it came: each field once, as text.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;

use crate::web::failure::Failure;

/// The fields of a form. Read strictly: what no browser sends (a field twice, text that is not UTF-8, a NUL) is refused, as
/// nobody could tell what is meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequest<S> for Typed {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_form = kind.is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        let body = Bytes::from_request(request, state).await.map_err(|_| Failure::bad_form())?;
        // A form of nothing but a button may come without a type.
        if !is_form && !body.is_empty() {
            return Err(Failure::bad_form());
        }
        Self::read(&body).ok_or_else(Failure::bad_form)
    }
}

impl Typed {
    fn read(body: &[u8]) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (pair.get(..at)?, pair.get(at + 1..)?),
                None => (pair, &[][..]),
            };
            let (name, value) = (decoded(name)?, decoded(value)?);
            if name.contains('\0') || value.contains('\0') || fields.insert(name, value).is_some() {
                return None;
            }
        }
        Some(Self(fields))
    }

    /// These fields and no others.
    ///
    /// # Errors
    /// When there is another one.
    pub fn only(self, known: &[&str]) -> Result<Self, Failure> {
        if self.0.keys().all(|name| known.contains(&name.as_str())) {
            Ok(self)
        } else {
            Err(Failure::bad_form())
        }
    }

    /// What stands in a field; nothing where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The version of the recipient that the form was made from.
    ///
    /// # Errors
    /// When there is none.
    pub fn version(&self) -> Result<i32, Failure> {
        self.get("version").parse().map_err(|_| Failure::bad_form())
    }
}

/// Text of `application/x-www-form-urlencoded`; a percent sign that starts no octet stands for itself, as browsers read it.
fn decoded(mut text: &[u8]) -> Option<String> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut octets = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let (octet, rest) = match (first, rest) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest),
            },
            (b'+', _) => (b' ', rest),
            _ => (*first, rest),
        };
        octets.push(octet);
        text = rest;
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Option<Vec<(String, String)>> {
        Typed::read(body).map(|typed| typed.0.into_iter().collect())
    }

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let pairs = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(read(b""), pairs(&[]));
        assert_eq!(read(b"a=1&b=x+y&&c=%C3%BC%26"), pairs(&[("a", "1"), ("b", "x y"), ("c", "ü&")]));
        assert_eq!(read(b"a&b="), pairs(&[("a", ""), ("b", "")]));
        assert_eq!(read(b"a=1=2"), pairs(&[("a", "1=2")]));
        assert_eq!(read(b"a=5%&b=%zz&c=%4"), pairs(&[("a", "5%"), ("b", "%zz"), ("c", "%4")]));
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for body in
            [&b"a=1&a=1"[..], b"a=1&%61=2", b"a=%00", b"%00=a", b"a=%ff", b"a=%C3", b"a=\xff", b"a=\0"]
        {
            assert_eq!(read(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn only_the_fields_of_the_form_are_taken() {
        let typed = || Typed::read(b"name=x&version=4").unwrap();
        assert_eq!(typed().only(&["name", "version", "address"]).unwrap().version().unwrap(), 4);
        assert!(typed().only(&["name"]).is_err());
        for version in ["", "x", "4.0", "99999999999"] {
            assert!(
                Typed::read(format!("version={version}").as_bytes()).unwrap().version().is_err(),
                "{version}"
            );
        }
    }
}
