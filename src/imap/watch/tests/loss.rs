//! Looks that did not happen.

use std::time::Duration;

use super::fake::{Fake, Fault, probe};
use super::{Scene, eventually, probe_id};
use crate::imap::error::Reason;

/// Lets the first look fail by `fault` at `command`: it is told as lost for `reason`, and the next connection finds
/// the probe.
async fn first_look_fails(command: &'static str, fault: Fault, reason: Reason) -> String {
    let fake = Fake::start().await;
    fake.deliver(&probe(1));
    fake.fault(command, fault, 1);
    let mut scene = Scene::of(&fake).resume(7, 1).start();
    let lost = scene.lost().await;
    assert_eq!(lost.reason, reason, "{}", lost.detail);
    let (_, found) = scene.synced().await;
    assert!(found.iter().any(|found| found.message.uid == 1));
    assert_eq!(fake.count("LOGIN"), 2, "a new connection");
    scene.stop().await;
    lost.detail
}

#[tokio::test]
async fn a_refused_search_is_not_an_empty_one() {
    for answer in ["NO [SERVERBUG] sorry", "BAD what"] {
        first_look_fails("UID SEARCH", Fault::Answer(answer), Reason::Other).await;
    }
    let empty = Fault::Raw("* SEARCH\r\nTAG NO sorry\r\n".to_owned());
    first_look_fails("UID SEARCH", empty, Reason::Other).await;
}

#[tokio::test]
async fn a_refused_fetch_is_not_an_empty_one() {
    first_look_fails("UID FETCH", Fault::Answer("NO internal error"), Reason::Other).await;
}

#[tokio::test]
async fn half_a_fetch_is_none() {
    let half = "* 1 FETCH (UID 1 BODY[HEADER]<0> {100}\r\nSubject: MAIL".to_owned();
    first_look_fails("UID FETCH", Fault::Raw(half), Reason::Timeout).await;
    first_look_fails("UID FETCH", Fault::HangUp, Reason::Closed).await;
}

#[tokio::test]
async fn silence_is_a_loss() {
    for command in ["SELECT", "UID SEARCH", "LOGIN"] {
        first_look_fails(command, Fault::Hang, Reason::Timeout).await;
    }
}

#[tokio::test]
async fn a_literal_beyond_all_bounds_is_refused() {
    let huge = Fault::Raw("* 1 FETCH (UID 1 BODY[HEADER]<0> {4294967295}\r\n".to_owned());
    first_look_fails("UID FETCH", huge, Reason::Protocol).await;
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in ["HTTP/1.1 200 OK\r\n".to_owned(), "x".repeat(200_000), "* SEARCH 1 2 a\r\n".to_owned()] {
        first_look_fails("UID SEARCH", Fault::Raw(garbage), Reason::Protocol).await;
    }
}

#[tokio::test]
async fn an_answer_to_another_command_is_no_answer() {
    first_look_fails("UID SEARCH", Fault::Raw("x99 OK done\r\n".to_owned()), Reason::Protocol).await;
}

#[tokio::test]
async fn the_servers_goodbye_is_told_in_its_own_words() {
    let bye = Fault::Before("* BYE shutting \u{7}down\r\n");
    let detail = first_look_fails("UID SEARCH", bye, Reason::Closed).await;
    assert_eq!(detail, "connection closed: the server says: shutting  down");
}

#[tokio::test]
async fn no_uidvalidity_no_look() {
    let fault = Fault::Raw("* 1 EXISTS\r\nTAG OK selected\r\n".to_owned());
    first_look_fails("SELECT", fault, Reason::Protocol).await;
}

#[tokio::test]
async fn uidvalidity_that_changes_under_us_is_a_loss() {
    let fault = Fault::Before("* OK [UIDVALIDITY 99] renumbered\r\n");
    first_look_fails("UID SEARCH", fault, Reason::Closed).await;
}

#[tokio::test]
async fn the_end_of_the_connection_in_idle_is_a_loss_and_not_a_wake() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    eventually("it idles", || fake.count("IDLE") == 1).await;
    fake.fault("+", Fault::HangUp, 1);
    fake.deliver(&probe(1));
    let lost = scene.lost().await;
    assert_eq!(lost.reason, Reason::Closed);
    let (_, found) = scene.synced().await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].covered_since, None);
    scene.stop().await;
}

#[tokio::test]
async fn an_idle_that_dies_silently_is_noticed_by_the_next_look() {
    let fake = Fake::start().await;
    let mut scene = Scene::of(&fake).check_interval(Duration::from_millis(100)).start();
    scene.synced().await;
    fake.fault("NOOP", Fault::Hang, 1);
    let lost = scene.lost().await;
    assert_eq!(lost.reason, Reason::Timeout);
    assert_eq!(lost.detail, "no answer to NOOP within 0.5 s");
    scene.synced().await;
    scene.stop().await;
}

#[tokio::test]
async fn a_refused_idle_means_polling() {
    let fake = Fake::start().await;
    fake.fault("IDLE", Fault::Answer("NO not now"), 99);
    let mut scene = Scene::of(&fake).check_interval(Duration::from_millis(50)).start();
    scene.synced().await;
    fake.deliver(&probe(1));
    scene.found().await;
    assert_eq!(fake.count("IDLE"), 1, "it is not tried again on this connection");
    scene.stop().await;
}

#[tokio::test]
async fn what_is_announced_before_idle_begins_wakes() {
    let fake = Fake::start().await;
    fake.fault("IDLE", Fault::Arrival(probe(1)), 1);
    let mut scene = Scene::of(&fake).start();
    scene.synced().await;
    assert_eq!(scene.found().await.message.uid, 1);
    scene.stop().await;
}

#[tokio::test]
async fn a_server_that_ends_every_idle_is_polled() {
    let fake = Fake::start().await;
    fake.fault("IDLE", Fault::Raw("+ idling\r\nTAG OK enough\r\n".to_owned()), 99);
    let mut scene = Scene::of(&fake).check_interval(Duration::from_millis(100)).start();
    scene.synced().await;
    fake.deliver(&probe(1));
    scene.found().await;
    assert!(fake.count("IDLE") <= 3);
    scene.stop().await;
}

#[tokio::test]
async fn the_loss_is_dated_from_its_beginning_through_all_attempts() {
    let fake = Fake::start().await;
    fake.fault("UID SEARCH", Fault::HangUp, 3);
    let mut scene = Scene::of(&fake).start();
    scene.outlook().expect(probe_id(1), std::time::Instant::now());
    let first = scene.lost().await;
    assert_eq!(scene.lost().await.since, first.since);
    assert_eq!(scene.lost().await.since, first.since);
    scene.synced().await;
    fake.fault("NOOP", Fault::HangUp, 1);
    assert!(scene.lost().await.since > first.since);
    scene.stop().await;
}
