//! Where a login may lead: to pages of this site and nowhere else.

/// Octets of a target; our own addresses are far shorter.
const LONGEST: usize = 2048;

/// `target` if it is a path of ours with at most a query, else `/`.
///
/// A browser reads `//host`, `/\host`, and both with tabs or line breaks in between, as another site; some servers and
/// proxies decode a percent-encoded target first. None of our pages needs any of these, so all are refused.
pub fn own(target: &str) -> &str {
    if is_own(target) { target } else { "/" }
}

fn is_own(target: &str) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let plain = |text: &str| {
        text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'#'))
    };
    let segments = path.strip_prefix('/').map(|rest| rest.split('/'));
    let Some(mut segments) = segments else { return false };
    target.len() <= LONGEST
        && plain(path)
        && plain(query)
        // Ids and names of ours need no encoding in a path.
        && !path.contains('%')
        && (path == "/" || segments.all(|segment| !matches!(segment, "" | "." | "..")))
        // Where one has just come from.
        && !matches!(path, "/login" | "/logout")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use reqwest::Url;

    use super::*;

    #[test]
    fn own_paths_are_kept() {
        for target in
            ["/", "/incidents", "/recipients/7/history?state=late&page=2", "/?q=a%20b", "/?next=//x"]
        {
            assert_eq!(own(target), target);
        }
    }

    #[test]
    fn everything_else_leads_to_the_front_page() {
        for target in [
            "",
            "incidents",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "/%2f%2fevil.example",
            "/%5cevil.example",
            "/%09/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "/..//evil.example",
            "/./x",
            "/a//b",
            "/a/../b",
            "/a b",
            "/é",
            "/x#y",
            "/x?y#z",
            "/x?\\",
            "/x?a\r\nb",
            "/login",
            "/login?next=/login",
            "/logout",
            "/@evil.example/..",
            "/x\0",
        ] {
            assert_eq!(own(target), "/", "{target:?}");
        }
        assert_eq!(own(&format!("/{}", "x".repeat(3000))), "/");
    }

    fn leads_home(target: &str) -> bool {
        let base = Url::parse("https://maildt.example:8443/login").unwrap();
        base.join(target).is_ok_and(|url| {
            url.origin() == base.origin() && url.username().is_empty() && !url.path().starts_with("//")
        })
    }

    proptest! {
        #[test]
        fn no_target_leads_away(target in "[/\\\\.:@%?#a-z0-9\\t\\r\\n ]{0,24}|/[/\\\\%25cfF.]{0,12}[a-z.]{0,12}|\\PC{0,24}") {
            prop_assert!(leads_home(own(&target)), "{:?}", own(&target));
        }
    }
}
