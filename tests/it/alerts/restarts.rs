//! Ended and killed at any moment: nothing is forgotten and nothing told twice, but for what may have got through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use maildt::demo::faults::{Fate as Delivery, Rule};

use super::{brisk, open_incidents};
use crate::lab::alert::{Alert, Told};
use crate::lab::app::Recipient;
use crate::lab::builtin::BuiltIn;
use crate::lab::discord::Answer;
use crate::lab::oncall::{OnCall, match_story};
use crate::lab::policy::Fate;
use crate::lab::wait::{Look, eventually, s, same, so, throughout};
use crate::lab::world::World;

/// It is on record that everything was told: a kill before that is ambiguous.
#[track_caller]
fn is_on_record(world: &World) {
    eventually(s(10), "it is on record that it was told", || {
        let rows = world.records().notifications()?;
        so(rows.iter().all(|row| row.state == "delivered"), || format!("{rows:?}"))
    });
}

#[test]
fn a_restart_repeats_nothing_and_forgets_nothing() {
    let test = "a_restart_repeats_nothing_and_forgets_nothing";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let mut app = ops.on(world.setup()).recipient(brisk(&world, "alice")).start();
    ops.hear(s(40), &["Missing: alice"]);
    is_on_record(&world);
    let missing =
        |world: &World| Ok::<_, String>(world.records().read()?.iter().filter(|p| p.was_missing).count());
    for round in 0..2 {
        if round == 0 {
            app.kill9();
        } else {
            assert!(app.term().0.success());
        }
        app.start_again();
        app.await_active();
        eventually(s(5), "it knows what is open", || open_incidents(&app, "missing", 1.0));
        let known = missing(&world).unwrap();
        eventually(s(40), "the outage goes on", || {
            ops.were_told(&["Missing: alice"]).unwrap();
            so(missing(&world)? > known, || "not yet".to_owned())
        });
    }
    world.lab.policy.clear(&world.address("alice"));
    ops.hear(s(40), &["Missing: alice", "Recovered: alice"]);
    assert_eq!(world.records().incidents().unwrap().len(), 1);
}

#[test]
fn a_reminder_is_told_once_and_a_restart_does_not_repeat_it() {
    let test = "a_reminder_is_told_once_and_a_restart_does_not_repeat_it";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let recipient = Recipient::new("alice", &world.address("alice")).threshold("2s");
    let mut app = ops.on(world.setup()).env("ALERT_REMINDER", "1h").recipient(recipient).start();
    ops.hear(s(40), &["Missing: alice"]);
    is_on_record(&world);
    app.kill9();
    // Nobody waits an hour: it opened longer ago.
    let age = |time: &str| {
        let set = format!("UPDATE maildt.incidents SET opened_at = opened_at - interval '{time}'");
        world.database.query(&set, &[]).unwrap();
    };
    age("61 minutes");
    app.start_again();
    ops.hear(s(40), &["Missing: alice", "Still"]);
    let [discord, mail] = ops.told();
    for story in [&discord, &mail] {
        assert_eq!(story[1].told, Told::Reminder);
        assert_eq!(story[0].incidents, story[1].incidents);
    }
    assert_eq!(mail[1].headers.in_reply_to.as_ref(), Some(&mail[0].headers.message_id));
    is_on_record(&world);
    app.kill9();
    app.start_again();
    app.await_active();
    throughout(s(4), "it is not repeated", || ops.were_told(&["Missing: alice", "Still"]));
    // After a long stop there is one, not one for each hour.
    app.kill9();
    age("5 hours");
    app.start_again();
    ops.hear(s(40), &["Missing: alice", "Still", "Still"]);
    throughout(s(3), "there is only one", || ops.were_told(&["Missing: alice", "Still", "Still"]));
}

#[test]
fn what_was_committed_before_a_kill_is_told_soon_after_the_next_start() {
    let test = "what_was_committed_before_a_kill_is_told_soon_after_the_next_start";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let recipient = Recipient::new("alice", &world.address("alice")).threshold("2s");
    // Gathering and lease as users have them: killed while gathering, nothing has been tried.
    let setup = ops
        .on(world.setup())
        .without_limit("alert_gather")
        .without_limit("lease")
        .without_limit("lease_renew");
    let mut app = setup.recipient(recipient).start();
    eventually(s(40), "the rows are committed", || same(&world.records().notifications()?.len(), &2));
    app.kill9();
    let rows = world.records().notifications().unwrap();
    assert!(rows.iter().all(|row| row.state == "pending"), "{rows:?}");
    ops.were_told(&[]).unwrap();
    let start = Instant::now();
    app.start_again();
    app.await_active();
    let active = start.elapsed();
    ops.hear(s(30), &["Missing: alice"]);
    let (all, since) = (start.elapsed(), start.elapsed().checked_sub(active).unwrap());
    assert!(all < s(20 + 3) && since < s(10 + 3), "told {all:?} after the start, {since:?} after the lease");
    throughout(s(2), "once", || ops.were_told(&["Missing: alice"]));
}

#[test]
fn asked_to_end_while_channels_hang_it_ends_in_time_and_tells_at_the_next_start() {
    let test = "asked_to_end_while_channels_hang_it_ends_in_time_and_tells_at_the_next_start";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    ops.discord.answer(Answer::Hangs);
    ops.mail_wire().stall();
    let recipient = Recipient::new("alice", &world.address("alice")).threshold("2s");
    let mut app = ops.on(world.setup()).without_limit("channel_send").recipient(recipient).start();
    eventually(s(40), "both are being told", || {
        same(&ops.discord.calls().len(), &1)?;
        let rows = world.records().notifications()?;
        so(rows.len() == 2 && rows.iter().all(|row| row.state == "sending"), || format!("{rows:?}"))
    });
    let (status, took) = app.term();
    assert!(status.success() && took < s(10), "{status} after {took:?}");
    ops.discord.answer(Answer::Works);
    ops.mail_wire().pass();
    app.start_again();
    ops.hear(s(30), &["Missing: alice"]);
    throughout(s(2), "once", || ops.were_told(&["Missing: alice"]));
}

#[test]
fn killed_between_taking_and_answering_it_repeats_with_the_same_incident_id() {
    let test = "killed_between_taking_and_answering_it_repeats_with_the_same_incident_id";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    ops.discord.answer_next(Answer::TakesAndHangs);
    let recipient = Recipient::new("alice", &world.address("alice")).threshold("2s");
    let mut app = ops.on(world.setup()).without_limit("channel_send").recipient(recipient).start();
    eventually(s(40), "both have it", || ops.were_told(&["Missing: alice"]));
    app.kill9();
    app.start_again();
    let again = ["Missing: alice", "Missing: alice"];
    eventually(s(40), "it is told again", || match_story("Discord", &ops.discord.alerts(), &again));
    let [discord, mail] = ops.told();
    assert_eq!(discord[0].incidents, discord[1].incidents);
    // The mail had been answered; whether that was committed before the kill is a matter of luck.
    assert!(mail.len() <= 2 && mail.iter().all(|alert| alert.incidents == discord[0].incidents), "{mail:?}");
    throughout(s(3), "and no more", || match_story("Discord", &ops.discord.alerts(), &again));
}

/// How often each was told on one channel: by what was told and the incident.
fn counted(story: &[Alert]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for alert in story {
        for id in &alert.incidents {
            *counts.entry((format!("{:?}", alert.told), id.clone())).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn killed_at_random_moments_of_an_outage_nothing_is_lost_and_repeats_carry_their_id() {
    let test = "killed_at_random_moments_of_an_outage_nothing_is_lost_and_repeats_carry_their_id";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let names = ["alice", "bob", "carol"];
    let recipients = names.map(|n| brisk(&world, n));
    let mut app = ops.on(world.setup()).limit("alert_gather", "\"300ms\"").recipients(recipients).start();
    let mut kills = 0;
    let mut kill = |app: &mut crate::lab::app::App| {
        app.kill9();
        app.start_again();
        app.await_active();
        kills += 1;
        std::thread::sleep(Duration::from_millis(rand::random_range(0..2500)));
    };
    let open = |count: usize| -> Look {
        let incidents = world.records().incidents()?;
        same(&incidents.iter().filter(|incident| incident.resolved_at.is_none()).count(), &count)
    };
    for name in names {
        world.lab.policy.set(&world.address(name), Fate::Lost);
    }
    // Killed until everything has been found missing, and then until everything has recovered.
    for wanted in [names.len(), 0] {
        let mut rounds = 0;
        while open(wanted).is_err() && rounds < 6 {
            kill(&mut app);
            rounds += 1;
        }
        eventually(s(60), "the incidents are as they should be", || open(wanted));
        kill(&mut app);
        for name in names {
            world.lab.policy.clear(&world.address(name));
        }
    }
    eventually(s(60), "everything is delivered", || {
        let open: Vec<_> =
            world.records().notifications()?.into_iter().filter(|row| row.state != "delivered").collect();
        so(open.is_empty(), || format!("{open:?}"))
    });
    // The truth: each incident was told, at its opening and at its end, on each channel; more than once only where a kill
    // came between the taking and our noting it.
    let incidents: BTreeSet<String> = world
        .records()
        .incidents()
        .unwrap()
        .iter()
        .map(|incident| maildt::domain::alert::IncidentId(incident.id).to_string())
        .collect();
    assert_eq!(incidents.len(), names.len(), "a restart opened one again");
    for story in ops.told() {
        let counts = counted(&story);
        for id in &incidents {
            for told in [Told::Opened, Told::Recovered] {
                let times = counts.get(&(format!("{told:?}"), id.clone())).copied().unwrap_or_default();
                assert!(times >= 1, "{told:?} of {id} was never told: {counts:?}");
            }
        }
        let told: BTreeSet<&String> = counts.keys().map(|(_, id)| id).collect();
        assert_eq!(told, incidents.iter().collect(), "told of what is no incident");
        let repeats: usize = counts.values().map(|times| times - 1).sum();
        assert!(repeats <= kills * names.len(), "{repeats} repeats with {kills} kills: {counts:?}");
    }
    let mail = ops.mail();
    for (one, other) in mail.iter().flat_map(|a| mail.iter().map(move |b| (a, b))) {
        let same_news = one.told == other.told && one.incidents == other.incidents;
        assert!(
            !same_news || one.headers.message_id == other.headers.message_id,
            "a repeat is not the same message"
        );
    }
}

#[test]
fn a_verdict_its_incident_and_its_notifications_are_there_together_or_not_at_all() {
    let test = "a_verdict_its_incident_and_its_notifications_are_there_together_or_not_at_all";
    let Some(ops) = OnCall::new(test) else { return };
    let builtin = BuiltIn::new();
    builtin.faults().add(Rule::delivery(Delivery::Drop));
    let count = 40;
    let recipients = (0..count).map(|n| {
        Recipient::new(&format!("r{n:02}"), &format!("r{n:02}@demo.test"))
            .threshold(&format!("{}s", 2 + n % 4))
    });
    let mut app = ops.on(builtin.setup()).recipients(recipients).start();
    // One statement sees one state of the database.
    let look = || -> Look<i64> {
        let rows = builtin.database.query(
            "SELECT (SELECT count(*) FROM maildt.probes WHERE was_missing), (SELECT count(*) FROM maildt.incidents), \
                    (SELECT count(*) FROM maildt.notifications)",
            &[],
        );
        let rows = rows.map_err(|e| e.to_string())?;
        let [missing, incidents, notifications]: [i64; 3] = [0, 1, 2].map(|column| rows[0].get(column));
        assert_eq!((incidents, notifications), (missing, 2 * missing), "not one transaction");
        Ok(missing)
    };
    for some in [1, 5, 15] {
        eventually(s(60), "some are missing", || so(look()? >= some, || "not yet".to_owned()));
        app.kill9();
        look().unwrap();
        app.start_again();
    }
    eventually(s(60), "all are judged", || {
        look()?;
        let judged = builtin.records().read()?.iter().filter(|probe| probe.result.is_some()).count();
        same(&i64::try_from(judged).unwrap(), &count)
    });
    // A kill while one is being sent leaves that one undecided.
    let missing = look().unwrap();
    assert!(missing > count / 2, "{missing} of {count} are missing");
}

#[test]
fn of_two_instances_one_tells_and_the_other_goes_on_where_it_was_killed() {
    let test = "of_two_instances_one_tells_and_the_other_goes_on_where_it_was_killed";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let setup = ops.on(world.setup()).recipient(brisk(&world, "alice"));
    let second = setup.beside();
    let mut one = setup.start();
    one.await_active();
    let two = second.start();
    ops.hear(s(40), &["Missing: alice"]);
    is_on_record(&world);
    same(&two.metrics().unwrap().sum("maildt_notifications_total"), &0.0).unwrap();
    one.kill9();
    two.await_active();
    eventually(s(10), "it knows what is open", || open_incidents(&two, "missing", 1.0));
    throughout(s(3), "nothing is repeated", || ops.were_told(&["Missing: alice"]));
    world.lab.policy.clear(&world.address("alice"));
    ops.hear(s(40), &["Missing: alice", "Recovered: alice"]);
}
