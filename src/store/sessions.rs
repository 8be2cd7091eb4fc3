//! Logins to the admin UI: tries, sessions, and the one use of each TOTP code.

use std::time::Duration;

use super::{Error, Store};

/// Failures of one network until it has to wait, and the time in which they count.
const PER_SOURCE: (i64, f64) = (5, 300.0);
/// Failures of everybody together, and the time in which they count.
const IN_ALL: (i64, f64) = (100, 3600.0);
/// The advisory lock under which tries are counted: "login" in ASCII.
const LOCK: i64 = 0x6c_6f67_696e;
/// Without a request for this long a session is over.
const IDLE_S: f64 = 1800.0;
/// So long after the login a session is over.
const ABSOLUTE_S: f64 = 43_200.0;
/// How exactly idle time is known: a session's row is written at most this often.
const SEEN_S: f64 = 30.0;

/// Whether a login may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Yes; it counts as a failure until it is [taken back](Store::begin_session).
    Granted(i64),
    /// Not before this time has passed.
    Wait(Duration),
}

/// A session as the database knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    /// SHA-256 of the token.
    pub token_digest: [u8; 32],
    /// What the login was made with, keyed with the token: another password or TOTP secret makes another value.
    pub credential: [u8; 32],
}

impl Store {
    /// Counts a try from `source` unless there have been too many failures.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn attempt_login(&self, source: &str) -> Result<Attempt, Error> {
        self.run_tx("attempt_login", async |tx| {
            // One after the other, so that nobody counts what somebody else is about to add.
            tx.execute("-- attempt_login_lock()\nselect pg_advisory_xact_lock($1)", &[&LOCK]).await?;
            let statement = tx
                .prepare_cached(
                    "-- login_wait()
                     with clock as (select clock_timestamp() as now)
                     select extract(epoch from greatest(
                         (select a.at + make_interval(secs => $3) - now from maildt.login_attempts a, clock
                          where a.source = $1 and a.at > now - make_interval(secs => $3) and a.at <= now
                          order by a.at desc offset $2 limit 1),
                         (select a.at + make_interval(secs => $5) - now from maildt.login_attempts a, clock
                          where a.at > now - make_interval(secs => $5) and a.at <= now
                          order by a.at desc offset $4 limit 1)))::float8",
                )
                .await?;
            let row = tx
                .query_one(
                    &statement,
                    &[&source, &(PER_SOURCE.0 - 1), &PER_SOURCE.1, &(IN_ALL.0 - 1), &IN_ALL.1],
                )
                .await?;
            if let Some(wait_s) = row.try_get::<_, Option<f64>>(0)? {
                return Ok(Attempt::Wait(Duration::try_from_secs_f64(wait_s).unwrap_or_default()));
            }
            tx.execute(
                "-- forget_attempts()
                 delete from maildt.login_attempts where at < clock_timestamp() - make_interval(secs => $1)",
                &[&IN_ALL.1],
            )
            .await?;
            let row = tx
                .query_one(
                    "-- add_attempt()\ninsert into maildt.login_attempts (source) values ($1) returning id",
                    &[&source],
                )
                .await?;
            Ok(Attempt::Granted(row.try_get(0)?))
        })
        .await
    }

    /// Begins a session after a right login, takes its try back and ends the session `before` it. With `totp_step`, the step
    /// whose code was given: false, and no session, when that step or a later one has been used.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_session(
        &self,
        session: &SessionKey,
        totp_step: Option<i64>,
        attempt: i64,
        before: Option<[u8; 32]>,
    ) -> Result<bool, Error> {
        let (digest, credential) = (session.token_digest.as_slice(), session.credential.as_slice());
        self.run_tx("begin_session", async |tx| {
            if let Some(step) = totp_step {
                let used = tx
                    .execute(
                        "-- use_totp_step()\nupdate maildt.totp set last_step = $1 where last_step < $1",
                        &[&step],
                    )
                    .await?;
                if used == 0 {
                    return Ok(false);
                }
            }
            let old = before.as_ref().map(<[u8; 32]>::as_slice);
            tx.execute(
                "-- forget_sessions()
                 delete from maildt.sessions where token_digest = $1
                     or seen_at < clock_timestamp() - make_interval(secs => $2)
                     or created_at < clock_timestamp() - make_interval(secs => $3)",
                &[&old, &IDLE_S, &ABSOLUTE_S],
            )
            .await?;
            tx.execute(
                "-- take_back_attempt()\ndelete from maildt.login_attempts where id = $1",
                &[&attempt],
            )
            .await?;
            tx.execute(
                "-- begin_session()\ninsert into maildt.sessions (token_digest, credential) values ($1, $2)",
                &[&digest, &credential],
            )
            .await?;
            Ok(true)
        })
        .await
    }

    /// Whether the session lives, which this request prolongs. A database that takes no writes prolongs nothing, but
    /// people can still look.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn session_lives(&self, session: &SessionKey) -> Result<bool, Error> {
        let (digest, credential) = (session.token_digest.as_slice(), session.credential.as_slice());
        let stale = self
            .run("session_lives", async |client| {
                let statement = client
                    .prepare_cached(
                        "-- session_lives()
                         select seen_at < now - make_interval(secs => $5)
                         from maildt.sessions, (select clock_timestamp() as now) clock
                         where token_digest = $1 and credential = $2
                             and seen_at > now - make_interval(secs => $3)
                             and created_at > now - make_interval(secs => $4)
                             and created_at < now + interval '5 min' -- the clock was set back since",
                    )
                    .await?;
                let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&digest, &credential, &IDLE_S, &ABSOLUTE_S, &SEEN_S];
                let row = client.query_opt(&statement, &arguments).await?;
                Ok(row.map(|row| row.try_get::<_, bool>(0)).transpose()?)
            })
            .await?;
        if stale == Some(true) {
            let written = self
                .run("session_seen", async |client| {
                    let statement = client
                        .prepare_cached(
                            "-- session_seen()
                             update maildt.sessions set seen_at = clock_timestamp() where token_digest = $1",
                        )
                        .await?;
                    Ok(client.execute(&statement, &[&digest]).await?)
                })
                .await;
            if let Err(reason) = written {
                tracing::debug!(%reason, "a session is not prolonged");
            }
        }
        Ok(stale.is_some())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn end_session(&self, token_digest: &[u8; 32]) -> Result<(), Error> {
        let digest = token_digest.as_slice();
        self.run("end_session", async |client| {
            client
                .execute("-- end_session()\ndelete from maildt.sessions where token_digest = $1", &[&digest])
                .await?;
            Ok(())
        })
        .await
    }
}
