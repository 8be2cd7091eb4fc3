#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::domain::id::RecipientId;

const S: fn(u64) -> Duration = Duration::from_secs;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn rules() -> Rules {
    Rules {
        gather: S(5),
        dead_after: S(86_400),
        hopeless_since: None,
        longest_pause: S(3600),
        silence: false,
    }
}

fn scope(of: i64) -> Scope {
    Scope::Recipient(RecipientId(i32::try_from(of).unwrap()))
}

/// A row of an open incident, written at this second.
fn row(id: i64, of: i64, telling: Telling, second: i64) -> Pending {
    Pending {
        id,
        incident: IncidentId(of),
        kind: Kind::Missing,
        scope: scope(of),
        resolved_at: (telling == Telling::Resolved).then(|| at(second)),
        telling,
        number: 0,
        created_at: at(second),
        held: false,
        message: None,
        message_incident: None,
        tries: 0,
        first_try_at: None,
        next_try_at: None,
        quiet: false,
        unheard: false,
    }
}

/// The same after a try at this second that failed.
fn tried(row: Pending, message: i64, second: i64, next: i64) -> Pending {
    Pending {
        message: Some(message),
        message_incident: Some(IncidentId(1)),
        tries: 1,
        first_try_at: Some(at(second)),
        next_try_at: Some(at(next)),
        ..row
    }
}

use Telling::{Opened, Reminder, Resolved};

fn plan(rows: &[Pending], second: i64) -> Step {
    next(rows, &rules(), at(second))
}

#[test]
fn what_comes_within_a_moment_shares_a_message_and_the_wait_for_more_has_an_end() {
    assert_eq!(plan(&[], 0), Step::Wait(None));
    let mut rows = vec![row(1, 1, Opened, 0)];
    assert_eq!(plan(&rows, 4), Step::Wait(Some(at(5))));
    assert_eq!(plan(&rows, 5), Step::Send(vec![1]));
    rows.push(row(2, 2, Opened, 4));
    rows.push(row(3, 3, Opened, 8));
    assert_eq!(plan(&rows, 9), Step::Wait(Some(at(10))));
    assert_eq!(plan(&rows, 10), Step::Send(vec![1, 2, 3]));
    // More of the same kind, but too late for this message.
    rows.push(row(4, 4, Opened, 11));
    assert_eq!(plan(&rows, 11), Step::Send(vec![1, 2, 3]));
    rows.drain(..3);
    assert_eq!(plan(&rows, 11), Step::Wait(Some(at(16))));
}

#[test]
fn kinds_and_tellings_do_not_share_a_message() {
    let mut other = row(2, 2, Opened, 0);
    other.kind = Kind::SendFailure;
    let rows = [row(1, 1, Opened, 0), other, row(3, 3, Resolved, 0)];
    assert_eq!(plan(&rows, 10), Step::Send(vec![1]));
    assert_eq!(plan(&rows[1..], 10), Step::Send(vec![2]));
    assert_eq!(plan(&rows[2..], 10), Step::Send(vec![3]));
}

#[test]
fn what_an_outage_left_goes_together() {
    let rows = [row(1, 1, Opened, 0), row(2, 2, Opened, 300), row(3, 3, Opened, 1000)];
    assert_eq!(plan(&rows, 1001), Step::Send(vec![1, 2]));
    assert_eq!(plan(&rows, 1005), Step::Send(vec![1, 2, 3]));
}

#[test]
fn the_resolution_waits_for_the_opening() {
    let mut opening = row(1, 1, Opened, 0);
    opening.resolved_at = Some(at(20));
    let rows = [tried(opening, 1, 5, 60), row(2, 1, Resolved, 20)];
    assert_eq!(plan(&rows, 30), Step::Wait(Some(at(60))));
    assert_eq!(plan(&rows, 60), Step::Send(vec![1]));
    assert_eq!(plan(&rows[1..], 60), Step::Send(vec![2]));
}

#[test]
fn a_new_outage_does_not_overtake_the_end_of_the_one_before() {
    let end = tried(row(1, 1, Resolved, 0), 1, 0, 300);
    let again = Pending { scope: end.scope.clone(), ..row(2, 2, Opened, 100) };
    assert_eq!(plan(&[end.clone(), again.clone()], 200), Step::Wait(Some(at(300))));
    assert_eq!(plan(&[end.clone(), again.clone()], 300), Step::Send(vec![1]));
    assert_eq!(plan(std::slice::from_ref(&again), 300), Step::Send(vec![2]));
    // Another kind is another story, and so is what is kept back.
    let other = Pending { kind: Kind::SendFailure, ..again.clone() };
    assert_eq!(plan(&[end, other], 200), Step::Send(vec![2]));
    let kept = Pending { held: true, quiet: true, ..row(1, 1, Resolved, 0) };
    assert_eq!(plan(&[kept, again], 200), Step::Send(vec![2]));
}

#[test]
fn a_message_stays_as_it_was_composed() {
    let rows =
        [tried(row(1, 1, Opened, 0), 1, 5, 9), tried(row(2, 2, Opened, 3), 1, 5, 9), row(3, 3, Opened, 1)];
    assert_eq!(plan(&rows, 8), Step::Send(vec![3]));
    assert_eq!(plan(&rows[..2], 8), Step::Wait(Some(at(9))));
    assert_eq!(plan(&rows[..2], 9), Step::Send(vec![1, 2]));
}

#[test]
fn a_message_that_no_server_takes_keeps_no_other_waiting() {
    let rows = [tried(row(1, 1, Opened, 0), 1, 5, 9), row(2, 2, Opened, 0)];
    assert_eq!(plan(&rows, 100), Step::Send(vec![2]));
}

#[test]
fn a_clock_that_was_set_back_stops_nothing() {
    assert_eq!(plan(&[row(1, 1, Opened, 7200)], 0), Step::Send(vec![1]));
    assert_eq!(plan(&[tried(row(1, 1, Opened, 7200), 1, 7200, 7300)], 0), Step::Send(vec![1]));
}

#[test]
fn clocks_that_differ_by_a_little_do_not_split_a_burst() {
    let ahead = |ms| at(100) - jiff::SignedDuration::from_millis(ms);
    let rows = [row(1, 1, Opened, 100)];
    assert_eq!(next(&rows, &rules(), ahead(50)), Step::Wait(Some(at(105))));
    assert_eq!(next(&rows, &rules(), ahead(5001)), Step::Send(vec![1]));
}

#[test]
fn age_alone_gives_nothing_up_unless_the_channel_is_hopeless() {
    let day = 86_400;
    let rows = [row(1, 1, Opened, 0), tried(row(2, 2, Opened, 0), 2, 50, 60)];
    assert_eq!(plan(&rows, 30 * day), Step::Send(vec![1]));
    assert_eq!(plan(&rows[1..], 30 * day), Step::Send(vec![2]));
    let refused = |since| Rules { hopeless_since: Some(at(since)), ..rules() };
    let dead = |ids: &[i64]| Step::Close(ids.to_vec(), Closing::Dead);
    assert_eq!(next(&rows, &refused(-1000), at(day - 1)), Step::Send(vec![1]));
    assert_eq!(next(&rows, &refused(-1000), at(day)), dead(&[1]));
    assert_eq!(next(&rows, &refused(-1000), at(day + 50)), dead(&[1, 2]));
    // As long as that since the refusal.
    assert_eq!(next(&rows, &refused(500), at(day + 499)), Step::Send(vec![1]));
    assert_eq!(next(&rows, &refused(500), at(day + 500)), dead(&[1, 2]));
}

#[test]
fn in_the_quiet_openings_wait_and_reminders_go() {
    let mut rows = [row(1, 1, Opened, 0), row(2, 2, Reminder, 0)];
    for row in &mut rows {
        row.quiet = true;
    }
    assert_eq!(plan(&rows, 10), Step::Close(vec![2], Closing::Dropped("it was due in the quiet")));
    assert_eq!(plan(&rows[..1], 10), Step::Hold(vec![1]));
    rows[0].held = true;
    // However long it takes.
    assert_eq!(plan(&rows[..1], 3 * 86_400), Step::Wait(None));
    rows[0].quiet = false;
    assert_eq!(plan(&rows[..1], 3 * 86_400), Step::Release(vec![1]));
    (rows[0].held, rows[0].next_try_at) = (false, Some(at(3 * 86_400)));
    assert_eq!(plan(&rows[..1], 3 * 86_400), Step::Wait(Some(at(3 * 86_400 + 5))));
    assert_eq!(plan(&rows[..1], 3 * 86_400 + 5), Step::Send(vec![1]));
    let refused = Rules { hopeless_since: Some(at(0)), ..rules() };
    assert_eq!(next(&rows[..1], &refused, at(4 * 86_400 - 1)), Step::Send(vec![1]));
    assert_eq!(next(&rows[..1], &refused, at(4 * 86_400)), Step::Close(vec![1], Closing::Dead));
}

#[test]
fn silence_concerns_everything() {
    let rules = Rules { silence: true, ..rules() };
    assert_eq!(next(&[row(1, 1, Opened, 0)], &rules, at(10)), Step::Hold(vec![1]));
    assert_eq!(next(&[row(1, 1, Resolved, 0)], &rules, at(10)), Step::Hold(vec![1]));
}

#[test]
fn what_was_over_before_the_quiet_was_is_not_told_and_nor_is_its_end() {
    let mut opening = row(1, 1, Opened, 0);
    opening.resolved_at = Some(at(20));
    opening.held = true;
    for quiet in [true, false] {
        opening.quiet = quiet;
        let dropped = Step::Close(vec![1], Closing::Dropped("it was over before the quiet was"));
        assert_eq!(plan(&[opening.clone(), row(2, 1, Resolved, 20)], 30), dropped);
    }
    let mut end = row(2, 1, Resolved, 20);
    end.unheard = true;
    assert_eq!(plan(&[end], 30), Step::Close(vec![2], Closing::Dropped("its beginning was not told")));
    // Without a quiet both are told.
    (opening.held, opening.quiet) = (false, false);
    assert_eq!(plan(&[opening, row(2, 1, Resolved, 20)], 30), Step::Send(vec![1]));
}

#[test]
fn what_only_waited_for_a_slow_channel_when_the_quiet_began_is_told_after_it() {
    let opening = Pending { quiet: true, resolved_at: Some(at(20)), ..tried(row(1, 1, Opened, 0), 1, 5, 60) };
    let end = Pending { quiet: true, ..row(2, 1, Resolved, 20) };
    assert_eq!(plan(&[opening.clone(), end.clone()], 30), Step::Hold(vec![2]));
    let kept = Pending { held: true, ..end };
    assert_eq!(plan(&[opening.clone(), kept], 100), Step::Wait(None));
    let after = [Pending { quiet: false, ..opening }, row(2, 1, Resolved, 20)];
    assert_eq!(plan(&after, 200), Step::Send(vec![1]));
}

#[test]
fn an_end_in_the_quiet_is_told_after_it() {
    let mut end = row(2, 1, Resolved, 20);
    end.quiet = true;
    assert_eq!(plan(&[end.clone()], 30), Step::Hold(vec![2]));
    (end.held, end.quiet) = (true, false);
    assert_eq!(plan(&[end.clone()], 40), Step::Release(vec![2]));
    (end.held, end.next_try_at) = (false, Some(at(40)));
    assert_eq!(plan(&[end], 45), Step::Send(vec![2]));
}

#[test]
fn a_message_is_quiet_when_all_of_it_is() {
    let mut rows = [tried(row(1, 1, Opened, 0), 1, 5, 9), tried(row(2, 2, Opened, 3), 1, 5, 9)];
    rows[0].quiet = true;
    assert_eq!(plan(&rows, 10), Step::Send(vec![1, 2]));
    rows[1].quiet = true;
    assert_eq!(plan(&rows, 10), Step::Hold(vec![1, 2]));
}

#[test]
fn reminders_that_remind_of_nothing_are_dropped() {
    let drop = |id, why| Step::Close(vec![id], Closing::Dropped(why));
    let mut reminder = row(2, 1, Reminder, 100);
    assert_eq!(
        plan(&[row(1, 1, Opened, 99), reminder.clone()], 101),
        drop(2, "its beginning is still to be told")
    );
    let newer = Pending { number: 2, ..row(3, 1, Reminder, 200) };
    assert_eq!(plan(&[reminder.clone(), newer.clone()], 200), drop(2, "a newer reminder is there"));
    assert_eq!(plan(&[newer], 205), Step::Send(vec![3]));
    reminder.resolved_at = Some(at(150));
    assert_eq!(plan(&[reminder], 200), drop(2, "it is over"));
}

#[test]
fn a_burst_of_ten_thousand_is_one_message_and_quickly_planned() {
    let rows: Vec<Pending> = (1..=10_000).map(|id| row(id, id, Opened, 0)).collect();
    let start = std::time::Instant::now();
    let Step::Send(ids) = plan(&rows, 5) else { unreachable!() };
    assert_eq!(ids.len(), rows.len());
    let reminders: Vec<Pending> = (1..=10_000).map(|id| row(id, id, Reminder, 0)).collect();
    assert!(matches!(plan(&reminders, 5), Step::Send(ids) if ids.len() == rows.len()));
    assert!(start.elapsed() < S(2), "{:?}", start.elapsed());
}

/// Drives a channel through a history as the worker and the database would.
struct Channel {
    rows: Vec<Pending>,
    now: i64,
    /// Incident and telling, in the order of delivery.
    told: Vec<(i64, Telling)>,
    closed: Vec<(i64, Telling, Closing)>,
    messages: BTreeMap<i64, BTreeSet<i64>>,
}

impl Channel {
    /// Does what the plan says until it waits; `works` tells whether the channel takes messages.
    fn work(&mut self, works: bool, rules: &Rules) -> Result<(), TestCaseError> {
        for _ in 0..1000 {
            match next(&self.rows, rules, at(self.now)) {
                Step::Wait(until) => {
                    prop_assert!(until.is_none_or(|until| until > at(self.now)), "a wait that is over");
                    return Ok(());
                }
                Step::Close(ids, closing) => {
                    for row in self.take(&ids) {
                        self.closed.push((row.incident.0, row.telling, closing));
                        if row.telling == Opened {
                            self.unhear(row.incident);
                        }
                    }
                }
                Step::Hold(ids) => self.change(&ids, |row| {
                    prop_assert!(!row.held);
                    row.held = true;
                    Ok(())
                })?,
                Step::Release(ids) => {
                    let now = at(self.now);
                    self.change(&ids, |row| {
                        prop_assert!(row.held);
                        (row.held, row.first_try_at, row.next_try_at) = (false, None, Some(now));
                        Ok(())
                    })?;
                }
                Step::Send(ids) => self.send(&ids, works, rules)?,
            }
        }
        Err(TestCaseError::fail("it never waits"))
    }

    fn send(&mut self, ids: &[i64], works: bool, rules: &Rules) -> Result<(), TestCaseError> {
        let now = at(self.now);
        let set: BTreeSet<i64> = ids.iter().copied().collect();
        prop_assert!(!set.is_empty());
        let first = *set.first().unwrap();
        let rows: Vec<&Pending> = self.rows.iter().filter(|row| set.contains(&row.id)).collect();
        let message = rows[0].message.unwrap_or(first);
        for row in &rows {
            prop_assert_eq!(row.telling, rows[0].telling);
            prop_assert_eq!(row.message, rows[0].message);
            prop_assert!(!rules.silence && (!row.quiet || row.message.is_some()));
            let earlier = self.rows.iter().any(|other| other.incident == row.incident && other.id < row.id);
            prop_assert!(!earlier, "told out of order");
        }
        // Never more in a message than at its first try.
        let known = self.messages.entry(message).or_insert_with(|| set.clone());
        prop_assert!(set.is_subset(known));
        if works {
            for row in self.take(ids) {
                self.told.push((row.incident.0, row.telling));
            }
            return Ok(());
        }
        self.change(ids, |row| {
            row.message = Some(message);
            row.message_incident = Some(row.incident);
            row.tries += 1;
            row.first_try_at.get_or_insert(now);
            row.next_try_at = Some(later(now, S(30)));
            Ok(())
        })?;
        // As the worker does it.
        let given_up = |row: &Pending| {
            ids.contains(&row.id) && row.first_try_at.is_some_and(|at| between(at, now) >= rules.dead_after)
        };
        for row in self.rows.extract_if(.., |row| given_up(row)).collect::<Vec<_>>() {
            self.closed.push((row.incident.0, row.telling, Closing::Dead));
            if row.telling == Opened {
                self.unhear(row.incident);
            }
        }
        Ok(())
    }

    fn take(&mut self, ids: &[i64]) -> Vec<Pending> {
        self.rows.extract_if(.., |row| ids.contains(&row.id)).collect()
    }

    fn change(
        &mut self,
        ids: &[i64],
        mut how: impl FnMut(&mut Pending) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        self.rows.iter_mut().filter(|row| ids.contains(&row.id)).try_for_each(&mut how)
    }

    fn unhear(&mut self, incident: IncidentId) {
        let told = self.told.iter().any(|(id, _)| *id == incident.0);
        for row in self.rows.iter_mut().filter(|row| row.incident == incident && !told) {
            row.unheard = true;
        }
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Opens(i64),
    Reminds(i64),
    Resolves(i64),
    Mutes(i64, bool),
    Silence(bool),
    Fails(bool),
    Passes(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{Fails, Mutes, Opens, Passes, Reminds, Resolves, Silence};
    let who = 1..5_i64;
    prop_oneof![
        3 => who.clone().prop_map(Opens),
        1 => who.clone().prop_map(Reminds),
        3 => who.clone().prop_map(Resolves),
        2 => (who, any::<bool>()).prop_map(|(who, mute)| Mutes(who, mute)),
        1 => any::<bool>().prop_map(Silence),
        2 => any::<bool>().prop_map(Fails),
        6 => prop_oneof![0..12_i64, 0..7200_i64, Just(90_000)].prop_map(Passes),
    ]
}

proptest! {
    /// Whatever happens, and whatever channel and quiet do: order is kept, nothing is told twice, an end is told only to
    /// those who heard the beginning, and in the end nothing is left.
    #[test]
    fn everything_ends_in_order(history in proptest::collection::vec(happening(), 1..60)) {
        let mut channel =
            Channel { rows: vec![], now: 0, told: vec![], closed: vec![], messages: BTreeMap::new() };
        let mut rules = rules();
        // Scope to the id of its open incident, and the number of its reminders.
        let mut open: BTreeMap<i64, (i64, i32)> = BTreeMap::new();
        let mut written: Vec<(i64, Telling)> = vec![];
        let (mut muted, mut works, mut ids, mut incidents) = (BTreeSet::new(), true, 0, 0);
        for happening in history {
            let now = channel.now;
            let mut write = |incident: i64, telling, who: i64, number, channel: &mut Channel| {
                ids += 1;
                let unheard = telling == Resolved
                    && !channel.told.iter().any(|(id, _)| *id == incident)
                    && channel.closed.iter().any(|(id, telling, _)| (*id, *telling) == (incident, Opened));
                let quiet = muted.contains(&who);
                channel.rows.push(Pending { number, quiet, unheard, ..row(ids, incident, telling, now) });
                channel.rows.last_mut().unwrap().scope = scope(who);
                written.push((incident, telling));
            };
            match happening {
                Happening::Opens(who) => if let std::collections::btree_map::Entry::Vacant(place) = open.entry(who) {
                    incidents += 1;
                    place.insert((incidents, 0));
                    write(incidents, Opened, who, 0, &mut channel);
                },
                Happening::Reminds(who) => if let Some((id, number)) = open.get_mut(&who) {
                    *number += 1;
                    write(*id, Reminder, who, *number, &mut channel);
                },
                Happening::Resolves(who) => if let Some((id, _)) = open.remove(&who) {
                    write(id, Resolved, who, 0, &mut channel);
                    for row in channel.rows.iter_mut().filter(|row| row.incident.0 == id) {
                        row.resolved_at = Some(at(now));
                    }
                },
                Happening::Mutes(who, mute) => {
                    if mute { muted.insert(who); } else { muted.remove(&who); }
                    for row in channel.rows.iter_mut().filter(|row| row.scope == scope(who)) {
                        row.quiet = mute;
                    }
                }
                Happening::Silence(silence) => rules.silence = silence,
                Happening::Fails(fails) => works = !fails,
                Happening::Passes(seconds) => channel.now += seconds,
            }
            channel.work(works, &rules)?;
        }
        // The quiet ends, the channel recovers, time passes.
        rules.silence = false;
        for row in &mut channel.rows {
            row.quiet = false;
        }
        for _ in 0..200 {
            channel.work(true, &rules)?;
            channel.now += 60;
        }
        prop_assert_eq!(&channel.rows, &vec![]);
        let mut ended: Vec<(i64, Telling)> = channel.told.clone();
        ended.extend(channel.closed.iter().map(|(id, telling, _)| (*id, *telling)));
        let key = |list: &[(i64, Telling)]| {
            let mut list: Vec<_> = list.iter().map(|(id, telling)| (*id, *telling as u8)).collect();
            list.sort_unstable();
            list
        };
        prop_assert_eq!(key(&ended), key(&written), "each notification ends once");
        for id in 1..=incidents {
            let told: Vec<Telling> =
                channel.told.iter().filter(|(of, _)| *of == id).map(|(_, telling)| *telling).collect();
            prop_assert!(told.is_sorted_by_key(|telling| *telling as u8), "{:?}", told);
            if told.contains(&Resolved) {
                let unheard = channel.closed.iter().any(|(of, telling, _)| *of == id && *telling == Opened);
                prop_assert!(!unheard || told.contains(&Reminder), "an end without a beginning");
            }
        }
    }
}
