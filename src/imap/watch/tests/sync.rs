//! What is looked at, and what is not.

use std::time::{Duration, Instant};

use super::fake::{Fake, Fault, Mail, TOKEN, probe};
use super::{SOON, Scene, eventually, probe_id};
use crate::config::Cleanup;
use crate::domain::verdict::Placement;
use crate::imap::watch::{Event, MessageRef};

#[tokio::test]
async fn an_arrival_is_told_when_the_server_announces_it() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    let (first, _) = scene.synced().await;
    eventually("it idles", || fake.count("IDLE") == 1).await;
    let before = Instant::now();
    let uid = fake.deliver(&probe(1));
    let found = scene.found().await;
    assert_eq!(found.message.uid, uid);
    assert_eq!(found.previous_look, Some(first.started));
    assert_eq!(found.covered_since, Some(first.covered_since));
    assert!(found.seen_at >= before);
    assert!(found.header.starts_with(b"Subject: MAILDT-PROBE"));
    assert_eq!(found.internal_date, "2026-11-22T13:00:00Z".parse().ok());
    let (synced, more) = scene.synced().await;
    assert!(more.is_empty());
    assert!(found.seen_at < synced.finished);
    assert!(synced.started < before, "nothing is claimed for the time after the last command that tells all");
    assert_eq!(synced.resume.unwrap().next_uid, uid + 1);
    assert_eq!(fake.count("IDLE"), 1, "no look was needed but the one announced");
    scene.stop().await;
}

#[tokio::test]
async fn foreign_mail_is_neither_fetched_nor_told() {
    let fake = Fake::start().await;
    for n in 0..100_000 {
        fake.state().mails.push(Mail {
            uid: n + 1,
            header: "Subject: hi\r\n\r\n".to_owned(),
            body: String::new(),
        });
    }
    fake.state().uid_next = 100_001;
    let mut scene = Scene::of(&fake).start();
    let (synced, found) = scene.synced().await;
    assert!(found.is_empty());
    assert_eq!(synced.resume.unwrap().next_uid, 100_001);
    assert_eq!(fake.count("UID FETCH"), 0);
    eventually("it idles", || fake.count("IDLE") == 1).await;
    fake.deliver("Subject: spam\r\n\r\n");
    let (_, found) = scene.synced().await;
    assert!(found.is_empty());
    let log = fake.state().log.join("\n");
    assert!(!log.contains("STORE") && !log.contains("EXPUNGE") && !log.contains("BODY["), "{log}");
    scene.stop().await;
}

#[tokio::test]
async fn the_last_message_that_every_range_includes_is_not_new() {
    let fake = Fake::start().await;
    fake.deliver(&probe(1));
    let mut scene = Scene::of(&fake).resume(7, 2).start();
    let (_, found) = scene.synced().await;
    assert!(found.is_empty(), "UID 1 is below the watermark");
    scene.outlook().ask_round();
    let (_, found) = scene.synced().await;
    assert!(found.is_empty());
    // EXISTS without a new message: somebody else removed one and it is told badly.
    fake.fault("NOOP", Fault::Before("* 9 EXISTS\r\n"), 1);
    scene.outlook().ask_round();
    assert!(scene.synced().await.1.is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn an_earlier_process_is_taken_up_where_it_ended() {
    let fake = Fake::start().await;
    for n in 1..=3 {
        fake.deliver(&probe(n));
    }
    let mut scene = Scene::of(&fake).resume(7, 3).start();
    let (_, found) = scene.synced().await;
    let uids: Vec<u32> = found.iter().map(|found| found.message.uid).collect();
    assert_eq!(uids, [3]);
    assert_eq!((found[0].previous_look, found[0].covered_since), (None, None));
    scene.stop().await;
}

#[tokio::test]
async fn with_open_probes_the_end_of_the_earlier_work_is_done_again() {
    let fake = Fake::start().await;
    for n in 1..=3 {
        fake.deliver(&probe(n));
    }
    let mut scene = Scene::of(&fake).resume(7, 3).with_open_probe().start();
    let (_, found) = scene.synced().await;
    let uids: Vec<u32> = found.iter().map(|found| found.message.uid).collect();
    assert_eq!(uids, [1, 2, 3]);
    scene.stop().await;
}

#[tokio::test]
async fn without_a_watermark_but_with_open_probes_it_looks_back() {
    let fake = Fake::start().await;
    fake.deliver(&probe(1));
    fake.deliver("Subject: foreign\r\n\r\n");
    let mut scene = Scene::of(&fake).with_open_probe().start();
    let (synced, found) = scene.synced().await;
    assert_eq!(found.len(), 1);
    assert_eq!(synced.resume.unwrap().next_uid, 3);
    scene.stop().await;
}

#[tokio::test]
async fn of_many_recent_messages_the_server_finds_ours() {
    let fake = Fake::start().await;
    for _ in 0..3000 {
        fake.deliver("Subject: foreign\r\n\r\n");
    }
    fake.deliver(&probe(1));
    let mut scene = Scene::of(&fake).with_open_probe().start();
    assert_eq!(scene.synced().await.1.len(), 1);
    assert_eq!(fake.count("UID FETCH"), 1);
    scene.outlook().ask_round();
    assert!(scene.synced().await.1.is_empty());
    assert_eq!(fake.count("UID FETCH"), 1, "foreign messages are not fetched in a round");
    scene.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_search_headers_sends_them_all() {
    let fake = Fake::start().await;
    for _ in 0..2500 {
        fake.deliver("Subject: foreign\r\n\r\n");
    }
    fake.deliver(&probe(1));
    fake.fault("UID SEARCH SINCE 20-Nov-2026 OR", Fault::Answer("NO [CANNOT] no such search"), 9);
    let mut scene = Scene::of(&fake).with_open_probe().start();
    assert_eq!(scene.synced().await.1.len(), 1);
    scene.stop().await;
}

#[tokio::test]
async fn new_uidvalidity_means_looking_back_before_anything_counts() {
    let fake = Fake::start().await;
    fake.state().uid_next = 500;
    let mut scene = Scene::of(&fake).with_open_probe().start();
    scene.synced().await;
    {
        let mut state = fake.state();
        (state.uidvalidity, state.uid_next) = (8, 1);
    }
    fake.deliver(&probe(1));
    fake.fault("NOOP", Fault::HangUp, 1);
    scene.outlook().ask_round();
    scene.lost().await;
    let (synced, found) = scene.synced().await;
    assert_eq!(found.len(), 1, "UID 1 is below the old watermark");
    assert_eq!((found[0].message.uidvalidity, found[0].message.uid), (8, 1));
    assert_eq!(synced.resume.unwrap().uidvalidity, 8);
    scene.stop().await;
}

#[tokio::test]
async fn a_look_back_that_failed_is_done_again() {
    let fake = Fake::start().await;
    fake.deliver(&probe(1));
    fake.fault("UID SEARCH SINCE", Fault::Answer("NO [SERVERBUG] internal error"), 1);
    let mut scene = Scene::of(&fake).resume(6, 100).with_open_probe().start();
    assert_eq!(scene.lost().await.reason.as_str(), "other");
    fake.fault("UID FETCH", Fault::HangUp, 1);
    scene.lost().await;
    let (_, found) = scene.synced().await;
    assert_eq!(found.len(), 1);
    scene.stop().await;
}

#[tokio::test]
async fn a_folder_restored_from_a_backup_is_looked_at_anew() {
    let fake = Fake::start().await;
    fake.deliver(&probe(1));
    let mut scene = Scene::of(&fake).resume(7, 400).with_open_probe().start();
    let (synced, found) = scene.synced().await;
    assert_eq!(found.len(), 1);
    assert_eq!(synced.resume.unwrap().next_uid, 2);
    scene.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_tell_uidnext() {
    for mails in [0, 3] {
        let fake = Fake::start().await;
        fake.state().tells_uid_next = false;
        for n in 0..mails {
            fake.deliver(&probe(n));
        }
        let mut scene = Scene::of(&fake).start();
        let (synced, found) = scene.synced().await;
        assert!(found.is_empty());
        assert_eq!(synced.resume.unwrap().next_uid, mails + 1);
        scene.stop().await;
    }
}

#[tokio::test]
async fn a_round_is_answered_at_once_by_a_look_that_began_after_it() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    assert_eq!(scene.synced().await.0.round, 0);
    let asked = Instant::now();
    let round = scene.outlook().ask_round();
    let (synced, _) = scene.synced().await;
    assert_eq!(synced.round, round);
    assert!(synced.started >= asked);
    scene.stop().await;
}

#[tokio::test]
async fn a_round_finds_what_the_server_shows_late_below_the_watermark() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).with_open_probe().start();
    scene.synced().await;
    fake.state().uid_next = 5;
    fake.deliver(&probe(5));
    assert_eq!(scene.found().await.message.uid, 5);
    scene.synced().await;
    fake.state().mails.insert(0, Mail { uid: 2, header: probe(2), body: String::new() });
    scene.outlook().ask_round();
    let (_, found) = scene.synced().await;
    let uids: Vec<u32> = found.iter().map(|found| found.message.uid).collect();
    assert_eq!(uids, [2]);
    scene.outlook().ask_round();
    scene.synced().await;
    scene.outlook().ask_round();
    let (_, found) = scene.synced().await;
    assert!(found.is_empty(), "it is told once");
    scene.stop().await;
}

#[tokio::test]
async fn young_probes_are_asked_for_and_old_expectations_are_not_dropped() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    eventually("it idles", || fake.count("IDLE") == 1).await;
    assert_eq!(fake.count("NOOP"), 1);
    scene.outlook().expect(probe_id(1), Instant::now());
    eventually("it asks", || fake.count("NOOP") > 3).await;
    scene.outlook().settle(probe_id(1));
    eventually("it idles again", || fake.state().log.last().is_some_and(|line| line == "IDLE")).await;
    scene.stop().await;
}

#[tokio::test]
async fn with_active_look_off_nobody_asks() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.active_look = false).start();
    scene.synced().await;
    scene.outlook().expect(probe_id(1), Instant::now());
    eventually("it idles", || fake.count("IDLE") == 1).await;
    fake.deliver(&probe(1));
    scene.found().await;
    assert_eq!(fake.count("NOOP"), 1, "that of the first look");
    scene.stop().await;
}

#[tokio::test]
async fn a_report_is_told_with_its_body_when_that_mentions_a_probe() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    let report = "From: MAILER-DAEMON@x\r\nSubject: Undelivered\r\n\r\n";
    for (uid, body) in [(1, "about something else"), (2, TOKEN)] {
        let body = format!("Original message: {body}\r\n");
        fake.state().mails.push(Mail { uid, header: report.to_owned(), body });
    }
    fake.state().uid_next = 3;
    scene.outlook().ask_round();
    let (_, found) = scene.synced().await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message.uid, 2);
    assert!(String::from_utf8_lossy(found[0].body.as_ref().unwrap()).contains(TOKEN));
    scene.stop().await;
}

#[tokio::test]
async fn a_missing_special_folder_takes_part_in_rounds_until_it_appears() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake)
        .with_open_probe()
        .mailbox(|mailbox| mailbox.folders = vec!["\\Junk".to_owned()])
        .start();
    let Event::Connected(connected) = scene.event().await else { panic!() };
    assert!(connected.is_absent);
    assert_eq!(scene.synced().await.0.resume, None);
    let round = scene.outlook().ask_round();
    assert_eq!(scene.synced().await.0.round, round);
    fake.state().folders.push(("\\Junk", "Spam &AOQ-"));
    fake.deliver(&probe(1));
    scene.outlook().ask_round();
    let (_, found) = scene.synced().await;
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].place.folder, &*found[0].place.name), ("\\Junk", "Spam ä"));
    assert_eq!(found[0].place.placement, Placement::Junk);
    assert_eq!(fake.count("SELECT \"Spam &AOQ-\""), 1);
    scene.stop().await;
}

fn message(uidvalidity: u32, uid: u32) -> MessageRef {
    MessageRef { folder: "INBOX".into(), uidvalidity, uid }
}

async fn released(scene: &mut Scene, fake: &Fake) {
    scene.synced().await;
    eventually("it idles", || fake.count("IDLE") == 1).await;
    for n in 1..=5 {
        fake.deliver(&probe(n));
    }
    for _ in 1..=5 {
        let found = scene.found().await;
        scene.watch.as_ref().unwrap().release(&found.message);
    }
    // Of another life of the folder: not ours to touch.
    scene.watch.as_ref().unwrap().release(&message(6, 1));
}

#[tokio::test]
async fn committed_messages_are_removed_many_at_once() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    released(&mut scene, &fake).await;
    eventually("they are gone", || fake.state().mails.is_empty()).await;
    let log: Vec<String> = fake.state().log.iter().filter(|line| line.contains(" 1:5")).cloned().collect();
    assert_eq!(log, ["UID STORE 1:5 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 1:5"]);
    scene.stop().await;
}

#[tokio::test]
async fn without_uidplus_they_are_flagged_and_left() {
    let fake = Fake::start().await;
    fake.state().capabilities = "IMAP4rev1 IDLE";
    let mut scene = Scene::of(&fake).start();
    released(&mut scene, &fake).await;
    eventually("they are flagged", || fake.count("UID STORE 1:5 +FLAGS.SILENT (\\Deleted)") == 1).await;
    eventually("it goes on", || fake.state().log.last().is_some_and(|line| line == "IDLE")).await;
    assert!(fake.state().log.iter().all(|line| !line.contains("EXPUNGE")));
    scene.stop().await;
}

#[tokio::test]
async fn kept_messages_are_not_touched_and_the_folder_is_opened_read_only() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.cleanup = Cleanup::Keep).start();
    released(&mut scene, &fake).await;
    scene.stop().await;
    assert_eq!((fake.count("EXAMINE"), fake.count("SELECT"), fake.count("UID STORE")), (1, 0, 0));
}

#[tokio::test]
async fn a_refused_clean_up_does_not_stop_the_looking() {
    let fake = Fake::start().await;
    fake.fault("UID STORE", Fault::Answer("NO read-only"), 9);
    let mut scene = Scene::of(&fake).mailbox(|mailbox| mailbox.cleanup = Cleanup::Seen).start();
    released(&mut scene, &fake).await;
    eventually("it tries", || fake.count("UID STORE 1:5 +FLAGS.SILENT (\\Seen)") == 1).await;
    let round = scene.outlook().ask_round();
    while scene.synced().await.0.round < round {}
    scene.stop().await;
}

#[tokio::test]
async fn what_is_released_last_is_removed_before_it_stops() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    fake.deliver(&probe(1));
    let found = scene.found().await;
    scene.watch.as_ref().unwrap().release(&found.message);
    scene.stop().await;
    assert!(fake.state().mails.is_empty());
    assert_eq!(fake.state().log.last().unwrap(), "LOGOUT");
}

#[tokio::test]
async fn a_server_without_idle_is_polled() {
    let fake = Fake::start().await;
    fake.state().capabilities = "IMAP4rev1";
    let mut scene = Scene::of(&fake).check_interval(Duration::from_millis(50)).start();
    scene.synced().await;
    fake.deliver(&probe(1));
    scene.found().await;
    assert_eq!(fake.count("IDLE"), 0);
    scene.stop().await;
}

#[tokio::test]
async fn messages_that_vanish_during_a_look_only_repeat_it() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    fake.fault("UID FETCH", Fault::Answer("NO [EXPUNGEISSUED] gone"), 2);
    fake.deliver(&probe(1));
    let (_, found) = scene.synced().await;
    assert!(!found.is_empty());
    scene.stop().await;
}

#[tokio::test]
async fn a_full_look_is_due_after_the_interval_also_in_idle() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).check_interval(Duration::from_millis(100)).start();
    let start = Instant::now();
    for _ in 0..4 {
        scene.synced().await;
    }
    assert!(start.elapsed() < SOON);
    assert!(start.elapsed() > Duration::from_millis(250));
    assert!(fake.count("IDLE") >= 3);
    scene.stop().await;
}
