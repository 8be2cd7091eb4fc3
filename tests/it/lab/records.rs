//! What the program has written down: the one place of the tests that knows its tables.

use std::fmt;

use uuid::Uuid;

use super::postgres::Database;
use super::wait::Look;

/// A row of `maildt.probes`, as far as the tests look.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub id: Uuid,
    pub recipient: String,
    pub state: String,
    pub result: Option<String>,
    pub was_missing: bool,
    pub latency_ms: Option<f64>,
    pub latency_estimated: bool,
    pub placement: Option<String>,
    pub duplicates: i32,
    pub misrouted: i32,
    pub attempts: i32,
    /// Seconds since the epoch, by the database's clock.
    pub due_at: f64,
    pub accepted_at: Option<f64>,
    pub deadline_at: Option<f64>,
    pub arrived_at: Option<f64>,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, recipient, state, result, attempts, .. } = self;
        write!(
            f,
            "{recipient} {id} {state} result={} attempts={attempts}",
            result.as_deref().unwrap_or("none")
        )
    }
}

/// A row of `maildt.incidents`.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    pub id: i64,
    pub kind: String,
    pub scope: String,
    /// Seconds since the epoch, by the database's clock.
    pub opened_at: f64,
    pub resolved_at: Option<f64>,
}

/// A row of `maildt.notifications`.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub incident: i64,
    pub event: String,
    pub channel: String,
    pub state: String,
    pub tries: i32,
}

/// The program's database, read.
#[derive(Clone, Debug)]
pub struct Records(pub Database);

impl Records {
    /// Every probe, oldest due time first; an error when the database cannot be read (or has no tables yet).
    pub fn read(&self) -> Look<Vec<Probe>> {
        let rows = self.0.query(
            "SELECT p.id, r.name, p.state::text, p.result::text, p.was_missing, p.latency_ms, p.latency_estimated, \
                    p.placement::text, p.duplicates, p.misrouted, p.attempts, \
                    extract(epoch FROM p.due_at)::float8, extract(epoch FROM p.accepted_at)::float8, \
                    extract(epoch FROM p.deadline_at)::float8, extract(epoch FROM p.arrived_at)::float8 \
             FROM maildt.probes p JOIN maildt.recipients r ON r.id = p.recipient_id ORDER BY p.due_at, p.created_at",
            &[],
        );
        let rows = rows.map_err(|e| format!("no probes can be read: {e:?}"))?;
        let probes = rows.iter().map(|row| Probe {
            id: row.get(0),
            recipient: row.get(1),
            state: row.get(2),
            result: row.get(3),
            was_missing: row.get(4),
            latency_ms: row.get(5),
            latency_estimated: row.get(6),
            placement: row.get(7),
            duplicates: row.get(8),
            misrouted: row.get(9),
            attempts: row.get(10),
            due_at: row.get(11),
            accepted_at: row.get(12),
            deadline_at: row.get(13),
            arrived_at: row.get(14),
        });
        Ok(probes.collect())
    }

    /// Prints all of it, for a test that has failed.
    pub fn print(&self) {
        fn print<T: fmt::Debug>(rows: Look<Vec<T>>) {
            match rows {
                Ok(rows) => rows.iter().for_each(|row| eprintln!("{row:?}")),
                Err(why) => eprintln!("{why}"),
            }
        }
        print(self.read());
        print(self.incidents());
        print(self.notifications());
    }

    /// Every probe.
    ///
    /// # Panics
    /// When the database cannot be read.
    #[track_caller]
    pub fn probes(&self) -> Vec<Probe> {
        self.read().unwrap()
    }

    /// The probes of one recipient.
    #[track_caller]
    pub fn of(&self, recipient: &str) -> Vec<Probe> {
        self.probes().into_iter().filter(|p| p.recipient == recipient).collect()
    }

    /// The first probe of a recipient, as soon as there is one and it is in one of these states.
    pub fn first(&self, recipient: &str, states: &[&str]) -> Look<Probe> {
        let all = self.read()?;
        let first = all.iter().find(|p| p.recipient == recipient);
        match first {
            Some(probe) if states.contains(&probe.state.as_str()) => Ok(probe.clone()),
            Some(probe) => Err(format!("{probe}, not in {states:?}")),
            None => Err(format!("{recipient} has no probe")),
        }
    }

    /// Every incident, oldest first.
    pub fn incidents(&self) -> Look<Vec<Incident>> {
        let rows = self.0.query(
            "SELECT id, kind, scope, extract(epoch FROM opened_at)::float8, extract(epoch FROM resolved_at)::float8 \
             FROM maildt.incidents ORDER BY id",
            &[],
        );
        let rows = rows.map_err(|e| format!("no incidents can be read: {e:?}"))?;
        let incidents = rows.iter().map(|row| Incident {
            id: row.get(0),
            kind: row.get(1),
            scope: row.get(2),
            opened_at: row.get(3),
            resolved_at: row.get(4),
        });
        Ok(incidents.collect())
    }

    /// Every notification, oldest first.
    pub fn notifications(&self) -> Look<Vec<Notification>> {
        let rows = self.0.query(
            "SELECT incident_id, event, channel, state, tries FROM maildt.notifications ORDER BY id",
            &[],
        );
        let rows = rows.map_err(|e| format!("no notifications can be read: {e:?}"))?;
        let notifications = rows.iter().map(|row| Notification {
            incident: row.get(0),
            event: row.get(1),
            channel: row.get(2),
            state: row.get(3),
            tries: row.get(4),
        });
        Ok(notifications.collect())
    }

    /// The database's clock, seconds since the epoch.
    pub fn now(&self) -> Look<f64> {
        let rows = self.0.query("SELECT extract(epoch FROM clock_timestamp())::float8", &[]);
        Ok(rows.map_err(|e| e.to_string())?[0].get(0))
    }
}
