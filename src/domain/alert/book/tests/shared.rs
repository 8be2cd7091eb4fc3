//! `mailbox_unreachable` and `channel_down`.

use super::lab::{BLIND_AFTER, BLIND_AT_LEAST, Lab, discord, email, t};
use crate::domain::alert::{Channel, Evidence, Occurrence, Resolution};

const NOTHING: [&str; 0] = [];
const BLIND: [&str; 1] = ["opened mailbox_unreachable mailbox:m"];
const SEES: [&str; 1] = ["resolved mailbox_unreachable mailbox:m"];

fn blind_until(lab: &mut Lab, since: i64, now: i64) -> Vec<String> {
    lab.now = now;
    lab.blind(since)
}

#[test]
fn a_mailbox_that_cannot_be_read_for_too_long() {
    let mut lab = Lab::several(2, 1);
    assert_eq!(blind_until(&mut lab, 0, BLIND_AFTER - 1), NOTHING);
    assert_eq!(blind_until(&mut lab, 0, BLIND_AFTER), BLIND);
    assert_eq!(lab.details().since, t(0));
    assert_eq!(lab.details().concerned.len(), 2);
    assert_eq!(blind_until(&mut lab, 0, BLIND_AFTER + 1), NOTHING);
    assert!(lab.changes.is_empty());
    assert_eq!(lab.sees(), SEES);
    assert_eq!(lab.states.len(), 0);
}

#[test]
fn sight_in_between_begins_it_anew() {
    let mut lab = Lab::one(1);
    blind_until(&mut lab, 0, 170);
    assert_eq!(lab.sees(), NOTHING);
    assert_eq!(blind_until(&mut lab, 175, 190), NOTHING);
    assert_eq!(blind_until(&mut lab, 175, 175 + BLIND_AFTER), BLIND);
}

#[test]
fn blindness_from_before_a_restart_counts_once_this_process_sees_it_too() {
    let mut lab = Lab::one(1);
    blind_until(&mut lab, 0, 100);
    lab.now = 1000;
    lab.restart();
    let start = 1000;
    assert_eq!(blind_until(&mut lab, start, start + 1), NOTHING, "may be our own start");
    assert_eq!(blind_until(&mut lab, start, start + BLIND_AT_LEAST - 1), NOTHING);
    assert_eq!(blind_until(&mut lab, start, start + BLIND_AT_LEAST), BLIND);
    assert_eq!(lab.details().since, t(0));
    lab.restart();
    assert_eq!(blind_until(&mut lab, 1500, 2000), NOTHING, "still the same");
    assert_eq!(lab.sees(), SEES);
}

#[test]
fn with_nobody_to_miss_its_mail_a_mailbox_is_no_incident() {
    let mut lab = Lab::one(1);
    lab.set_active(1, false);
    assert_eq!(blind_until(&mut lab, 0, 1000), NOTHING);
    assert_eq!(lab.set_active(1, true), NOTHING);
    assert_eq!(blind_until(&mut lab, 0, 1001), BLIND);
    assert_eq!(lab.set_active(1, false), SEES);
    assert_eq!(lab.details().resolution, Some(Resolution::Paused));
}

#[test]
fn a_mailbox_that_is_no_longer_configured_is_forgotten() {
    for long in [10, 1000] {
        let mut lab = Lab::one(1);
        blind_until(&mut lab, 0, long);
        lab.mailboxes.clear();
        lab.reload();
        assert_eq!(lab.states.len(), 0);
        assert_eq!(lab.book.open().count(), 0);
        // When it comes back much later, what was is no reason to alarm.
        lab.mailboxes.insert("m".into());
        lab.reload();
        assert_eq!(blind_until(&mut lab, 9000, 9000 + BLIND_AT_LEAST), NOTHING);
    }
}

fn down(lab: &mut Lab, channel: Channel) -> Vec<String> {
    let evidence = Evidence::Undeliverable {
        channel: channel.to_string(),
        since: t(lab.now),
        detail: "404".into(),
        refused: true,
    };
    lab.hear(Occurrence::ChannelDown { channel, evidence })
}

fn works(lab: &mut Lab, channel: Channel) -> Vec<String> {
    lab.hear(Occurrence::ChannelWorks { channel })
}

#[test]
fn a_channel_that_is_down_is_told_on_the_others() {
    let mut lab = Lab::one(1);
    assert_eq!(down(&mut lab, discord()), ["opened channel_down channel:discord"]);
    assert_eq!(lab.told[0].channels, [email()]);
    assert_eq!(down(&mut lab, discord()), NOTHING);
    assert!(lab.changes.is_empty());
    assert_eq!(lab.tick(3600), ["reminder channel_down channel:discord"]);
    assert_eq!(lab.told[1].channels, [email()]);
    assert_eq!(works(&mut lab, discord()), ["resolved channel_down channel:discord"]);
    assert_eq!(works(&mut lab, discord()), NOTHING);
    assert_eq!(lab.states.len(), 0);
}

#[test]
fn alert_mail_works_again_when_all_its_addresses_do() {
    for restart in [false, true] {
        let other = || Channel::Email("other@lab.test".into());
        let mut lab = Lab::one(1);
        lab.policy.channels.push(other());
        lab.restart();
        assert_eq!(down(&mut lab, email()), ["opened channel_down channel:email"]);
        assert_eq!(lab.told[0].channels, [discord(), other()]);
        assert_eq!(down(&mut lab, other()), NOTHING);
        if restart {
            assert_eq!(lab.restart(), NOTHING);
        }
        assert_eq!(works(&mut lab, other()), NOTHING);
        assert_eq!(works(&mut lab, email()), ["resolved channel_down channel:email"]);
    }
}

#[test]
fn a_channel_or_an_address_that_is_no_longer_configured_is_down_no_more() {
    let other = || Channel::Email("other@lab.test".into());
    for left in [vec![], vec![discord(), other()]] {
        let mut lab = Lab::one(1);
        lab.policy.channels.push(other());
        lab.restart();
        down(&mut lab, email());
        lab.policy.channels = left;
        assert_eq!(lab.restart(), ["resolved channel_down channel:email"]);
        assert_eq!(lab.details().resolution, Some(Resolution::Removed));
        assert_eq!(lab.states.len(), 0);
    }
}
