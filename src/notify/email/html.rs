//! The HTML part: says what the text says, with a coloured bar. No images, no references but the link, no colour that text
//! depends on, so that it reads in the dark and without styles.

use std::fmt::Write as _;

use super::{incidents, listed, subject};
use crate::notify::letter::{Letter, Tone};
use crate::notify::text::PREFIX;
use crate::notify::text::words::one_line;

const PAGE: &str = "margin:0;padding:16px;font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;\
                    font-size:15px;line-height:1.45";
const LABEL: &str =
    "padding:2px 16px 2px 0;text-align:left;vertical-align:top;font-weight:600;white-space:nowrap";
const VALUE: &str = "padding:2px 0;vertical-align:top;word-break:break-word";

pub(super) fn body(letter: &Letter) -> String {
    let subject = subject(&letter.subject);
    let title = escaped(subject.strip_prefix(PREFIX).unwrap_or(&subject));
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n</head>\n\
         <body style=\"{PAGE}\">\n\
         <div style=\"max-width:44em;border-left:6px solid {};padding-left:16px\">\n\
         <h1 style=\"margin:0 0 8px;font-size:20px;line-height:1.25\">{title}</h1>\n<p style=\"margin:0 0 12px\">{}</p>\n",
        colour(letter.tone),
        escaped(&letter.lead)
    );
    facts(&mut html, letter);
    items(&mut html, letter);
    for remark in &letter.remarks {
        let _ = writeln!(html, "<p style=\"margin:0 0 12px\">{}</p>", escaped(remark));
    }
    if let Some(link) = &letter.link {
        let link = escaped(link);
        let shown = if is_web(&link) { format!("<a href=\"{link}\">{link}</a>") } else { link };
        let _ = writeln!(html, "<p style=\"margin:0 0 12px\">{shown}</p>");
    }
    if let Some(incidents) = incidents(&letter.incidents) {
        let _ = writeln!(html, "<p style=\"margin:0;font-size:13px\">{incidents}</p>");
    }
    html.push_str("</div>\n</body>\n</html>\n");
    html
}

fn facts(html: &mut String, letter: &Letter) {
    if letter.facts.is_empty() {
        return;
    }
    html.push_str("<table style=\"border-collapse:collapse;margin:0 0 12px\">\n");
    for fact in &letter.facts {
        let (label, value) = (escaped(fact.label), escaped(&fact.value));
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\" style=\"{LABEL}\">{label}</th><td style=\"{VALUE}\">{value}</td></tr>"
        );
    }
    html.push_str("</table>\n");
}

fn items(html: &mut String, letter: &Letter) {
    let (items, more) = listed(letter);
    let mut items = items.chain(more).peekable();
    if items.peek().is_none() {
        return;
    }
    html.push_str("<ul style=\"margin:0 0 12px;padding-left:20px\">\n");
    for item in items {
        let _ = writeln!(html, "<li>{}</li>", escaped(&item));
    }
    html.push_str("</ul>\n");
}

fn is_web(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}

fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "#d92d20",
        Tone::Blind => "#f79009",
        Tone::Good => "#12b76a",
        Tone::Neutral => "#667085",
    }
}

/// Text that no reader takes for markup, in an attribute as in an element.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
