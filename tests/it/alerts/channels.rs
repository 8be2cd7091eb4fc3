//! Channels that refuse, hang and fail: nothing is lost, nothing else waits, and the other channel hears of it.

use std::time::Duration;

use super::{brisk, healthy, open_incidents};
use crate::lab::app::{App, Recipient};
use crate::lab::discord::Answer;
use crate::lab::heartbeat::Heartbeat;
use crate::lab::metrics::get;
use crate::lab::oncall::{OnCall, match_story};
use crate::lab::policy::{Fate, Stage};
use crate::lab::proxy::{At, Towards};
use crate::lab::wait::{Look, eventually, s, same, so, throughout};
use crate::lab::world::World;

/// One probe, lost, soon missing.
fn lost(world: &World, name: &str) -> Recipient {
    world.lab.policy.set(&world.address(name), Fate::Lost);
    Recipient::new(name, &world.address(name)).threshold("2s")
}

fn failures(app: &App, channel: &str) -> Look<f64> {
    let series = format!("maildt_notification_failures_total{{channel=\"{channel}\"}}");
    app.metrics()?.get(&series).ok_or_else(|| format!("no {series}"))
}

fn hear_on_mail(ops: &OnCall, story: &[&str]) {
    eventually(s(40), "it is told by mail", || match_story("mail", &ops.mail(), story));
}

fn hear_on_discord(ops: &OnCall, story: &[&str]) {
    eventually(s(40), "it is told on Discord", || match_story("Discord", &ops.discord.alerts(), story));
}

#[test]
fn a_rate_limit_of_discord_is_waited_for_and_is_no_failure() {
    let test = "a_rate_limit_of_discord_is_waited_for_and_is_no_failure";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let wait = Duration::from_secs(5);
    ops.discord.answer_next(Answer::RateLimited(wait));
    // Longer than a channel may fail: being asked to wait is not failing.
    let app =
        ops.on(world.setup()).limit("channel_down_after", "\"2s\"").recipient(lost(&world, "alice")).start();
    hear_on_discord(&ops, &["Missing: alice"]);
    let calls = ops.discord.calls();
    let [limited, taken] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((limited.status, taken.status), (Some(429), Some(200)));
    assert!(taken.at - limited.at >= wait);
    assert!(failures(&app, "discord").unwrap() < 0.5);
    ops.were_told(&["Missing: alice"]).unwrap();
    let tries: Vec<i32> = world.records().notifications().unwrap().iter().map(|row| row.tries).collect();
    assert!(tries.iter().all(|tries| *tries <= 1), "{tries:?}");
}

#[test]
fn a_webhook_that_is_gone_is_told_by_mail_at_once_and_left_alone_until_there_is_another() {
    let test = "a_webhook_that_is_gone_is_told_by_mail_at_once_and_left_alone_until_there_is_another";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let mut app = ops.on(world.setup()).recipient(lost(&world, "alice")).start();
    ops.discord.replace_webhook();
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down"]);
    open_incidents(&app, "channel_down", 1.0).unwrap();
    app.join(lost(&world, "bob"));
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down", "Missing: bob"]);
    eventually(s(10), "it is on record that mail was taken", || {
        let rows = world.records().notifications()?;
        let waits = rows.iter().any(|row| row.channel != "discord" && row.state != "delivered");
        so(!waits, || format!("{rows:?}"))
    });
    // A restart does not forget it either.
    app.kill9();
    app.start_again();
    app.await_active();
    throughout(s(3), "it is left alone", || {
        same(&ops.discord.calls().len(), &1)?;
        match_story("mail", &ops.mail(), &["Missing: alice", "Alert channel down", "Missing: bob"])
    });
    let (status, _) = app.term();
    assert!(status.success());
    app.setup = app.setup.clone().env("DISCORD_WEBHOOK_URL", &ops.discord.url());
    app.start_again();
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down", "Missing: bob", "Recovered"]);
    eventually(s(20), "what had waited is told", || {
        let alerts = ops.discord.alerts();
        so(["alice", "bob"].iter().all(|name| alerts.iter().any(|alert| alert.says(name))), || {
            format!("{alerts:?}")
        })
    });
    eventually(s(5), "nothing is wrong with the channel", || open_incidents(&app, "channel_down", 0.0));
}

#[test]
fn a_webhook_that_refuses_us_is_told_by_mail_at_once_and_left_alone() {
    let test = "a_webhook_that_refuses_us_is_told_by_mail_at_once_and_left_alone";
    let mut parts = Vec::new();
    for status in [401, 403] {
        let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
        ops.discord.answer(Answer::Status(status));
        let app = ops.on(world.setup()).recipient(lost(&world, "alice")).start();
        parts.push((status, world, ops, app));
    }
    for (status, _, ops, _) in &parts {
        hear_on_mail(ops, &["Missing: alice", "Alert channel down"]);
        assert!(ops.mail()[1].says(&status.to_string()), "{}", ops.mail()[1].text);
    }
    throughout(s(3), "they are left alone", || {
        parts.iter().try_for_each(|(_, _, ops, _)| same(&ops.discord.calls().len(), &1))
    });
}

#[test]
fn another_webhook_in_the_file_works_without_a_restart() {
    let test = "another_webhook_in_the_file_works_without_a_restart";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let in_file = |ops: &OnCall| format!("discord_webhook_url = {:?}\n", ops.discord.url());
    let setup = ops.on(world.setup()).without("DISCORD_WEBHOOK_URL").top(&in_file(&ops));
    let mut app = setup.recipient(lost(&world, "alice")).start();
    ops.discord.replace_webhook();
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down"]);
    app.setup = app.setup.clone().top(&in_file(&ops));
    app.setup.write();
    app.signal(nix::sys::signal::Signal::SIGHUP);
    hear_on_discord(&ops, &["Missing: alice"]);
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down", "Recovered"]);
}

#[test]
fn a_failing_discord_is_told_by_mail_and_gets_everything_in_order_when_it_heals() {
    let test = "a_failing_discord_is_told_by_mail_and_gets_everything_in_order_when_it_heals";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.discord.answer(Answer::Status(500));
    let setup = ops.on(world.setup()).limit("channel_down_after", "\"4s\"");
    let app = setup.recipient(brisk(&world, "alice")).start();
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down"]);
    assert!(failures(&app, "discord").unwrap() >= 2.0);
    world.lab.policy.clear(&world.address("alice"));
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down", "Recovered: alice"]);
    assert!(ops.discord.alerts().is_empty());
    ops.discord.answer(Answer::Works);
    hear_on_discord(&ops, &["Missing: alice", "Recovered: alice"]);
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down", "Recovered: alice", "Recovered"]);
}

#[test]
fn failing_alert_mail_is_told_on_discord_and_nothing_is_lost() {
    let test = "failing_alert_mail_is_told_on_discord_and_nothing_is_lost";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.mail_wire().refuse();
    let setup = ops.on(world.setup()).limit("channel_down_after", "\"4s\"");
    let app = setup.recipient(lost(&world, "alice")).start();
    hear_on_discord(&ops, &["Missing: alice", "Alert channel down"]);
    assert!(failures(&app, "email").unwrap() >= 1.0);
    ops.mail_wire().pass();
    hear_on_mail(&ops, &["Missing: alice"]);
    hear_on_discord(&ops, &["Missing: alice", "Alert channel down", "Recovered"]);
}

#[test]
fn a_hung_discord_delays_neither_alert_mail_nor_probes() {
    let test = "a_hung_discord_delays_neither_alert_mail_nor_probes";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.discord.wire().stall();
    // As users have it: one try may take 30 s.
    let setup = ops.on(world.setup()).without_limit("channel_send");
    let mut app = setup.recipient(lost(&world, "alice")).recipient(healthy(&world, "bob")).start();
    hear_on_mail(&ops, &["Missing: alice"]);
    app.join(lost(&world, "carol"));
    hear_on_mail(&ops, &["Missing: alice", "Missing: carol"]);
    eventually(s(5), "only Discord waits", || {
        let rows = world.records().notifications()?;
        so(rows.iter().all(|row| (row.channel == "discord") == (row.state != "delivered")), || {
            format!("{rows:?}")
        })
    });
    let so_far = world.records().of("bob").len();
    eventually(s(20), "probes go on and are seen at once", || {
        let bob = world.records().of("bob");
        so(bob.len() >= so_far + 3, || "not yet".to_owned())?;
        let slow = bob.iter().find(|p| p.latency_ms.is_some_and(|ms| ms > 3000.0));
        same(&slow, &None)
    });
    ops.discord.wire().pass();
    hear_on_discord(&ops, &["Missing: alice", "Missing: carol"]);
}

#[test]
fn hung_alert_mail_delays_neither_discord_nor_probes() {
    let test = "hung_alert_mail_delays_neither_discord_nor_probes";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.mail_wire().stall();
    let setup = ops.on(world.setup()).without_limit("channel_send");
    let mut app = setup.recipient(lost(&world, "alice")).recipient(healthy(&world, "bob")).start();
    hear_on_discord(&ops, &["Missing: alice"]);
    app.join(lost(&world, "carol"));
    hear_on_discord(&ops, &["Missing: alice", "Missing: carol"]);
    assert!(ops.mail().is_empty());
    let so_far = world.records().of("bob").len();
    eventually(s(20), "probes go on", || so(world.records().of("bob").len() >= so_far + 2, String::new));
    ops.mail_wire().pass();
    hear_on_mail(&ops, &["Missing: alice", "Missing: carol"]);
}

#[test]
fn what_nobody_takes_for_too_long_is_given_up_and_said_so_on_record() {
    let test = "what_nobody_takes_for_too_long_is_given_up_and_said_so_on_record";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.discord.answer(Answer::Status(500));
    let setup = ops.on(world.setup()).limit("notification_dead_after", "\"4s\"");
    let _app = setup.recipient(lost(&world, "alice")).start();
    let state = |channel: &str, state: &str| -> Look {
        let rows = world.records().notifications()?;
        let row = rows.iter().find(|row| row.channel.starts_with(channel)).ok_or("no row")?;
        same(&row.state.as_str(), &state)
    };
    eventually(s(40), "it is given up", || state("discord", "dead"));
    eventually(s(10), "the other channel has it", || state("email", "delivered"));
    ops.discord.answer(Answer::Works);
    throughout(s(3), "it stays given up", || match_story("Discord", &ops.discord.alerts(), &[]));
}

#[test]
fn a_message_that_discord_does_not_take_in_its_form_goes_as_plain_text() {
    let test = "a_message_that_discord_does_not_take_in_its_form_goes_as_plain_text";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.discord.answer_next(Answer::Status(400));
    let _app = ops.on(world.setup()).recipient(lost(&world, "alice")).start();
    let [discord, _] = ops.hear(s(40), &["Missing: alice"]);
    assert_eq!(discord[0].incidents.len(), 1, "{}", discord[0].text);
    let calls = ops.discord.calls();
    assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [Some(400), Some(200)]);
    assert!(calls[1].message.get("embeds").is_none(), "{}", calls[1].message);
    throughout(s(2), "once", || ops.were_told(&["Missing: alice"]));
}

#[test]
fn an_address_that_is_refused_holds_up_no_other() {
    let test = "an_address_that_is_refused_holds_up_no_other";
    let (Some(world), Some(ops), Some(gone)) = (World::new(test), OnCall::new(test), OnCall::new(test))
    else {
        return;
    };
    let unknown = Fate::Refused(Stage::Rcpt, "550 5.1.1 Nobody of that name".to_owned());
    world.lab.policy.set(&gone.address(), unknown);
    let both = format!("{},{}", gone.address(), ops.address());
    let setup =
        ops.on(world.setup()).env("ALERT_MAIL_RECIPIENT", &both).limit("channel_down_after", "\"3s\"");
    let mut app = setup.recipient(lost(&world, "alice")).start();
    hear_on_discord(&ops, &["Missing: alice", "Alert channel down"]);
    let said = ops.discord.alerts()[1].clone();
    assert!(said.says(&gone.address()) && said.says("Nobody of that name"), "{}", said.text);
    app.join(lost(&world, "bob"));
    hear_on_mail(&ops, &["Missing: alice", "Alert channel down", "Missing: bob"]);
    assert!(gone.mail().is_empty());
    world.lab.policy.clear(&gone.address());
    eventually(s(40), "in the end it has all that it missed", || {
        let mail = gone.mail();
        so(["alice", "bob"].iter().all(|name| mail.iter().any(|alert| alert.says(name))), || {
            format!("{mail:?}")
        })
    });
    let healed = ["Missing: alice", "Alert channel down", "Missing: bob", "Recovered"];
    hear_on_discord(&ops, &healed);
    hear_on_mail(&ops, &healed);
}

#[test]
fn alert_mail_by_the_account_that_fails_waits_for_it() {
    let test = "alert_mail_by_the_account_that_fails_waits_for_it";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let own = ["HOST", "PORT", "USER", "PASS", "TLS"];
    let setup = own.iter().fold(ops.on(world.setup()), |s, name| s.without(&format!("ALERT_SMTP_{name}")));
    world.smtp().refuse();
    let _app = setup.recipient(brisk(&world, "alice")).start();
    hear_on_discord(&ops, &["Submission server unreachable"]);
    assert!(ops.mail().is_empty());
    world.smtp().pass();
    let story = ["Submission server unreachable", "Recovered"];
    hear_on_discord(&ops, &story);
    hear_on_mail(&ops, &story);
}

#[test]
fn an_ambiguous_send_is_repeated_with_the_same_incident_id_and_nothing_else_is() {
    let test = "an_ambiguous_send_is_repeated_with_the_same_incident_id_and_nothing_else_is";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.discord.answer_next(Answer::TakesAndHangs);
    ops.mail_wire().cut_at(Towards::Client, At::Before(b"250 2.0.0 Ok: queued"));
    let app = ops.on(world.setup()).recipient(lost(&world, "alice")).start();
    ops.hear(s(40), &["Missing: alice", "Missing: alice"]);
    let [discord, mail] = ops.told();
    for story in [&discord, &mail] {
        assert_eq!(story[0].incidents.len(), 1);
        assert_eq!(story[0].incidents, story[1].incidents);
    }
    assert_eq!(
        mail[0].headers.message_id, mail[1].headers.message_id,
        "a mail program can tell that it is the same"
    );
    eventually(s(5), "all is delivered", || {
        let rows = world.records().notifications()?;
        so(rows.len() == 2 && rows.iter().all(|row| row.state == "delivered"), || format!("{rows:?}"))
    });
    throughout(s(2), "and no more is sent", || ops.were_told(&["Missing: alice", "Missing: alice"]));
    drop(app);
}

#[test]
fn a_database_that_goes_away_while_an_alert_is_being_taken_makes_no_repeat() {
    let test = "a_database_that_goes_away_while_an_alert_is_being_taken_makes_no_repeat";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let answer = ops.discord.wire().hold_at(Towards::Client, At::Before(b"HTTP/1.1 200"));
    let reply = ops.mail_wire().hold_at(Towards::Client, At::Before(b"250 2.0.0 Ok: queued"));
    // A lease and a send that outlive the outage, as those of users do.
    let setup = ops.on(world.setup()).without_limit("lease").without_limit("lease_renew");
    let app = setup.without_limit("channel_send").recipient(lost(&world, "alice")).start();
    answer.wait(s(40));
    reply.wait(s(20));
    ops.hear(s(10), &["Missing: alice"]);
    world.sql().refuse();
    answer.release();
    reply.release();
    eventually(s(10), "the database is missed", || so(app.ready().is_err(), String::new));
    world.sql().pass();
    eventually(s(20), "both are settled", || {
        let rows = world.records().notifications()?;
        so(rows.iter().all(|row| row.state == "delivered"), || format!("{rows:?}"))
    });
    throughout(s(2), "and not repeated", || ops.were_told(&["Missing: alice"]));
}

#[test]
fn when_every_channel_is_down_the_heartbeat_stops_and_the_program_stays_ready() {
    let test = "when_every_channel_is_down_the_heartbeat_stops_and_the_program_stays_ready";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let heartbeat = Heartbeat::new();
    let setup = heartbeat.on(ops.on(world.setup())).limit("channel_down_after", "\"4s\"");
    let mut app = setup.start();
    eventually(s(20), "it beats", || heartbeat.beats());
    ops.mail_wire().refuse();
    app.join(lost(&world, "alice"));
    hear_on_discord(&ops, &["Missing: alice", "Alert channel down"]);
    throughout(s(5), "one channel is enough", || {
        heartbeat.beats()?;
        app.ready()
    });
    ops.discord.wire().refuse();
    app.join(lost(&world, "bob"));
    eventually(s(40), "it has stopped", || heartbeat.is_still());
    let body = get(app.address(), "/-/ready", "").unwrap();
    assert_eq!(body.status, 200, "{}", body.body);
    let ready: serde_json::Value = serde_json::from_str(&body.body).unwrap();
    let channels = ready["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 2, "{ready}");
    assert!(channels.iter().all(|channel| channel["up"] == false), "{ready}");
    app.healthy().unwrap();
    // Nothing of it goes out by itself when it heals before there is something to tell: what waits is tried again.
    ops.discord.wire().pass();
    ops.mail_wire().pass();
    eventually(s(40), "it beats again", || heartbeat.beats());
    eventually(s(40), "everything was told on both", || {
        let [discord, mail] = ops.told();
        so([discord, mail].iter().all(|story| story.iter().any(|alert| alert.says("bob"))), || {
            "not yet".to_owned()
        })
    });
}

#[test]
fn a_message_that_discord_refuses_for_good_is_given_up_and_the_channel_is_not_down() {
    let test = "a_message_that_discord_refuses_for_good_is_given_up_and_the_channel_is_not_down";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    ops.discord.dislike("alice");
    let setup = ops.by_discord(world.setup()).limit("channel_down_after", "\"3s\"");
    let mut app = setup.recipient(lost(&world, "alice")).start();
    eventually(s(40), "it is refused in both forms", || {
        let calls = ops.discord.calls();
        so(calls.len() >= 2 && calls.iter().all(|call| call.status == Some(400)), || format!("{calls:?}"))
    });
    app.join(lost(&world, "bob"));
    hear_on_discord(&ops, &["Missing: bob"]);
    let ended = || {
        let rows = world.database.query(
            "select n.state || ' ' || n.last_error from maildt.notifications n
             join maildt.incidents i on i.id = n.incident_id where i.details::text like '%alice%'",
            &[],
        );
        let rows = rows.map_err(|e| e.to_string())?;
        Ok::<_, String>(rows.iter().map(|row| row.get(0)).collect::<Vec<String>>())
    };
    eventually(s(20), "it is given up, with Discord's words", || {
        same(&ended()?, &vec!["dead 400 as the test wants it".to_owned()])
    });
    // It was told for longer than a channel may fail, and others were.
    let down =
        world.database.query("select 1 from maildt.incidents where kind = 'channel_down'", &[]).unwrap();
    assert_eq!(down.len(), 0);
    assert!(app.log().contains("given up: they will not be told on this channel"));
}
