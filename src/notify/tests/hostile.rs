//! Names, addresses and replies are written by others: nothing in them may break a message or speak for us.

use jiff::Timestamp;
use mail_parser::MessageParser;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::stories::{self, desk, incident};
use crate::domain::alert::{Evidence, Incident, IncidentId, Kind, Resolution, Telling};
use crate::domain::submission::{Phase, Reason};
use crate::notify::letter::{Fact, Letter, Thread, Tone};
use crate::notify::text::words::{cut, one_line};
use crate::notify::text::{PREFIX, compose};
use crate::notify::{discord, email};

const LINK: &str = "https://maildt.example.org/incidents#6h02drhw00001";

fn nasty() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("@everyone".to_owned()),
        Just("@HERE <@12345> <@&6> <#7> </do:8>".to_owned()),
        Just("\r\nBcc: victim@example.com\r\n\r\n".to_owned()),
        Just("```\n`code` [link](https://evil.example/) ||x|| **b** __u__ ~~s~~".to_owned()),
        Just("</p><script>alert(1)</script><img src=x onerror=y>".to_owned()),
        Just("\"><a href='javascript:x'>&amp;&lt;".to_owned()),
        Just("=?utf-8?B?QmNjOiB4?= =?".to_owned()),
        Just("=_maildt_alternative\r\n--=_maildt_alternative--\r\n.\r\n".to_owned()),
        Just("\u{202e}\u{200b}\u{feff}\0\u{7f}\u{1b}[31m\u{2028}".to_owned()),
        Just("\\".to_owned()),
        Just("😀é日本語".to_owned()),
        Just("   \t".to_owned()),
        (1usize..3000).prop_map(|n| "x".repeat(n)),
        (1usize..3000).prop_map(|n| "*".repeat(n)),
        (1usize..1500).prop_map(|n| "😀".repeat(n)),
        "\\PC{0,40}",
        any::<String>(),
    ];
    vec(fragment, 0..5).prop_map(|parts| parts.concat())
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let label = prop_oneof![Just("Since"), Just(""), Just("A label")];
    let fact = (label, nasty()).prop_map(|(label, value)| Fact { label, value });
    vec(fact, 0..35)
}

fn letters() -> impl Strategy<Value = Letter> {
    let items = prop_oneof![vec(nasty(), 0..5), vec("[a-z@.<]{0,60}", 0..800)];
    let tone = prop_oneof![Just(Tone::Bad), Just(Tone::Blind), Just(Tone::Good), Just(Tone::Neutral)];
    let link = prop_oneof![Just(None), Just(Some(LINK.to_owned()))];
    let incidents = vec(any::<i64>().prop_map(IncidentId), 0..600);
    let at = prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), Just(stories::at(0, 0))];
    (tone, nasty(), nasty(), facts(), items, vec(nasty(), 0..6), incidents, link, at).prop_map(
        |(tone, subject, lead, facts, items, remarks, incidents, link, at)| Letter {
            tone,
            subject,
            lead,
            facts,
            names: items.iter().map(|item| item.chars().take(20).collect()).collect(),
            items,
            remarks,
            incidents,
            link,
            at,
        },
    )
}

fn evidences() -> impl Strategy<Value = Evidence> {
    (0..6usize, nasty(), nasty(), any::<u16>(), 0..Phase::ALL.len()).prop_map(|(which, a, b, code, phase)| {
        let (probe, at) = (stories::probe(1), stories::at(0, 0));
        match which {
            0 => Evidence::NotArrived {
                probe,
                accepted_at: at,
                deadline_at: at,
                folders: vec![a.clone(), b.clone(), a.clone(), b, a.clone(), a.clone()],
                looked_at: at,
                queue_id: Some(a.clone()),
                reply: Some(stories::reply(code, &a, &a)),
                misrouted: i32::from(code) - 9,
            },
            1 => Evidence::Bounced { probe, accepted_at: None, at, note: a, queue_id: Some(b) },
            2 => Evidence::NotSent {
                probe,
                at,
                phase: Phase::ALL[phase],
                reason: Reason::Other,
                reply: code.is_multiple_of(2).then(|| stories::reply(code, &a, &b)),
                detail: a.clone(),
                attempts: -1,
            },
            3 => Evidence::Unanswered { probe, at, detail: a, in_a_row: u32::from(code) },
            4 => Evidence::Unreadable { folder: a, since: at, detail: b },
            _ => Evidence::Undeliverable { channel: a, since: at, detail: b, refused: code > 9 },
        }
    })
}

/// Incidents of any kind with any evidence, open or not.
fn incidents() -> impl Strategy<Value = Vec<Incident>> {
    let one = (evidences(), evidences(), nasty(), nasty(), 0..5u8, any::<u32>());
    (0..Kind::ALL.len(), vec(one, 0..6)).prop_map(|(kind, parts)| {
        let made = parts.into_iter().map(|(first, latest, name, address, end, number)| {
            let mut made = incident(1, Kind::ALL[kind], first);
            made.details.latest = latest;
            (made.details.failures, made.details.outstanding) = (number % 7, number % 5);
            for concerned in made.details.concerned.iter_mut().take(2) {
                (concerned.name, concerned.address) = (name.clone(), address.clone());
            }
            let slowest = std::time::Duration::from_secs(number.into());
            let resolution = match end {
                0 => return made,
                1 => Resolution::Recovered { latency: Some(slowest) },
                2 => Resolution::Arrived { slowest },
                3 => Resolution::Paused,
                _ => Resolution::Removed,
            };
            stories::ended(made, stories::at(5, 0), resolution)
        });
        made.collect()
    })
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Nothing with a meaning to Discord but our own link.
fn assert_inert(text: &str) {
    let text = text.strip_prefix(PREFIX).unwrap_or(text).replace(&format!("<{LINK}>"), "");
    let text = text.replace("<https://maildt.example.org/incidents>", "");
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '\\' {
            let escaped = after.chars().next().expect("a backslash that escapes nothing");
            assert!(escaped.is_ascii_punctuation(), "{text}");
            rest = &after[1..];
            continue;
        }
        assert!(!"`*_~|[]<>".contains(c), "unescaped {c} in {text}");
        let low = rest.to_ascii_lowercase();
        assert!(
            !low.starts_with("@everyone") && !low.starts_with("@here") && !low.starts_with("://"),
            "{text}"
        );
        rest = after;
    }
    assert!(!text.contains('\r') && !text.contains('\0'));
}

fn assert_field(value: &Value, max: usize) -> usize {
    let text = value.as_str().unwrap();
    assert!(!text.trim().is_empty(), "an empty field");
    assert!(units(text) <= max, "{} > {max}", units(text));
    units(text)
}

fn assert_discord(letter: &Letter) {
    let payload = discord::payload(letter);
    let again: Value = serde_json::from_str(&payload.to_string()).unwrap();
    assert_eq!(payload, again);
    let plain = discord::plain(letter);
    for (payload, max) in [(&payload, 400), (&plain, 2000)] {
        assert_eq!(payload["allowed_mentions"], serde_json::json!({ "parse": [] }));
        assert_field(&payload["content"], max);
        assert_inert(payload["content"].as_str().unwrap());
    }
    assert!(plain.get("embeds").is_none());
    let embed = &payload["embeds"][0];
    let mut sum = assert_field(&embed["title"], 256) + assert_field(&embed["description"], 4096);
    let fields = embed["fields"].as_array().unwrap();
    assert!(fields.len() <= 25);
    for field in fields {
        sum += assert_field(&field["name"], 256) + assert_field(&field["value"], 1024);
        assert_inert(field["name"].as_str().unwrap());
        assert_inert(field["value"].as_str().unwrap());
    }
    if let Some(footer) = embed.get("footer") {
        sum += assert_field(&footer["text"], 2048);
    }
    assert!(sum <= 6000, "{sum}");
    assert_inert(embed["title"].as_str().unwrap());
    assert_inert(embed["description"].as_str().unwrap());
    let at: Timestamp = embed["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(at >= Timestamp::UNIX_EPOCH);
}

/// Everything between angle brackets.
fn tags(html: &str) -> Vec<&str> {
    html.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag that ends").0).collect()
}

/// The same letter written by a friend.
fn harmless(letter: &Letter) -> Letter {
    let word = |texts: &[String]| vec!["x".to_owned(); texts.len()];
    Letter {
        subject: "x".to_owned(),
        lead: "x".to_owned(),
        facts: letter.facts.iter().map(|fact| Fact { label: fact.label, value: "x".to_owned() }).collect(),
        items: word(&letter.items),
        remarks: word(&letter.remarks),
        ..letter.clone()
    }
}

fn mail(letter: &Letter) -> Vec<u8> {
    let thread = Thread {
        message_id: "a@example.org".to_owned(),
        in_reply_to: Some("b@example.org".to_owned()),
        references: vec!["b@example.org".to_owned()],
    };
    let from = "probe@example.org".parse().unwrap();
    email::message(letter, &thread, &from, "ops@example.org", letter.at).unwrap()
}

fn assert_email(letter: &Letter) {
    const ONCE: [&str; 11] = [
        "From",
        "To",
        "Date",
        "Subject",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Content-Type",
        "MIME-Version",
    ];
    let bytes = mail(letter);
    assert!(bytes.is_ascii());
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a line that ends in CRLF");
        assert!(line.len() <= 998 && !line.contains(&b'\r') && !line.contains(&0));
    }
    let parsed = MessageParser::new().parse(&bytes).unwrap();
    let subject = cut(&one_line(&letter.subject).replace("=?", "= ?"), 200);
    assert_eq!(parsed.subject().unwrap_or_default(), subject);
    let mut names: Vec<&str> = parsed.headers().iter().map(|header| header.name.as_str()).collect();
    let ids = names.iter().filter(|name| **name == "X-MailDT-Incident").count();
    assert_eq!(ids, letter.incidents.len().min(500));
    names.retain(|name| *name != "X-MailDT-Incident");
    names.sort_unstable();
    let mut once = ONCE.to_vec();
    once.sort_unstable();
    assert_eq!(names, once);
    assert_eq!(parsed.parts.len(), 3);
    let friendly_bytes = mail(&harmless(letter));
    let friendly = MessageParser::new().parse(&friendly_bytes).unwrap();
    let (html, same) = (parsed.body_html(0).unwrap(), friendly.body_html(0).unwrap());
    assert_eq!(tags(&html), tags(&same));
    let text = parsed.body_text(0).unwrap();
    assert!(text.contains(&one_line(&letter.lead)));
}

#[test]
fn what_discord_has_no_room_for_is_left_out() {
    let fact = Fact { label: "Since", value: "now".to_owned() };
    let mut letter = compose(Telling::Opened, &[], &desk(stories::at(0, 0)));
    letter.facts = vec![fact; 40];
    assert_discord(&letter);
    assert_eq!(discord::payload(&letter)["embeds"][0]["fields"].as_array().unwrap().len(), 25);
    // Discord refuses an embed whose title leads to a host without a dot; the text has the link all the same.
    assert!(discord::payload(&letter)["embeds"][0]["url"].is_string());
    for link in ["http://localhost:5000/incidents", "http://[::1]/incidents", "no link", "ftp://a.example/"] {
        letter.link = Some(link.to_owned());
        let embed = &discord::payload(&letter)["embeds"][0];
        assert!(embed.get("url").is_none(), "{link}");
        let shown = embed["description"].as_str().unwrap().contains(&format!("<{link}>"));
        assert_eq!(shown, link.starts_with("http"), "{link}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn discord_takes_any_letter_and_nothing_in_it_speaks(letter in letters()) {
        assert_discord(&letter);
    }

    #[test]
    fn mail_takes_any_letter_and_nothing_in_it_speaks(letter in letters()) {
        assert_email(&letter);
    }

    #[test]
    fn any_incidents_make_a_letter(incidents in incidents(), telling in 0..3usize) {
        let all: Vec<&Incident> = incidents.iter().collect();
        let mut letter = compose(Telling::ALL[telling], &all, &desk(stories::at(5, 20)));
        prop_assert!(letter.subject.starts_with(PREFIX));
        prop_assert_eq!(letter.incidents.len(), incidents.len());
        prop_assert!(!letter.lead.is_empty() && !letter.lead.contains('\n'));
        prop_assert!(letter.subject.chars().count() <= 320);
        letter.link = letter.link.map(|_| LINK.to_owned());
        assert_discord(&letter);
        assert_email(&letter);
    }
}
