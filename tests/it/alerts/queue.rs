//! The queue of one channel as the database gives it: what waits and may not be told hides nothing, and a burst is whole.

use std::sync::Arc;
use std::time::Duration;

use maildt::domain::alert::{Channel, Telling};
use maildt::store::{Observer, Queue, Store};

use crate::lab::ground::runtime;
use crate::lab::postgres::{Cluster, Database};

struct Nobody;

impl Observer for Nobody {
    fn acquired(&self, _: Duration) {}
    fn failed(&self, _: &'static str) {}
}

const DETAILS: &str = r#"{"since":"2026-01-01T00:00:00Z","failing_until":"2026-01-01T00:00:00Z","failures":1,
    "first":{"what":"unreadable","folder":"x","since":"2026-01-01T00:00:00Z","detail":""},
    "latest":{"what":"unreadable","folder":"x","since":"2026-01-01T00:00:00Z","detail":""},
    "last_good_at":null,"resolution":null}"#;

/// A database in which each of `count` recipients is missing and Discord has not been told; those up to `muted` are muted.
fn outage(count: i32, muted: i32) -> (Database, Store) {
    let database = Cluster::shared().database();
    let config: tokio_postgres::Config = database.url().parse().unwrap();
    let store = Store::new(config, None, 2, Duration::from_secs(20), Arc::new(Nobody)).unwrap();
    runtime().block_on(store.migrate()).unwrap();
    change(&database, &format!(
        "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
             alert_after, discord, email, muted_until, active, provisioned, next_due_at)
         select 'r' || i, 'r' || i || '@lab.test', 's', 'm', 'direct', 60, 60, 1, true, true,
             case when i <= {muted} then now() + interval '1 day' end, true, false, now()
         from generate_series(1, {count}) i"
    ));
    change(
        &database,
        &format!(
            "insert into maildt.incidents (id, kind, scope, opened_at, recipients, details, version)
         select id, 'missing', 'recipient:' || id, now(), array[id], '{DETAILS}', 1 from maildt.recipients"
        ),
    );
    change(
        &database,
        &format!(
            "insert into maildt.notifications (incident_id, event, channel, created_at, held)
         select id, 'opened', 'discord', now(), id <= {muted} from maildt.incidents order by id"
        ),
    );
    (database, store)
}

fn change(database: &Database, statement: &str) {
    database.query(statement, &[]).unwrap();
}

fn queue(store: &Store, silence: bool) -> Queue {
    runtime().block_on(store.pending_notifications(&Channel::Discord, &[], silence)).unwrap()
}

fn incidents(queue: &Queue) -> Vec<i64> {
    queue.rows.iter().map(|row| row.incident.0).collect()
}

#[test]
fn what_is_kept_back_hides_nothing_and_comes_up_when_its_quiet_is_over() {
    let (database, store) = outage(30_001, 30_000);
    assert_eq!(incidents(&queue(&store, false)), [30_001]);
    // In total quiet it still has to be kept back itself, and then nothing is left to do.
    assert_eq!(incidents(&queue(&store, true)), [30_001]);
    change(&database, "update maildt.notifications set held = true");
    assert_eq!(incidents(&queue(&store, true)), [0_i64; 0]);
    let after = queue(&store, false);
    assert!(incidents(&after) == [30_001] && after.rows.iter().all(|row| row.held && !row.quiet));
    change(&database, "update maildt.recipients set muted_until = null where id = 7");
    assert_eq!(incidents(&queue(&store, false)), [7, 30_001]);
}

#[test]
fn a_message_is_kept_back_as_a_whole_or_not_at_all() {
    let (database, store) = outage(3, 3);
    change(&database, "update maildt.notifications set message = 1 where id < 3");
    assert_eq!(incidents(&queue(&store, false)), [0_i64; 0]);
    change(&database, "update maildt.recipients set muted_until = null where id = 2");
    let queue = queue(&store, false);
    assert_eq!(incidents(&queue), [1, 2]);
    assert_eq!(queue.rows.iter().map(|row| row.quiet).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_burst_of_ten_thousand_is_read_whole_and_a_message_that_nobody_takes_hides_nothing() {
    let (database, store) = outage(10_000, 0);
    let ids: Vec<i64> = queue(&store, false).rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 10_000);
    let (incidents, unreadable) = runtime().block_on(store.incidents_to_tell(&ids)).unwrap();
    assert!(incidents.len() == 10_000 && unreadable.is_empty());
    // More than is ever looked at together was tried in vain, and something else came up.
    change(&database, "update maildt.notifications set message = 1, next_try_at = now() + interval '5 min'");
    change(
        &database,
        "insert into maildt.notifications (incident_id, event, number, channel, created_at, message, next_try_at)
         select incident_id, 'reminder', n, 'discord', now(), 1, now() + interval '5 min'
         from maildt.notifications, generate_series(1, 2) n",
    );
    change(
        &database,
        "insert into maildt.notifications (incident_id, event, channel, created_at)
         values (1, 'resolved', 'discord', now())",
    );
    assert!(queue(&store, false).rows.iter().any(|row| row.message.is_none()));
}

#[test]
fn an_end_is_told_only_where_something_was_told_or_will_be() {
    let (database, store) = outage(1, 0);
    let add = |event: &str| {
        change(
            &database,
            &format!(
                "insert into maildt.notifications (incident_id, event, channel, created_at)
                 values (1, '{event}', 'discord', now())"
            ),
        );
    };
    add("reminder");
    add("resolved");
    let unheard = || {
        let rows = queue(&store, false).rows;
        rows.iter().find(|row| row.telling == Telling::Resolved).unwrap().unheard
    };
    assert!(!unheard(), "its opening waits");
    let settle = |event: &str, state: &str| {
        let which = format!("where event = '{event}'");
        change(&database, &format!("update maildt.notifications set state = '{state}' {which}"));
    };
    settle("opened", "delivered");
    assert!(!unheard());
    settle("opened", "dead");
    assert!(unheard(), "a reminder that waits is no beginning");
    settle("reminder", "delivered");
    assert!(!unheard());
    // The channel is newer than the incident: only a reminder was ever for it.
    settle("reminder", "dropped");
    change(&database, "delete from maildt.notifications where event = 'opened'");
    assert!(unheard());
}

#[test]
fn a_test_alert_that_got_through_ends_failing_as_well_as_a_refusal() {
    let (database, store) = outage(0, 0);
    let in_trouble = || runtime().block_on(store.is_channel_in_trouble(&Channel::Discord)).unwrap();
    assert!(!in_trouble());
    for trouble in ["failing_since = now()", "failing_since = now(), refused = 'x'"] {
        change(&database, "insert into maildt.channels (channel) values ('discord') on conflict do nothing");
        change(&database, &format!("update maildt.channels set {trouble}"));
        assert!(in_trouble(), "{trouble}");
        assert!(runtime().block_on(store.channel_works(&Channel::Discord)).unwrap());
        assert!(!in_trouble(), "{trouble}");
    }
}
