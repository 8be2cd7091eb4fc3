//! Bodies: in as one JSON object, out as JSON.

use std::fmt;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::web::failure::Failure;
use crate::web::visit::text;

use super::problem::{Part, Problem, Wrong};

/// The JSON object of a request.
///
/// # Errors
/// 415 for another media type, 400 for what is no JSON (RFC 8259) or names a member twice, 422 for JSON that is no object.
pub fn object(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Problem> {
    let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::not_json());
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json.deserialize_any(Once).and_then(|read| json.end().map(|()| read));
    match read {
        Ok(Read::Object(object)) => Ok(object),
        Ok(Read::Else) => {
            let wrong = Wrong::new(Part::Body, "", "is no object; write {\"address\": …}");
            Err(Problem::fields(vec![wrong]))
        }
        // It quotes nothing of the body but the name of a member.
        Err(reason) => Err(Problem::new(StatusCode::BAD_REQUEST, format!("The body is not JSON: {reason}."))),
    }
}

/// An answer.
///
/// # Errors
/// Never in practice: views have no keys that are not text.
pub fn json(status: StatusCode, view: &impl Serialize) -> Result<Response, Failure> {
    let body = serde_json::to_string(view).map_err(|reason| {
        tracing::error!(%reason, "an answer cannot be written as JSON");
        Failure::fault()
    })?;
    Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

enum Read {
    Object(Map<String, Value>),
    Else,
}

/// Reads an object whose members are there once: of two that contradict one another nobody could tell which one counts.
struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Read;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Read, A::Error> {
        let mut object = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if object.insert(name.clone(), value).is_some() {
                return Err(serde::de::Error::custom(format!("the member {name:?} is there twice")));
            }
        }
        Ok(Read::Object(object))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Read, A::Error> {
        while items.next_element::<Value>()?.is_some() {}
        Ok(Read::Else)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Read, E> {
        Ok(Read::Else)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Read, E> {
        Ok(Read::Else)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Read, E> {
        Ok(Read::Else)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Read, E> {
        Ok(Read::Else)
    }

    fn visit_str<E>(self, _: &str) -> Result<Read, E> {
        Ok(Read::Else)
    }

    fn visit_unit<E>(self) -> Result<Read, E> {
        Ok(Read::Else)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn status(kind: Option<&'static str>, body: &[u8]) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        match object(&headers, &Bytes::copy_from_slice(body)) {
            Ok(_) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[test]
    fn one_json_object_is_taken_and_nothing_else() {
        let deep = "[".repeat(100_000);
        for (body, expected) in [
            ("{}", 200),
            (" {\"a\": [1, {\"b\": null}]} ", 200),
            ("", 400),
            ("{", 400),
            ("{}{}", 400),
            ("{\"a\":1,\"a\":2}", 400),
            ("{\"a\":1e999}", 400),
            ("{'a':1}", 400),
            (&deep, 400),
            ("[]", 422),
            ("[{}]", 422),
            ("null", 422),
            ("true", 422),
            ("1", 422),
            ("-1", 422),
            ("1.5", 422),
            ("\"x\"", 422),
        ] {
            assert_eq!(status(Some("application/json"), body.as_bytes()), expected, "{body:.20}");
        }
        assert_eq!(status(Some("application/json"), b"{\"a\": \"\xff\"}"), 400);
        for kind in ["Application/JSON", "application/json; charset=utf-8"] {
            assert_eq!(status(Some(kind), b"{}"), 200, "{kind}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "json"] {
            assert_eq!(status(Some(kind), b"{}"), 415, "{kind}");
        }
        assert_eq!(status(None, b"{}"), 415);
    }
}
