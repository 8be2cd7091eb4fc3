//! What one probe costs in the pure core: composing, recognising, checking the token, moving the state.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use maildt::domain::id::{ProbeId, RecipientId};
use maildt::domain::message::{Form, Letter, compose, recognise};
use maildt::domain::probe::{Event, Kind, Probe, Sighting, State};
use maildt::domain::recipient::ReturnMode;
use maildt::domain::record::{Bearing, Content, Seen};
use maildt::domain::retry::Next;
use maildt::domain::submission::{Attempt, Outcome, Reply};
use maildt::domain::token::{Keyring, SigningKey, find};
use maildt::domain::verdict::Placement;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

fn ring() -> Keyring {
    Keyring::new(SigningKey::new([7; 32]), vec![SigningKey::new([8; 32])])
}

fn letter() -> Letter<'static> {
    Letter { from: "monitor@example.org", to: "someone@example.net", date: at(0) }
}

/// A probe as it comes back: trace and authentication fields on top.
fn returned(ring: &Keyring, id: ProbeId) -> Vec<u8> {
    let mut raw = String::new();
    for hop in 0..5 {
        let _ = write!(
            raw,
            "Received: from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{hop}])\r\n\tby mx.example.org (Postfix) with \
             ESMTPS id 4XyZ{hop}\r\n\tfor <monitor@example.org>; Sun, 22 Nov 2026 10:00:0{hop} +0000 (UTC)\r\n"
        );
    }
    raw.push_str("Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=example.org; dkim=pass\r\n");
    let mut raw = raw.into_bytes();
    raw.extend(compose(ring.sign(id), letter()));
    raw
}

fn probe(id: ProbeId) -> Probe {
    Probe {
        id,
        key_id: 1,
        kind: Kind::Scheduled,
        sender: "default".into(),
        mailbox: "default".into(),
        return_mode: ReturnMode::Direct,
        threshold: Duration::from_mins(5),
        due_at: at(0),
        state: State::Sending,
        result: None,
        result_at: None,
        was_missing: false,
        attempts: 1,
        faults: 0,
        first_attempt_at: at(0),
        attempt_at: at(0),
        next_attempt_at: None,
        accepted_at: None,
        deadline_at: None,
        arrival: None,
        prints: vec![],
        duplicates: 0,
        misrouted: 0,
        reply: None,
        queue_id: None,
        failure: None,
        phases: vec![],
        note: None,
        sightings: vec![],
        searches: vec![],
        version: 1,
    }
}

fn accepted() -> Event {
    let reply =
        Reply { code: 250, enhanced: Some("2.0.0".to_owned()), text: "Ok: queued as 4XyZ".to_owned() };
    let attempt = Attempt {
        outcome: Outcome::Accepted { reply, queue_id: Some("4XyZ".to_owned()) },
        duration: Duration::from_millis(20),
        phases: vec![],
        dot_at: None,
        accepted_at: None,
        certificate_not_after: None,
    };
    Event::Attempted { at: at(20), attempt, next: Next::GiveUp }
}

fn seen() -> Event {
    Event::Seen(Sighting {
        at: at(120),
        latency: Some(Duration::from_millis(100)),
        estimated: false,
        tolerance: Duration::ZERO,
        placement: Placement::Inbox,
        mailbox: "default".into(),
        folder: "INBOX".into(),
        print: 42,
        form: Form::Direct,
        content: Content::default(),
    })
}

fn kept(content: &Content) -> Seen {
    Seen {
        print: 42,
        at: at(120),
        estimated: false,
        mailbox: "default".to_owned(),
        folder: "INBOX".to_owned(),
        placement: Placement::Inbox,
        form: Form::Direct,
        bearing: Bearing::Proof,
        note: None,
        content: content.clone(),
    }
}

fn core(c: &mut Criterion) {
    let ring = ring();
    let id = ProbeId::new(1_800_000_000_000, RecipientId(12), 99);
    let token = ring.sign(id);
    let raw = returned(&ring, id);
    let foreign = vec![b'x'; 64 * 1024];
    c.bench_function("compose a probe", |b| b.iter(|| compose(black_box(token), letter())));
    c.bench_function("recognise a returned probe", |b| b.iter(|| recognise(black_box(&raw))));
    // What is kept with a probe for its page: all that one message adds.
    c.bench_function("read the trace of a returned probe", |b| b.iter(|| Content::of(black_box(&raw))));
    let loops = [raw.as_slice(); 60].concat();
    c.bench_function("read the trace of a header of 500 fields", |b| {
        b.iter(|| Content::of(black_box(&loops)));
    });
    let content = Content::of(&raw);
    c.bench_function("write what is kept of a message as JSON", |b| {
        b.iter(|| serde_json::to_value(kept(black_box(&content))).unwrap().to_string());
    });
    c.bench_function("search 64 KiB of foreign text for a token", |b| {
        b.iter(|| find(black_box(&foreign), 8));
    });
    c.bench_function("sign a token", |b| b.iter(|| ring.sign(black_box(id))));
    c.bench_function("verify a token", |b| b.iter(|| ring.verify(black_box(&token))));
    c.bench_function("a probe's way through its states", |b| {
        b.iter(|| {
            let (probe, _) = probe(id).apply(accepted()).unwrap();
            probe.apply(seen()).unwrap()
        });
    });
}

criterion_group!(benches, core);
criterion_main!(benches);
