//! A message in Discord's form: the JSON body of a webhook's `?wait=true` POST.
//!
//! Discord refuses a body with one field too long or empty as a whole (400), so that the limits are kept here whatever comes
//! in. Lengths are counted in UTF-16 units, the greatest number that "characters" can mean.

mod escape;

use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Value, json};

use self::escape::{Space, escaped, units};
use super::letter::{Letter, Tone};
use super::text::PREFIX;
use super::text::words::one_line;
use crate::domain::alert::IncidentId;

// https://discord.com/developers/docs/resources/message#embed-object-embed-limits
const CONTENT_MAX: usize = 2000;
const TITLE_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 4096;
const FIELDS_MAX: usize = 25;
const FIELD_NAME_MAX: usize = 256;
const FIELD_VALUE_MAX: usize = 1024;
const FOOTER_MAX: usize = 2048;
const EMBED_MAX: usize = 6000;
/// What the fields may take, so that the description has its share.
const FIELDS_SHARE: usize = 2600;
/// A short value stands beside others.
const INLINE_MAX: usize = 30;
/// The content is what a telephone shows on its lock screen.
const NOTICE_MAX: usize = 200;
/// Incidents named in one message.
const IDS_MAX: usize = 20;

/// The message as an embed.
#[must_use]
pub fn payload(letter: &Letter) -> Value {
    let subject = one_line(&letter.subject);
    let (prefix, subject) = subject.strip_prefix(PREFIX).map_or(("", &*subject), |rest| (PREFIX, rest));
    let title = or_dash(escaped(subject, TITLE_MAX));
    let footer = footer(letter);
    let (fields, taken) = fields(letter);
    let left = EMBED_MAX
        .saturating_sub(units(&title) + footer.as_deref().map_or(0, units) + taken)
        .min(DESCRIPTION_MAX);
    let mut embed = json!({
        "title": title,
        "description": or_dash(description(letter, left)),
        "color": colour(letter.tone),
        "fields": fields,
        // Discord knows no time before 1970.
        "timestamp": letter.at.max(Timestamp::UNIX_EPOCH).to_string(),
    });
    if let Some(embed) = embed.as_object_mut() {
        embed.extend(footer.map(|text| ("footer".to_owned(), json!({ "text": text }))));
        let url = letter.link.as_deref().filter(|link| is_public(link));
        embed.extend(url.map(|url| ("url".to_owned(), json!(url))));
    }
    json!({
        // Brackets without an address behind them are no link, and a telephone shows backslashes.
        "content": format!("{prefix}{}", or_dash(escaped(subject, NOTICE_MAX))),
        "embeds": [embed],
        "allowed_mentions": { "parse": [] },
    })
}

/// The message as text alone, for when the embed was refused.
#[must_use]
pub fn plain(letter: &Letter) -> Value {
    let mut tail = Space::new(CONTENT_MAX / 4);
    if let Some(link) = link(letter) {
        tail.line(&link);
    }
    if let Some(footer) = footer(letter) {
        tail.line(&escaped(&footer, 400));
    }
    let tail = tail.into_text();
    let mut space = Space::new(CONTENT_MAX.saturating_sub(units(&tail) + 1));
    space.line(&or_dash(escaped(&one_line(&letter.subject), NOTICE_MAX)));
    space.line(&escaped(&letter.lead, 600));
    for fact in &letter.facts {
        space.line(&format!("{}: {}", escaped(fact.label, 60), escaped(&fact.value, 300)));
    }
    for remark in &letter.remarks {
        space.line(&escaped(remark, 300));
    }
    space.list(&letter.items, &letter.names);
    space.line(&tail);
    json!({ "content": space.into_text(), "allowed_mentions": { "parse": [] } })
}

fn colour(tone: Tone) -> u32 {
    match tone {
        Tone::Bad => 0x00d9_2d20,
        Tone::Blind => 0x00f7_9009,
        Tone::Good => 0x0012_b76a,
        Tone::Neutral => 0x0066_7085,
    }
}

/// Lead, whom it concerns, what it is not, link.
fn description(letter: &Letter, limit: usize) -> String {
    let mut tail = Space::new(limit / 2);
    for remark in &letter.remarks {
        tail.line(&escaped(remark, 500));
    }
    if let Some(link) = link(letter) {
        tail.line(&link);
    }
    let tail = tail.into_text();
    let gap = "\n\n";
    let mut space = Space::new(limit.saturating_sub(units(&tail) + units(gap)));
    space.line(&escaped(&letter.lead, limit / 3));
    space.list(&letter.items, &letter.names);
    let text = space.into_text();
    if text.is_empty() || tail.is_empty() { text + &tail } else { text + gap + &tail }
}

/// The facts that there is room for, and how much they take.
fn fields(letter: &Letter) -> (Vec<Value>, usize) {
    let mut taken = 0;
    let mut fields = Vec::new();
    for fact in letter.facts.iter().take(FIELDS_MAX) {
        let name = or_dash(escaped(fact.label, FIELD_NAME_MAX));
        let room = FIELDS_SHARE.saturating_sub(taken + units(&name)).min(FIELD_VALUE_MAX);
        let value = or_dash(escaped(&fact.value, room));
        if units(&value) > room {
            break;
        }
        taken += units(&name) + units(&value);
        let inline = units(&value) <= INLINE_MAX;
        fields.push(json!({ "name": name, "value": value, "inline": inline }));
    }
    (fields, taken)
}

/// A footer knows no markdown: nothing to escape.
fn footer(letter: &Letter) -> Option<String> {
    let ids: Vec<String> = letter.incidents.iter().take(IDS_MAX).map(IncidentId::to_string).collect();
    let text = match ids.as_slice() {
        [] => return None,
        [id] => format!("incident {id}"),
        ids => {
            let more = match letter.incidents.len() - ids.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("incidents {}{more}", ids.join(", "))
        }
    };
    debug_assert!(units(&text) <= FOOTER_MAX, "twenty of thirteen characters");
    Some(text)
}

/// The link as text, in brackets that keep Discord from fetching a preview.
fn link(letter: &Letter) -> Option<String> {
    let url = letter.link.as_deref()?.parse::<Url>().ok()?;
    let fits = matches!(url.scheme(), "http" | "https") && units(url.as_str()) <= 400;
    fits.then(|| format!("<{}>", url.as_str().replace(['<', '>'], "")))
}

/// Discord refuses an embed whose `url` leads to `localhost` or another name without a dot; the text has the link anyway.
fn is_public(link: &str) -> bool {
    link.len() <= 400
        && link.parse::<Url>().is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.domain().is_some_and(|name| name.contains('.'))
        })
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "–".to_owned() } else { text }
}
