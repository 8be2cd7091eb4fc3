//! Preconditions: an edit is of the version that its author has seen (RFC 9110, section 13.1.1; RFC 6585, section 3).

use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::problem::Problem;

/// The entity tag of a version: it names an edit of the settings, not what was observed since.
pub fn tag(version: i32) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// What `If-Match` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum IfMatch {
    /// Whatever version there is.
    Any,
    /// One of these tags, without their quotes.
    Tags(Vec<String>),
}

/// Whether a recipient of this version may be changed.
///
/// # Errors
/// 428 without `If-Match`, 400 for one that cannot be read, 412 where it names another version.
pub fn check(headers: &HeaderMap, version: i32) -> Result<(), Problem> {
    let wanted = read(headers)?;
    let is_met = match wanted {
        IfMatch::Any => true,
        IfMatch::Tags(tags) => tags.contains(&version.to_string()),
    };
    if is_met { Ok(()) } else { Err(failed()) }
}

/// Somebody else was quicker.
pub fn failed() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "The recipient is not in the version that If-Match names: somebody else has changed it. Read it again.",
    )
}

fn read(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    let lines: Vec<&HeaderValue> = headers.get_all(IF_MATCH).iter().collect();
    if lines.is_empty() {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "Send the ETag of the recipient as you have seen it in If-Match, or If-Match: * to change it in any case.",
        ));
    }
    let malformed =
        || Problem::header("If-Match", "must be *, or entity tags in quotes, with commas between them");
    let lines: Option<Vec<&str>> = lines.into_iter().map(|line| line.to_str().ok()).collect();
    // Several lines are one list (RFC 9110, section 5.3).
    let value = lines.ok_or_else(malformed)?.join(",");
    if value.trim() == "*" {
        return Ok(IfMatch::Any);
    }
    tags(&value).map(IfMatch::Tags).ok_or_else(malformed)
}

/// The strong tags of a list. A weak one never matches (RFC 9110, section 13.1.1).
fn tags(list: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = list.trim_start_matches([' ', '\t', ',']);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        let is_tag = |b: u8| b == 0x21 || (0x23..=0x7e).contains(&b) || b >= 0x80;
        if !tag.bytes().all(is_tag) {
            return None;
        }
        if !is_weak {
            tags.push(tag.to_owned());
        }
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn status(lines: &[&'static str]) -> u16 {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, HeaderValue::from_static(line));
        }
        check(&headers, 7).map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn only_the_version_that_was_seen_is_changed() {
        for lines in [
            &["\"7\""][..],
            &["*"],
            &[" * "],
            &["\"6\", \"7\""],
            &["\"6\"", "\"7\""],
            &[", \"7\" ,"],
            &["W/\"7\",\"7\""],
        ] {
            assert_eq!(status(lines), 200, "{lines:?}");
        }
        for lines in [&["\"6\""][..], &["W/\"7\""], &["\"\""], &["\"07\""], &["\"77\""], &["\"7,\""]] {
            assert_eq!(status(lines), 412, "{lines:?}");
        }
        for lines in
            [&["7"][..], &[""], &[","], &["\"7"], &["\"7\" \"8\""], &["*, \"7\""], &["\"7 \""], &["*", "*"]]
        {
            assert_eq!(status(lines), 400, "{lines:?}");
        }
        assert_eq!(status(&[]), 428);
    }
}
