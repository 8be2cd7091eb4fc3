//! Foreign text within Discord's markdown and within its lengths.

use super::or_dash;
use crate::notify::text::words::one_line;

/// Length as Discord may count it.
pub(super) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The text as one line in which markdown and mentions mean nothing, at most `max` units long.
///
/// A backslash takes the meaning from any punctuation. An `@` is left alone where it stands in an address, so that a
/// telephone, which shows the backslashes, shows the address as it is.
pub(super) fn escaped(text: &str, max: usize) -> String {
    let line = one_line(text);
    let mut out = String::with_capacity(line.len());
    let (mut taken, mut rest) = (0, line.as_str());
    // Whether everything fits is known at the end: up to here it fits with an ellipsis.
    let mut safe = 0;
    while let Some(c) = rest.chars().next() {
        let escape = is_special(c, rest, out.is_empty());
        taken += c.len_utf16() + usize::from(escape);
        if taken > max {
            out.truncate(safe);
            out.truncate(out.trim_end().len());
            if max > 0 {
                out.push('…');
            }
            return out;
        }
        if escape {
            out.push('\\');
        }
        out.push(c);
        if taken < max {
            safe = out.len();
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

/// Whether a character, the first of `rest`, would mean something.
fn is_special(c: char, rest: &str, starts: bool) -> bool {
    match c {
        '\\' | '*' | '_' | '~' | '`' | '|' | '[' | ']' | '<' | '>' => true,
        '@' => {
            let after = rest.get(1..).unwrap_or_default().to_ascii_lowercase();
            after.starts_with("everyone") || after.starts_with("here")
        }
        // A link, also without brackets.
        ':' => rest.starts_with("://"),
        // A heading, a list.
        '#' | '-' | '+' => starts,
        _ => false,
    }
}

/// Room for saying how many did not fit.
const MORE: usize = 40;

/// Lines, as many as fit.
pub(super) struct Space {
    text: String,
    left: usize,
}

impl Space {
    pub(super) fn new(max: usize) -> Self {
        Self { text: String::new(), left: max }
    }

    /// Adds a line that is escaped already, if it fits. Tells whether.
    pub(super) fn line(&mut self, line: &str) -> bool {
        let needed = units(line) + usize::from(!self.text.is_empty());
        if line.is_empty() || needed > self.left {
            return false;
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.left -= needed;
        true
    }

    /// Adds foreign lines. Where there is no room for all, the rest by name alone, so that nobody is left out who can be
    /// named; and says how many could not.
    pub(super) fn list(&mut self, items: &[String], names: &[String]) {
        const IN_FULL: usize = 8;
        let lines: Vec<String> = items.iter().map(|item| format!("• {}", escaped(item, 300))).collect();
        let whole: usize = lines.iter().map(|line| units(line) + 1).sum();
        let in_full = if whole <= self.left || names.is_empty() { items.len() } else { IN_FULL };
        let total = self.left;
        self.left = total.saturating_sub(MORE);
        let reserved = total - self.left;
        let mut shown = lines.iter().take(in_full).take_while(|line| self.line(line)).count();
        if shown == in_full && shown < items.len() {
            shown += self.names(names.get(shown..).unwrap_or_default());
        }
        self.left += reserved;
        if shown < items.len() {
            self.line(&format!("… and {} more", items.len() - shown));
        }
    }

    /// Adds one line of names, as many as fit. Tells how many did.
    fn names(&mut self, names: &[String]) -> usize {
        let mut line = String::from("also");
        let mut shown = 0;
        for name in names {
            let next = format!("{}{}", if shown == 0 { ": " } else { ", " }, or_dash(escaped(name, 60)));
            if units(&line) + units(&next) + 1 > self.left {
                break;
            }
            line.push_str(&next);
            shown += 1;
        }
        if shown > 0 && self.line(&line) { shown } else { 0 }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_and_mentions_lose_their_meaning_and_addresses_keep_their_look() {
        for (plain, shown) in [
            ("alice@example.org", "alice@example.org"),
            ("@everyone @HERE", "\\@everyone \\@HERE"),
            ("<@12> <#3> </x:4>", "\\<@12\\> \\<#3\\> \\</x:4\\>"),
            (
                "[a](https://b.example/) `c` **d** ||e||",
                "\\[a\\](https\\://b.example/) \\`c\\` \\*\\*d\\*\\* \\|\\|e\\|\\|",
            ),
            ("# big", "\\# big"),
            ("> quote", "\\> quote"),
            ("- item #1 a-b", "\\- item #1 a-b"),
            ("back\\slash a_b ~c~", "back\\\\slash a\\_b \\~c\\~"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(escaped(plain, 200), shown);
        }
    }

    #[test]
    fn a_cut_never_parts_a_character_from_its_backslash() {
        assert_eq!(escaped("ab**", 6), "ab\\*\\*");
        assert_eq!(escaped("ab**", 5), "ab\\*…");
        assert_eq!(escaped("ab**", 4), "ab…");
        assert_eq!(escaped("ab", 2), "ab");
        assert_eq!(escaped("abc", 2), "a…");
        assert_eq!(escaped("😀😀", 4), "😀😀");
        assert_eq!(escaped("😀😀", 3), "😀…");
        assert_eq!(escaped("😀", 1), "…");
        assert_eq!(escaped("abc", 0), "");
    }

    #[test]
    fn a_list_says_how_many_did_not_fit() {
        let items: Vec<String> = (0..100).map(|i| format!("item {i}")).collect();
        let mut space = Space::new(120);
        space.list(&items, &[]);
        let text = space.into_text();
        assert!(units(&text) <= 120);
        let shown = text.matches('•').count();
        assert!(shown >= 5, "{text}");
        assert!(text.ends_with(&format!("… and {} more", 100 - shown)), "{text}");
    }

    #[test]
    fn who_has_no_line_of_his_own_is_named_at_least() {
        let names: Vec<String> = (0..200).map(|i| format!("user{i:04}")).collect();
        let items: Vec<String> = names.iter().map(|name| format!("{name}: not in INBOX or Junk")).collect();
        let mut space = Space::new(3000);
        space.list(&items, &names);
        let text = space.into_text();
        assert!(units(&text) <= 3000);
        assert!(names.iter().all(|name| text.contains(name.as_str())), "{text}");
        let mut space = Space::new(600);
        space.list(&items, &names);
        let text = space.into_text();
        let found = names.iter().filter(|name| text.contains(name.as_str())).count();
        assert!(units(&text) <= 600 && found > 20, "{text}");
        assert!(text.ends_with(&format!("… and {} more", 200 - found)), "{text}");
    }
}
