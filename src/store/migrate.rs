//! Migrations at start, one instance at a time.

use tokio_postgres::error::SqlState;

use super::{Error, Store, chain};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The key of the advisory lock: "maildt" in ASCII.
const LOCK: i64 = 0x6d61_696c_6474;

impl Store {
    /// The version of the schema `maildt`, if there is one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schema_version(&self) -> Result<Option<i32>, Error> {
        self.run("schema_version", async |client| {
            let row = client.query_one("select to_regclass('maildt.migrations') is not null", &[]).await?;
            if !row.try_get::<_, bool>(0)? {
                return Ok(None);
            }
            let row = client.query_one("select max(version)::int4 from maildt.migrations", &[]).await?;
            Ok(row.try_get(0)?)
        })
        .await
    }

    /// Brings the schema `maildt` up to this program's version. Instances that start together take turns.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] when a newer program has been here; otherwise when the database refuses or is away.
    pub async fn migrate(&self) -> Result<(), Error> {
        // A migration may take longer than a statement is allowed to, so this does not go through `run`.
        let mut connection = self.pool.get().await.map_err(|e| Error::Unreachable(chain(&e)))?;
        let refused = |e: tokio_postgres::Error| match e.as_db_error() {
            Some(refusal) if !super::is_outage(refusal.code()) => {
                Error::Migration(refusal.message().to_owned())
            }
            Some(refusal) => Error::Unreachable(refusal.message().to_owned()),
            None => Error::Unreachable(chain(&e)),
        };
        connection
            .batch_execute(&format!(
                "-- migrate()\nset lock_timeout = 0; set statement_timeout = 0; select pg_advisory_lock({LOCK}); \
                 create schema if not exists maildt; set search_path = maildt"
            ))
            .await
            .map_err(refused)?;
        let mut result = Self::migrate_locked(&mut connection).await;
        // What was cut off is tried again: each migration is a transaction of its own.
        if let Err(Error::Migration(reason)) = &result
            && connection.is_closed()
        {
            result = Err(Error::Unreachable(reason.clone()));
        }
        // The session's settings and its lock end with the connection.
        drop(deadpool_postgres::Object::take(connection));
        result
    }

    async fn migrate_locked(connection: &mut deadpool_postgres::Object) -> Result<(), Error> {
        let mut runner = embedded::migrations::runner();
        runner.set_migration_table_name("migrations");
        let known = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
        let found = connection
            .query_opt("select to_regclass('maildt.migrations') is not null", &[])
            .await
            .ok()
            .flatten()
            .is_some_and(|row| row.get(0));
        if found {
            let row = connection
                .query_one("select coalesce(max(version), 0)::int4 from maildt.migrations", &[])
                .await
                .map_err(|e| Error::Migration(chain(&e)))?;
            let found: i32 = row.get(0);
            if found > known {
                return Err(Error::NewerSchema { found, known });
            }
            if found < known {
                tracing::info!(
                    from = found,
                    to = known,
                    "the schema is brought up to date; with a long history this takes minutes"
                );
            }
        }
        let client: &mut tokio_postgres::Client = connection;
        runner.run_async(client).await.map_err(|e| {
            if lock_conflict(&e) { Error::Unreachable(chain(&e)) } else { Error::Migration(chain(&e)) }
        })?;
        Ok(())
    }
}

/// Whether another instance's work stood in the way: then it is tried again.
fn lock_conflict(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
        if code.is_some_and(|code| {
            [SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE].contains(code)
        }) {
            return true;
        }
        cause = error.source();
    }
    false
}
