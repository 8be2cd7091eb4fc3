//! A world of chance: probes that meet all kinds of fates, outages, blindness, pauses and restarts. It knows what happened to
//! each probe, and judges by that alone what may and what must be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::lab::{Lab, SECOND_OPINION, Told, recipient, t};
use crate::domain::alert::{Evidence, Incident, Kind, Occurrence, Scope, Telling, Waiting};
use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;

#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    /// Never there; or there, so long after it was found missing.
    Lost(Option<i64>),
    Bounced,
    /// Late, or not to be judged.
    Undecided,
    Refused,
    Fault,
    /// Perhaps taken: arrives, or is never judged.
    Unanswered(bool),
}

#[derive(Clone, Debug)]
struct Watched {
    alert_after: i32,
    sender: u8,
    mailbox: u8,
    interval: i64,
    threshold: i64,
    /// Fates, each with a share of the time that it may take, in thousandths.
    probes: Vec<(Fate, i64)>,
    pause: Option<(i64, i64)>,
    /// All mail is lost between these slots.
    outage: (usize, usize),
}

#[derive(Clone, Debug)]
struct Plan {
    watched: Vec<Watched>,
    /// A sender is unreachable: which, since when, how long.
    unreachable: Vec<(u8, i64, i64)>,
    blind: Vec<(u8, i64, i64)>,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Good),
        2 => Just(Fate::Lost(None)),
        3 => (1..800_i64).prop_map(|after| Fate::Lost(Some(after))),
        1 => Just(Fate::Bounced),
        2 => Just(Fate::Undecided),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Fault),
        1 => any::<bool>().prop_map(Fate::Unanswered),
    ]
}

fn watched() -> impl Strategy<Value = Watched> {
    (
        (1..4_i32, 0..2_u8, 0..2_u8),
        (20..150_i64, 10..400_i64),
        proptest::collection::vec((fates(), 0..1000_i64), 1..20),
        proptest::option::weighted(0.3, (0..1500_i64, 1..500_i64)),
        (0..20_usize, 0..8_usize),
    )
        .prop_map(|((alert_after, sender, mailbox), (interval, threshold), probes, pause, outage)| {
            Watched { alert_after, sender, mailbox, interval, threshold, probes, pause, outage }
        })
}

fn plans() -> impl Strategy<Value = Plan> {
    let windows = |most| proptest::collection::vec((0..2_u8, 0..2000_i64, 1..600_i64), 0..most);
    (proptest::collection::vec(watched(), 1..5), windows(3), windows(3))
        .prop_map(|(watched, unreachable, blind)| Plan { watched, unreachable, blind })
}

/// What happens at a moment; the first to be declared happens first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Restart,
    Extra(i32),
    Submitted(i32, i64),
    Judged(i32, i64),
    Arrived(i32, i64),
    Pause(i32, bool),
    Blind(u8, i64),
    Sees(u8),
    Tick,
}

/// What is known of a probe by its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Good,
    Lost,
    Refused,
}

#[derive(Default)]
struct Knowledge {
    verdicts: BTreeMap<i64, Known>,
    /// Of each open incident: the failures it is about.
    about: BTreeMap<Kind, BTreeSet<i64>>,
}

impl Knowledge {
    /// The failures that no good probe was sent between, with this one.
    fn row(&self, sent: i64) -> BTreeSet<i64> {
        let bad = |other: &i64| self.verdicts[other] != Known::Good;
        let later = self.verdicts.keys().copied().filter(|other| *other >= sent).take_while(bad);
        let earlier = self.verdicts.keys().rev().copied().filter(|other| *other <= sent).take_while(bad);
        later.chain(earlier).collect()
    }
}

struct Probe {
    fate: Fate,
    deadline: i64,
    waiting: bool,
}

/// By recipient and time of sending.
type Probes = BTreeMap<(i32, i64), Probe>;

struct World {
    lab: Lab,
    asked: BTreeMap<i32, usize>,
    paused: BTreeSet<i32>,
    probes: Probes,
    known: BTreeMap<i32, Knowledge>,
    /// Faults of each sender that nobody has disproved: who met it with which probe, and when.
    faults: BTreeMap<Arc<str>, Vec<(i32, i64, i64)>>,
    unanswered: BTreeMap<Arc<str>, u32>,
}

fn sender(number: u8) -> Arc<str> {
    format!("s{number}").into()
}

impl Plan {
    fn recipients(&self) -> Vec<Recipient> {
        let recipient = |(id, watched): (i32, &Watched)| Recipient {
            sender: sender(watched.sender),
            mailbox: format!("m{}", watched.mailbox).into(),
            ..recipient(id, watched.alert_after)
        };
        (1..).zip(&self.watched).map(recipient).collect()
    }

    fn history(&self) -> (Probes, Vec<(i64, What)>) {
        let (mut probes, mut history) = (BTreeMap::new(), vec![]);
        for (id, watched) in (1..).zip(&self.watched) {
            for (slot, (fate, share)) in watched.probes.iter().enumerate() {
                let sent = i64::try_from(slot).unwrap() * watched.interval + i64::from(id);
                let (begin, length) = watched.outage;
                let mut fate = *fate;
                if (begin..begin + length).contains(&slot) {
                    fate = Fate::Lost(None);
                }
                let unreachable = self.unreachable.iter();
                let unreachable = unreachable.filter(|(which, ..)| *which == watched.sender);
                if unreachable.clone().any(|(_, since, long)| (*since..since + long).contains(&sent)) {
                    fate = Fate::Fault;
                }
                let deadline = sent + watched.threshold;
                let judged = match fate {
                    Fate::Good | Fate::Bounced | Fate::Unanswered(true) => {
                        sent + 1 + watched.threshold * share / 1001
                    }
                    Fate::Lost(_) | Fate::Undecided | Fate::Unanswered(false) => deadline + 1 + share / 20,
                    Fate::Refused | Fate::Fault => sent + 1,
                };
                history.push((sent + 1, What::Submitted(id, sent)));
                history.push((judged, What::Judged(id, sent)));
                if let Fate::Lost(Some(after)) = fate {
                    history.push((judged + after, What::Arrived(id, sent)));
                }
                probes.insert((id, sent), Probe { fate, deadline, waiting: false });
            }
            if let Some((start, long)) = watched.pause {
                history.push((start, What::Pause(id, true)));
                history.push((start + long, What::Pause(id, false)));
            }
        }
        for (which, since, long) in &self.blind {
            history.extend((0..=*long).step_by(30).map(|after| (since + after, What::Blind(*which, *since))));
            history.push((since + long, What::Sees(*which)));
        }
        history.extend((0..4000).step_by(50).map(|at| (at, What::Tick)));
        (probes, history)
    }
}

impl World {
    fn run(plan: &Plan, extras: &[(i64, What)]) -> Vec<Told> {
        let recipients = plan.recipients();
        let mut lab = Lab::new(&recipients);
        lab.policy.reminder = Some(Duration::from_secs(700));
        lab.restart();
        let (probes, mut history) = plan.history();
        history.extend(extras);
        history.sort_unstable();
        let mut world = Self {
            lab,
            asked: recipients.iter().map(|r| (r.id.0, usize::try_from(r.alert_after).unwrap())).collect(),
            paused: BTreeSet::new(),
            probes,
            known: recipients.iter().map(|r| (r.id.0, Knowledge::default())).collect(),
            faults: BTreeMap::new(),
            unanswered: BTreeMap::new(),
        };
        for (at, what) in history {
            world.lab.now = at;
            world.happens(what, at);
        }
        world.becomes_good(&recipients);
        world.lab.told
    }

    fn wait_for(&mut self, id: i32) {
        let now = self.lab.now;
        let of = self.probes.iter().filter(|((owner, _), probe)| *owner == id && probe.waiting);
        self.lab.waiting =
            of.map(|((_, sent), probe)| Waiting { sent: t(*sent), overdue: probe.deadline <= now }).collect();
    }

    fn is_open(&self, scope: &str, kind: Kind) -> bool {
        self.lab.book.open().any(|incident| incident.kind == kind && incident.scope.to_string() == scope)
    }

    fn has_open(&self, id: i32) -> bool {
        let scope = format!("recipient:{id}");
        self.is_open(&scope, Kind::Missing) || self.is_open(&scope, Kind::SendFailure)
    }

    fn happens(&mut self, what: What, now: i64) {
        match what {
            What::Restart => assert_eq!(self.lab.restart(), [""; 0], "a restart tells nothing"),
            What::Extra(id) => {
                self.wait_for(id);
                let told = self.lab.undecided(id);
                self.check(&told, &[]);
            }
            What::Submitted(id, sent) => self.submitted(id, sent, now),
            What::Judged(id, sent) => self.judged(id, sent),
            What::Arrived(id, sent) => {
                self.wait_for(id);
                self.known.get_mut(&id).unwrap().verdicts.remove(&sent);
                let told = self.lab.arrived(id, sent);
                self.check(&told, &[]);
            }
            What::Pause(id, true) => {
                self.paused.insert(id);
                self.known.insert(id, Knowledge::default());
                self.faults.values_mut().for_each(|faults| faults.retain(|(of, ..)| *of != id));
                self.lab.set_active(id, false);
                // A good probe from before the pause or in it is true all the same: after a restart it may count.
                self.lab.last_good.remove(&RecipientId(id));
                assert!(!self.has_open(id));
            }
            What::Pause(id, false) => {
                self.paused.remove(&id);
                assert_eq!(self.lab.set_active(id, true), [""; 0]);
            }
            What::Blind(number, since) => {
                let evidence =
                    Evidence::Unreadable { folder: "INBOX".into(), since: t(since), detail: "gone".into() };
                let told =
                    self.lab.hear(Occurrence::Blind { mailbox: format!("m{number}").into(), evidence });
                self.check(&told, &[]);
            }
            What::Sees(number) => {
                let told = self.lab.hear(Occurrence::Sees { mailbox: format!("m{number}").into() });
                self.check(&told, &[]);
            }
            What::Tick => {
                let told = self.lab.tick(now);
                self.check(&told, &[]);
            }
        }
    }

    fn submitted(&mut self, id: i32, sent: i64, now: i64) {
        let name = self.lab.sender_of(id);
        let probe = self.probes.get_mut(&(id, sent)).unwrap();
        match probe.fate {
            Fate::Refused | Fate::Fault => {}
            Fate::Unanswered(_) => {
                probe.waiting = true;
                *self.unanswered.entry(name.clone()).or_default() += 1;
                let told = self.lab.unanswered(id, now);
                self.check(&told, &[]);
            }
            _ => {
                probe.waiting = true;
                self.accepted(id, sent);
            }
        }
    }

    /// The sender took something: what its other recipients met before was their own.
    fn accepted(&mut self, id: i32, began: i64) {
        let name = self.lab.sender_of(id);
        self.unanswered.remove(&name);
        let faults = std::mem::take(self.faults.entry(name.clone()).or_default());
        let last = |of: i32| faults.iter().filter(|(who, ..)| *who == of).map(|(.., at)| *at).max();
        let (own, still): (Vec<_>, Vec<_>) =
            faults.iter().partition(|(of, ..)| last(*of).is_none_or(|last| last < began));
        self.faults.insert(name, still);
        let mut failed: BTreeMap<i32, i64> = BTreeMap::new();
        for (of, sent, _) in own {
            self.known.get_mut(&of).unwrap().verdicts.insert(sent, Known::Refused);
            failed.insert(of, sent);
        }
        self.wait_for(id);
        let before: Vec<_> = failed.keys().map(|of| self.has_open(*of)).collect();
        let told = self.lab.accepted(id, began);
        let failed: Vec<_> = failed.into_iter().map(|(of, sent)| (of, sent, false)).collect();
        self.check(&told, &failed);
        for ((of, sent, bounced), before) in failed.into_iter().zip(before) {
            // Mail that was handed over without an answer may have arrived meanwhile: then it is history already.
            let mut newer = self.known[&of].verdicts.range(sent..);
            if !newer.any(|(_, known)| *known == Known::Good) {
                self.covered(of, sent, bounced, before);
            }
        }
    }

    fn judged(&mut self, id: i32, sent: i64) {
        let probe = self.probes.get_mut(&(id, sent)).unwrap();
        probe.waiting = false;
        let fate = probe.fate;
        self.wait_for(id);
        let known = match fate {
            Fate::Good | Fate::Unanswered(true) => Some(Known::Good),
            Fate::Lost(_) | Fate::Bounced => Some(Known::Lost),
            Fate::Refused => Some(Known::Refused),
            Fate::Undecided | Fate::Unanswered(false) | Fate::Fault => None,
        };
        let active = !self.paused.contains(&id);
        if let Some(known) = known.filter(|_| active) {
            self.known.get_mut(&id).unwrap().verdicts.insert(sent, known);
        }
        let before = self.has_open(id);
        let failed = matches!(known, Some(Known::Lost | Known::Refused)) && active;
        let failed: Vec<_> =
            failed.then_some((id, sent, matches!(fate, Fate::Bounced))).into_iter().collect();
        if matches!(fate, Fate::Fault) {
            return self.fault(id, sent, active);
        }
        let told = match fate {
            Fate::Good | Fate::Unanswered(true) => self.lab.good(id, sent),
            Fate::Lost(_) => self.lab.missing(id, sent),
            Fate::Bounced => self.lab.bounce(id, sent),
            Fate::Refused => self.lab.refused(id, sent),
            Fate::Undecided | Fate::Unanswered(false) | Fate::Fault => self.lab.undecided(id),
        };
        self.check(&told, &failed);
        for (id, sent, bounced) in failed {
            self.covered(id, sent, bounced, before);
        }
    }

    fn fault(&mut self, id: i32, sent: i64, active: bool) {
        let name = self.lab.sender_of(id);
        let scope = format!("sender:{name}");
        if active && !self.is_open(&scope, Kind::SenderUnreachable) {
            self.faults.entry(name.clone()).or_default().push((id, sent, self.lab.now));
        }
        let faults = self.faults.get(&name).cloned().unwrap_or_default();
        let told = self.lab.fault(id, sent);
        self.check(&told, &[]);
        if !active {
            return;
        }
        let met = |of: i32| faults.iter().filter(|(who, ..)| *who == of).count();
        let enough: Vec<i32> = self.asked.keys().copied().filter(|of| met(*of) >= self.asked[of]).collect();
        if enough.len() >= 2 || enough.iter().any(|of| met(*of) >= 2 || self.users(&name) <= 1) {
            assert!(self.is_open(&scope, Kind::SenderUnreachable), "{faults:?}");
        }
    }

    fn users(&self, name: &Arc<str>) -> usize {
        let recipients = self.lab.recipients.iter();
        recipients.filter(|r| r.active && r.sender == *name).count()
    }

    /// Enough failures in a row are an incident by the verdict that completes them, and fewer are none.
    fn covered(&self, id: i32, sent: i64, bounced: bool, before: bool) {
        let row = self.known[&id].row(sent);
        if row.len() >= self.asked[&id] || bounced {
            // What was open may be over with this verdict: it was the last that a newer good one waited for.
            assert!(self.has_open(id) || before, "recipient {id}: {row:?} are not told");
        } else if !before {
            assert!(!self.has_open(id), "recipient {id}: {row:?} are too few");
        }
    }

    /// Whether what was told may be told; `failed` are the recipients that something is known of now, and what.
    fn check(&mut self, told: &[String], failed: &[(i32, i64, bool)]) {
        let news = self.lab.told.split_at(self.lab.told.len() - told.len()).1.to_vec();
        for (id, sent, _) in failed {
            let knowledge = self.known.get_mut(id).unwrap();
            let kind =
                if knowledge.verdicts[sent] == Known::Lost { Kind::Missing } else { Kind::SendFailure };
            if let Some(about) = knowledge.about.get_mut(&kind) {
                about.insert(*sent);
            }
        }
        for Told { scope, kind, telling, .. } in news {
            match (&scope, telling) {
                (Scope::Recipient(RecipientId(id)), Telling::Opened) => {
                    let sent = failed.iter().find(|(of, ..)| of == id).expect("nothing was wrong").1;
                    let knowledge = self.known.get_mut(id).unwrap();
                    let of_kind =
                        |sent: &i64| kind != Kind::Missing || knowledge.verdicts[sent] == Known::Lost;
                    let about = knowledge.row(sent).into_iter().filter(of_kind).collect();
                    knowledge.about.insert(kind, about);
                }
                (Scope::Recipient(RecipientId(id)), Telling::Resolved) => self.may_resolve(*id, kind),
                (Scope::Sender(name), Telling::Opened) => {
                    let faults = self.faults.remove(name).unwrap_or_default();
                    let met: BTreeSet<i32> = faults.iter().map(|(of, ..)| *of).collect();
                    let unanswered = self.unanswered.remove(name).unwrap_or_default();
                    let waited = faults.iter().any(|(.., at)| self.lab.now - at >= SECOND_OPINION);
                    let enough = met.len() >= 2 || faults.len() >= 2 || self.users(name) <= 1 || waited;
                    assert!(enough && !faults.is_empty() || unanswered >= 3, "{faults:?} {unanswered}");
                }
                _ => {}
            }
        }
    }

    fn may_resolve(&mut self, id: i32, kind: Kind) {
        let knowledge = self.known.get_mut(&id).unwrap();
        let about = knowledge.about.remove(&kind).unwrap_or_default();
        let oldest = self.lab.waiting.iter().map(|waiting| waiting.sent).min();
        let newer = |good: i64| {
            about.iter().all(|sent| *sent < good) && oldest.is_none_or(|waiting| t(good) < waiting)
        };
        let good = knowledge.verdicts.iter().any(|(sent, known)| *known == Known::Good && newer(*sent));
        let arrived = about.iter().all(|sent| !knowledge.verdicts.contains_key(sent));
        let overdue = self.lab.waiting.iter().any(|waiting| waiting.overdue);
        let all_there = kind == Kind::Missing && arrived && !overdue;
        assert!(good || all_there, "recipient {id}: {about:?} of {:?}", knowledge.verdicts);
    }

    /// In the end everything is well: each incident ends.
    fn becomes_good(&mut self, recipients: &[Recipient]) {
        let end = self.lab.now + 10_000;
        self.lab.now = end;
        for watched in recipients {
            self.happens(What::Pause(watched.id.0, false), end);
        }
        for watched in recipients {
            self.lab.now = end + 1;
            self.accepted(watched.id.0, end);
        }
        for watched in recipients {
            let id = watched.id.0;
            self.probes.insert((id, end), Probe { fate: Fate::Good, deadline: end + 10, waiting: true });
            self.judged(id, end);
        }
        self.happens(What::Sees(0), end);
        self.happens(What::Sees(1), end);
        assert_eq!(self.lab.book.open().collect::<Vec<_>>(), Vec::<&Incident>::new());
        assert!(self.lab.states.is_empty(), "{:?}", self.lab.states);
        let count = |telling| self.lab.told.iter().filter(|told| told.telling == telling).count();
        assert_eq!(count(Telling::Opened), count(Telling::Resolved));
    }
}

/// When each kind of incident of each scope was first told.
fn first_told(told: &[Told]) -> BTreeMap<(Scope, Kind), jiff::Timestamp> {
    let mut first = BTreeMap::new();
    for told in told {
        first.entry((told.scope.clone(), told.kind)).or_insert(told.at);
    }
    first
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_told_is_what_happened(plan in plans()) {
        World::run(&plan, &[]);
    }

    #[test]
    fn a_restart_changes_nothing(plan in plans(), restarts in proptest::collection::vec(0..3000_i64, 1..12)) {
        let restarts: Vec<_> = restarts.into_iter().map(|at| (at, What::Restart)).collect();
        prop_assert_eq!(World::run(&plan, &restarts), World::run(&plan, &[]));
    }

    #[test]
    fn what_says_nothing_alarms_nobody(plan in plans(), extras in proptest::collection::vec((0..3000_i64, 0..9_i32, 0..2_u8), 1..20)) {
        let count = i32::try_from(plan.watched.len()).unwrap();
        let extras: Vec<_> = extras.into_iter().map(|(at, id, blind)| match blind {
            0 => (at, What::Extra(id % count + 1)),
            _ => (at, What::Sees(0)),
        }).collect();
        let mail = |told: &[Told]| {
            let mut first = first_told(told);
            first.retain(|(_, kind), _| *kind != Kind::MailboxUnreachable);
            first
        };
        let blindless = Plan { blind: vec![], ..plan.clone() };
        let (with, without) = (World::run(&plan, &extras), World::run(&blindless, &[]));
        prop_assert_eq!(mail(&with), mail(&without));
    }
}
