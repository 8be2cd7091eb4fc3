//! Every text, as its reader sees it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::stories::{self, at, desk, ended, incident, recovered};
use crate::domain::alert::{Incident, Kind, Resolution, Scope, Telling};
use crate::notify::letter::{Letter, Thread};
use crate::notify::text::{self, Desk, compose};
use crate::notify::{discord, email};

/// A letter in all its forms.
fn shown(story: &str, letter: &Letter) -> String {
    let thread = Thread { message_id: "x@example.org".to_owned(), in_reply_to: None, references: Vec::new() };
    let from = "probe@example.org".parse().unwrap();
    let bytes = email::message(letter, &thread, &from, "ops@example.org", letter.at).unwrap();
    let mail = mail_parser::MessageParser::new().parse(&bytes).unwrap();
    let text = mail.body_text(0).unwrap().replace("\r\n", "\n");
    let json = serde_json::to_string_pretty(&discord::payload(letter)).unwrap();
    let mut out = format!("══ {story}\n\nSubject: {}\n\n{text}\n", mail.subject().unwrap());
    let _ = writeln!(out, "── Discord\n{json}\n");
    out
}

/// Snapshots lie beside the modules that they show.
pub fn keep(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn told(story: &str, telling: Telling, incidents: &[&Incident], desk: &Desk) -> String {
    shown(story, &compose(telling, incidents, desk))
}

const SIX_HOURS: u64 = 6 * 60 + 5;

#[test]
fn missing() {
    let fresh = incident(1, Kind::Missing, stories::not_arrived());
    let mut astray = incident(2, Kind::Missing, stories::astray());
    astray.details.last_good_at = None;
    let bounce = incident(1, Kind::Missing, stories::bounced());
    let mut old = fresh.clone();
    (old.details.failures, old.details.outstanding) = (6, 4);
    old.details.latest = stories::bounced();
    let held = ended(fresh.clone(), at(20, 0), recovered(Some(1_250)));
    let night = desk(at(5, 20));
    let mut vienna = night.clone();
    vienna.tz = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let text = [
        told("opened", Telling::Opened, &[&fresh], &night),
        told("opened, a local time zone", Telling::Opened, &[&fresh], &vienna),
        told("opened, seen in another mailbox, never a good delivery", Telling::Opened, &[&astray], &night),
        told("opened, bounced", Telling::Opened, &[&bounce], &night),
        told("opened, told when it was over", Telling::Opened, &[&held], &desk(at(62, 0))),
        told("reminder", Telling::Reminder, &[&old], &desk(at(SIX_HOURS, 0))),
    ];
    keep("missing", &text.concat());
}

#[test]
fn missing_over() {
    let fresh = incident(1, Kind::Missing, stories::not_arrived());
    let mut three = fresh.clone();
    (three.details.failures, three.details.outstanding) = (3, 2);
    let mut back = three.clone();
    back.details.outstanding = 0;
    let arrived = || Resolution::Arrived { slowest: Duration::from_mins(42) };
    let over = |incident: &Incident, resolution| ended(incident.clone(), at(42, 4), resolution);
    let now = desk(at(42, 5));
    let text = [
        told("recovered", Telling::Resolved, &[&over(&three, recovered(Some(1_250)))], &now),
        told("arrived", Telling::Resolved, &[&over(&fresh, arrived())], &now),
        told("all three arrived", Telling::Resolved, &[&over(&back, arrived())], &now),
        told("paused", Telling::Resolved, &[&over(&fresh, Resolution::Paused)], &now),
        told("removed", Telling::Resolved, &[&over(&fresh, Resolution::Removed)], &now),
    ];
    keep("missing_over", &text.concat());
}

/// Two hundred that fail together, one of them by a bounce.
fn crowd() -> Vec<Incident> {
    let mut crowd: Vec<Incident> =
        (1..=200).rev().map(|number| incident(number, Kind::Missing, stories::not_arrived())).collect();
    crowd[0] = incident(200, Kind::Missing, stories::bounced());
    crowd
}

/// A long snapshot without its middle.
fn ends(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let (head, tail) = (&all[..lines], &all[all.len() - 45..]);
    format!("{}\n[…]\n{}\n", head.join("\n"), tail.join("\n"))
}

#[test]
fn several_missing() {
    let crowd = crowd();
    let mut all: Vec<&Incident> = crowd.iter().collect();
    let held = ended(crowd[198].clone(), at(5, 18), recovered(None));
    let text = ends(&told("two hundred", Telling::Opened, &all, &desk(at(5, 20))), 24);
    all.truncate(0);
    all.extend([&crowd[199], &held, &crowd[197]]);
    let end = |i: usize, resolution| ended(crowd[i].clone(), at(42, 4), resolution);
    let arrived = || Resolution::Arrived { slowest: Duration::from_mins(42) };
    let (a, b, c) = (end(199, arrived()), end(198, recovered(Some(900))), end(197, Resolution::Paused));
    let now = desk(at(42, 5));
    let text = [
        text,
        told("three, one over", Telling::Opened, &all, &desk(at(5, 20))),
        told("reminder", Telling::Reminder, &[&crowd[199], &crowd[197]], &desk(at(SIX_HOURS, 0))),
        told("recovered", Telling::Resolved, &[&a, &b], &now),
        told("recovered and closed", Telling::Resolved, &[&a, &b, &c], &now),
        told("closed", Telling::Resolved, &[&c, &c], &now),
    ];
    keep("several_missing", &text.concat());
}

#[test]
fn send_failure() {
    let refused = incident(1, Kind::SendFailure, stories::refused());
    let deferred = incident(3, Kind::SendFailure, stories::deferred());
    let mut old = refused.clone();
    (old.details.failures, old.details.latest) = (7, stories::deferred());
    let over = ended(old.clone(), at(62, 0), recovered(Some(2_000)));
    let paused = ended(refused.clone(), at(62, 0), Resolution::Paused);
    let text = [
        told("opened, 5xx", Telling::Opened, &[&refused], &desk(at(0, 8))),
        told("opened, 4xx", Telling::Opened, &[&deferred], &desk(at(15, 8))),
        told("reminder", Telling::Reminder, &[&old], &desk(at(SIX_HOURS, 0))),
        told("recovered", Telling::Resolved, &[&over], &desk(at(62, 1))),
        told("paused", Telling::Resolved, &[&paused], &desk(at(62, 1))),
        told("several", Telling::Opened, &[&refused, &deferred], &desk(at(15, 8))),
        told("several, reminder", Telling::Reminder, &[&refused, &deferred], &desk(at(SIX_HOURS, 0))),
        told("several recovered", Telling::Resolved, &[&over, &over], &desk(at(62, 1))),
    ];
    keep("send_failure", &text.concat());
}

#[test]
fn sender_unreachable() {
    let mut login = incident(1, Kind::SenderUnreachable, stories::login_refused());
    login.details.failures = 3;
    let mut silent = incident(1, Kind::SenderUnreachable, stories::unanswered());
    silent.details.failures = 3;
    let mut other = incident(2, Kind::SenderUnreachable, stories::no_connection());
    other.scope = Scope::Sender(Arc::from("relay2"));
    let over = |resolution| ended(login.clone(), at(62, 0), resolution);
    let now = desk(at(62, 1));
    let text = [
        told("opened, login refused", Telling::Opened, &[&login], &desk(at(0, 38))),
        told("opened, unanswered", Telling::Opened, &[&silent], &desk(at(6, 5))),
        told("reminder", Telling::Reminder, &[&other], &desk(at(SIX_HOURS, 0))),
        told("recovered", Telling::Resolved, &[&over(recovered(None))], &now),
        told("paused", Telling::Resolved, &[&over(Resolution::Paused)], &now),
        told("removed", Telling::Resolved, &[&over(Resolution::Removed)], &now),
        told("several", Telling::Opened, &[&login, &other], &desk(at(0, 38))),
    ];
    keep("sender_unreachable", &text.concat());
}

#[test]
fn mailbox_unreachable() {
    let blind = incident(1, Kind::MailboxUnreachable, stories::unreadable());
    let mut other = blind.clone();
    other.scope = Scope::Mailbox(Arc::from("archive"));
    let over = |resolution| ended(blind.clone(), at(62, 0), resolution);
    let now = desk(at(62, 1));
    let text = [
        told("opened", Telling::Opened, &[&blind], &desk(at(3, 2))),
        told("reminder", Telling::Reminder, &[&blind], &desk(at(SIX_HOURS, 0))),
        told("recovered", Telling::Resolved, &[&over(recovered(None))], &now),
        told("paused", Telling::Resolved, &[&over(Resolution::Paused)], &now),
        told("removed", Telling::Resolved, &[&over(Resolution::Removed)], &now),
        told("several", Telling::Opened, &[&blind, &other], &desk(at(3, 2))),
    ];
    keep("mailbox_unreachable", &text.concat());
}

#[test]
fn channel_down() {
    let hung = incident(1, Kind::ChannelDown, stories::undeliverable("discord", false));
    let gone = incident(1, Kind::ChannelDown, stories::undeliverable("discord", true));
    let mut mail = incident(1, Kind::ChannelDown, stories::undeliverable("ops@example.org", false));
    mail.scope = Scope::Channel(Arc::from("email"));
    let over = |resolution| ended(hung.clone(), at(62, 0), resolution);
    let now = desk(at(62, 1));
    let text = [
        told("opened, hangs", Telling::Opened, &[&hung], &desk(at(5, 2))),
        told("opened, refused", Telling::Opened, &[&gone], &desk(at(0, 2))),
        told("opened, e-mail", Telling::Opened, &[&mail], &desk(at(5, 2))),
        told("reminder", Telling::Reminder, &[&gone], &desk(at(SIX_HOURS, 0))),
        told("recovered", Telling::Resolved, &[&over(recovered(None))], &now),
        told("removed", Telling::Resolved, &[&over(Resolution::Removed)], &now),
        told("several", Telling::Opened, &[&gone, &mail], &desk(at(5, 2))),
    ];
    keep("channel_down", &text.concat());
}

#[test]
fn asides() {
    let open = [
        incident(1, Kind::Missing, stories::not_arrived()),
        incident(1, Kind::SenderUnreachable, stories::login_refused()),
    ];
    let now = desk(at(62, 0));
    let text = [
        shown("test", &text::test(&now, "Discord")),
        shown("emergency", &text::emergency(at(61, 0), 14, Some(&open), &now)),
        shown("emergency from the start on", &text::emergency(at(61, 0), 0, None, &now)),
        shown("emergency, nothing open", &text::emergency(at(61, 0), 0, Some(&[]), &now)),
        shown("emergency over", &text::emergency_over(at(61, 0), &now)),
        shown("nothing", &compose(Telling::Opened, &[], &now)),
    ];
    keep("asides", &text.concat());
}

#[test]
fn discord_without_an_embed() {
    let crowd = crowd();
    let all: Vec<&Incident> = crowd.iter().collect();
    let one =
        compose(Telling::Opened, &[&incident(1, Kind::SendFailure, stories::refused())], &desk(at(0, 8)));
    let many = compose(Telling::Opened, &all, &desk(at(5, 20)));
    let content = |letter| discord::plain(letter)["content"].as_str().unwrap().to_owned();
    keep("discord_plain", &format!("{}\n\n══════\n\n{}", content(&one), content(&many)));
}
