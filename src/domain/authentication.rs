//! What a server claims to have found out about who sent a message: `Authentication-Results` (RFC 8601) and
//! `ARC-Authentication-Results` (RFC 8617, section 4.1.1).
//!
//! Such a field is worth as much as the server that wrote it, and anybody can write one (RFC 8601, section 7.1).

use serde::{Deserialize, Serialize};

use super::fields::{comment, cut, fields, quoted};

/// Fields that are kept, results of each, and properties of each of these.
const MOST_CLAIMS: usize = 6;
const MOST_RESULTS: usize = 12;
const MOST_PROPERTIES: usize = 6;
/// Octets of a field that are read.
const MOST_TEXT: usize = 4_000;
/// Characters kept of a word, and of a reason.
const MOST_WORD: usize = 120;
const MOST_REASON: usize = 200;

/// One field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who claims it; `None` where the field does not say, as those of Microsoft 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The place in the chain of ARC seals (`i=`), for such a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u8>,
    pub results: Vec<Finding>,
}

/// `dkim=pass reason="…" header.d=example.org`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub method: String,
    pub result: String,
    /// The reason, else the first comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<(String, String)>,
}

/// Reads the claims of a header, newest first, at most `most` fields of it.
#[must_use]
pub fn claims(header: &[u8], most: usize) -> Vec<Claim> {
    fields(header, most)
        .filter_map(|field| {
            let is_arc = field.is("ARC-Authentication-Results");
            (is_arc || field.is("Authentication-Results")).then(|| claim(&field.text(MOST_TEXT), is_arc))?
        })
        .take(MOST_CLAIMS)
        .collect()
}

/// Reads the body of one field; `None` where nothing in it is a result.
#[must_use]
pub fn claim(text: &str, is_arc: bool) -> Option<Claim> {
    let mut parts = parts(text).into_iter().peekable();
    let mut claim = Claim::default();
    if is_arc
        && let Some(Item::Pair(name, number)) = parts.peek().and_then(|part| part.first())
        && name == "i"
    {
        claim.instance = number.parse().ok();
        parts.next();
    }
    // Without a server the results begin at once.
    if let Some(Item::Word(server)) =
        parts.peek().and_then(|part| part.iter().find(|item| !item.is_comment()))
    {
        claim.server = Some(cut(server, MOST_WORD));
        parts.next();
    }
    claim.results = parts.filter_map(|part| finding(&part)).take(MOST_RESULTS).collect();
    (claim.server.is_some() || !claim.results.is_empty()).then_some(claim)
}

fn finding(part: &[Item]) -> Option<Finding> {
    let mut items = part.iter();
    let Some(Item::Pair(method, result)) = items.find(|item| !item.is_comment()) else { return None };
    // `dkim/1`: the version of the method says nothing to anybody.
    let method = method.split('/').next().unwrap_or_default();
    let mut finding =
        Finding { method: method.to_lowercase(), result: result.to_lowercase(), ..Finding::default() };
    let mut said = None;
    for item in items {
        match item {
            Item::Pair(name, value) if name == "reason" => finding.reason = Some(cut(value, MOST_REASON)),
            Item::Pair(name, value) if finding.properties.len() < MOST_PROPERTIES => {
                finding.properties.push((cut(name, MOST_WORD), cut(value, MOST_WORD)));
            }
            Item::Comment(text) => said = said.or(Some(text)),
            Item::Pair(..) | Item::Word(_) => {}
        }
    }
    finding.method = cut(&finding.method, MOST_WORD);
    finding.result = cut(&finding.result, MOST_WORD);
    finding.reason = finding.reason.or_else(|| said.map(|text| cut(text, MOST_REASON)));
    Some(finding)
}

#[derive(Debug, PartialEq, Eq)]
enum Item {
    Word(String),
    Pair(String, String),
    Comment(String),
}

impl Item {
    fn is_comment(&self) -> bool {
        matches!(self, Self::Comment(_))
    }
}

/// The parts between semicolons, cut into items. Spaces and comments may stand around each `=`.
fn parts(text: &str) -> Vec<Vec<Item>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(';') {
            parts.push(std::mem::take(&mut part));
            rest = after;
        } else if let Some((said, after)) = comment(rest) {
            part.push(Item::Comment(said.trim().to_owned()));
            rest = after;
        } else {
            let (name, after) = value(rest, true);
            rest = after;
            let ahead = unspaced(rest);
            if let Some(after) = ahead.strip_prefix('=') {
                let (said, after) = value(unspaced(after), false);
                part.push(Item::Pair(name, said));
                rest = after;
            } else if name.is_empty() {
                // What begins like nothing we know: one character at a time, until something does.
                rest = rest.strip_prefix(|_: char| true).unwrap_or_default();
            } else {
                part.push(Item::Word(name));
            }
        }
        rest = rest.trim_start();
    }
    parts.push(part);
    parts
}

/// Behind spaces and comments.
fn unspaced(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some((_, after)) = comment(rest) {
        rest = after.trim_start();
    }
    rest
}

/// A value at the beginning of the text, and what follows. `=` ends a name, but is part of a value as in base 64.
fn value(text: &str, is_name: bool) -> (String, &str) {
    if let Some((said, rest)) = quoted(text) {
        return (said, rest);
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ';' | '(') || is_name && c == '=');
    let (value, rest) = text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""));
    (value.to_owned(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As one line for each finding.
    fn read(text: &str) -> (Option<String>, Vec<String>) {
        let claim = claim(text, false).unwrap_or_default();
        let said = claim.results.iter().map(|finding| {
            let reason = finding.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let properties: Vec<String> =
                finding.properties.iter().map(|(k, v)| format!(" {k}={v}")).collect();
            format!("{}={}{reason}{}", finding.method, finding.result, properties.concat())
        });
        let said = said.collect();
        (claim.server, said)
    }

    #[test]
    fn the_forms_that_servers_write_are_read() {
        let cases: [(&str, Option<&str>, &[&str]); 9] = [
            ("example.org 1; none", Some("example.org"), &[]),
            (
                // RFC 8601, appendix B.5.
                "example.com; dkim=pass reason=\"good signature\" header.i=@mail-router.example.net; \
                 dkim=fail reason=\"bad signature\" header.i=@newyork.example.com",
                Some("example.com"),
                &[
                    "dkim=pass (good signature) header.i=@mail-router.example.net",
                    "dkim=fail (bad signature) header.i=@newyork.example.com",
                ],
            ),
            (
                // RFC 8601, appendix B.7.
                "foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail \
                 policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462",
                Some("foo.example.net"),
                &[],
            ),
            (
                "mx.google.com; dkim=pass header.i=@example.org header.s=s1 header.b=abc/D==; spf=pass (google.com: domain of \
                 a@example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=a@example.org; \
                 dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.org",
                Some("mx.google.com"),
                &[
                    "dkim=pass header.i=@example.org header.s=s1 header.b=abc/D==",
                    "spf=pass (google.com: domain of a@example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=a@example.org",
                    "dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.org",
                ],
            ),
            (
                // Microsoft 365 does not name itself.
                "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.org; dkim=none (message not signed) \
                 header.d=none;dmarc=bestguesspass action=none header.from=example.org;compauth=pass reason=109",
                None,
                &[
                    "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.org",
                    "dkim=none (message not signed) header.d=none",
                    "dmarc=bestguesspass action=none header.from=example.org",
                    "compauth=pass (109)",
                ],
            ),
            (
                "mx.example.net; dkim=pass (2048-bit key; unprotected) header.d=example.org header.a=rsa-sha256; dkim-atps=neutral",
                Some("mx.example.net"),
                &[
                    "dkim=pass (2048-bit key; unprotected) header.d=example.org header.a=rsa-sha256",
                    "dkim-atps=neutral",
                ],
            ),
            (
                "atlas1.mail.example;\tdkim/1=PASS header.i=@x; dmarc=pass(p=REJECT) header.from=x;",
                Some("atlas1.mail.example"),
                &["dkim=pass header.i=@x", "dmarc=pass (p=REJECT) header.from=x"],
            ),
            ("mx; spf = softfail smtp.mailfrom = \"a b\"@x", Some("mx"), &["spf=softfail smtp.mailfrom=a b"]),
            ("", None, &[]),
        ];
        for (text, server, expected) in cases {
            let (found, said) = read(text);
            assert_eq!(found.as_deref(), server, "{text}");
            assert_eq!(said, expected, "{text}");
        }
    }

    #[test]
    fn a_seal_names_its_place_in_the_chain() {
        let header = b"ARC-Authentication-Results: i=2; mx.example.net; spf=pass\r\nAuthentication-Results: mx.example.net;\r\n\
            \tspf=fail\r\nSubject: x\r\n";
        let found = claims(header, 100);
        let said: Vec<_> = found
            .iter()
            .map(|claim| {
                (claim.instance, claim.server.as_deref(), claim.results.first().map(|f| f.result.as_str()))
            })
            .collect();
        assert_eq!(
            said,
            [(Some(2), Some("mx.example.net"), Some("pass")), (None, Some("mx.example.net"), Some("fail"))]
        );
    }

    proptest! {
        #[test]
        fn nothing_panics_and_everything_is_bounded(text in "[a-z=;()\"\\\\ ./é]{0,200}", is_arc: bool) {
            if let Some(claim) = claim(&text, is_arc) {
                prop_assert!(claim.results.len() <= MOST_RESULTS);
            }
        }

        #[test]
        fn a_hostile_header_gives_little(part in "[a-z=;( ]{1,12}", times in 1_usize..3_000, fields in 1_usize..20) {
            let field = format!("Authentication-Results: mx; {}\r\n", part.repeat(times));
            let found = claims(field.repeat(fields).as_bytes(), 500);
            prop_assert!(found.len() <= MOST_CLAIMS);
            let size = serde_json::to_string(&found).map_or(0, |json| json.len());
            prop_assert!(size < 64 * 1024, "{} octets", size);
        }
    }
}
