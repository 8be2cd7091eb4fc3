//! Times, durations, lists and foreign text in plain words.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::alert::Concerned;
use crate::domain::token;

/// Characters of a name in a line that must stay short.
const NAME_MAX: usize = 60;
/// Characters of foreign text in one place; a reply has at most 1,000.
const FOREIGN_MAX: usize = 1000;

/// Text that others wrote, as one line: no line ends, no control or invisible characters, nothing that reorders what stands
/// around it, and no token, so that no alert can be taken for a probe.
#[must_use]
pub(in crate::notify) fn foreign(text: &str) -> String {
    let mut line = cut(&one_line(text), FOREIGN_MAX);
    for token in token::find(line.as_bytes(), 8) {
        let token = token.to_string();
        while let Some(at) = line.to_ascii_lowercase().find(&token) {
            line.replace_range(at..at + token.len(), "[token]");
        }
    }
    line
}

/// Joins what white space parts by single spaces and drops what cannot be seen.
#[must_use]
pub(in crate::notify) fn one_line(text: &str) -> String {
    let seen: String = text
        .chars()
        .filter_map(|c| match c {
            c if c.is_whitespace() => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Zero-width characters, bidirectional controls (which can make a text read as another), fillers and tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// At most `max` characters, the last an ellipsis where there were more.
#[must_use]
pub(in crate::notify) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// A name where space is short.
#[must_use]
pub(super) fn name(text: &str) -> String {
    let name = cut(&foreign(text), NAME_MAX);
    if name.is_empty() { "(no name)".to_owned() } else { name }
}

/// A recipient: its name, and its address where that says more.
#[must_use]
pub(super) fn recipient(concerned: &Concerned) -> String {
    let shown = name(&concerned.name);
    if concerned.name == concerned.address || concerned.address.is_empty() {
        shown
    } else {
        format!("{shown} ({})", foreign(&concerned.address))
    }
}

/// `1 probe`, `2 probes`.
#[must_use]
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{number} {word}")
}

/// `once`, `twice`, `3 times`.
#[must_use]
pub(super) fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

/// `INBOX`, `INBOX or Junk`, `INBOX, Junk or Spam`; `of` at most, the rest as a number.
#[must_use]
pub(super) fn listed(items: &[String], last: &str, of: usize) -> String {
    let shown: Vec<String> = items.iter().take(of).map(|item| foreign(item)).collect();
    if items.len() > of {
        return format!("{} {last} {} more", shown.join(", "), items.len() - of);
    }
    match shown.split_last() {
        None => "no folder".to_owned(),
        Some((only, [])) => only.clone(),
        Some((end, before)) => format!("{} {last} {end}", before.join(", ")),
    }
}

/// `a, b, c, …`: three names at most.
#[must_use]
pub(super) fn few(names: &[String]) -> String {
    let mut shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    if names.len() > shown.len() {
        shown.push("…");
    }
    shown.join(", ")
}

/// A length of time: exact while it is short, in two units later.
#[must_use]
pub(in crate::notify) fn duration(duration: Duration) -> String {
    let pair = |big: u64, unit: &str, small: u64, sub: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {sub}"),
    };
    let s = duration.as_secs();
    match s {
        0 if duration.as_millis() > 0 => format!("{} ms", duration.as_millis()),
        1..10 if duration.subsec_millis() >= 100 => format!("{s}.{} s", duration.subsec_millis() / 100),
        0..60 => format!("{s} s"),
        60..600 => pair(s / 60, "min", s % 60, "s"),
        600..3600 => format!("{} min", s / 60),
        3600..86_400 => pair(s / 3600, "h", s % 3600 / 60, "min"),
        _ => pair(s / 86_400, if s < 172_800 { "day" } else { "days" }, s % 86_400 / 3600, "h"),
    }
}

/// The same in the greatest unit alone.
#[must_use]
pub(super) fn roughly(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..86_400 => format!("{} h", s / 3600),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", s / 86_400),
    }
}

/// Day and time, to the second, with the zone.
#[must_use]
pub(super) fn moment(at: Timestamp, tz: &TimeZone) -> String {
    at.to_zoned(tz.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_plain_words() {
        for (ms, words, rough) in [
            (0, "0 s", "0 s"),
            (5_000, "5 s", "5 s"),
            (850, "850 ms", "0 s"),
            (1_250, "1.2 s", "1 s"),
            (59_999, "59 s", "59 s"),
            (60_000, "1 min", "1 min"),
            (200_000, "3 min 20 s", "3 min"),
            (2_520_000, "42 min", "42 min"),
            (3_599_000, "59 min", "59 min"),
            (3_900_000, "1 h 5 min", "1 h"),
            (21_600_000, "6 h", "6 h"),
            (86_400_000, "1 day", "1 day"),
            (180_000_000, "2 days 2 h", "2 days"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), words);
            assert_eq!(roughly(Duration::from_millis(ms)), rough);
        }
    }

    #[test]
    fn foreign_text_is_one_visible_line_without_a_token() {
        assert_eq!(foreign(" a\r\nBcc: x\0\u{202e}y\u{200b} \u{2028}z "), "a Bcc: xy z");
        let token = format!("v1.0190aaaa-bbbb-8ccc-8ddd-eeeeeeeeeeee.{}", "a".repeat(26));
        assert!(token.parse::<token::Token>().is_ok());
        for text in [format!("<{token}@x>"), format!("<{}@x>", token.to_uppercase())] {
            assert_eq!(foreign(&text), "<[token]@x>");
        }
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abc  def", 5), "abc…");
    }

    #[test]
    fn lists_read_like_a_sentence() {
        let items = |n: usize| (0..n).map(|i| format!("f{i}")).collect::<Vec<_>>();
        assert_eq!(listed(&items(0), "or", 3), "no folder");
        assert_eq!(listed(&items(1), "or", 3), "f0");
        assert_eq!(listed(&items(2), "or", 3), "f0 or f1");
        assert_eq!(listed(&items(3), "or", 3), "f0, f1 or f2");
        assert_eq!(listed(&items(9), "or", 3), "f0, f1, f2 or 6 more");
    }
}
