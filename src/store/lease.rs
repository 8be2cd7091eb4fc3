//! The lease: which instance works.

use std::time::Duration;

use uuid::Uuid;

use super::{Error, Fence, Store};

/// What asking for the lease gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// Ours; a new epoch began, so nothing of an earlier time of ours may be carried on.
    Begun(Fence),
    /// Still ours, in the same epoch.
    Held(Fence),
    /// Another instance works.
    Other,
}

impl Store {
    /// Takes or renews the lease for `length`.
    ///
    /// It is free when it has expired by database time, when its end is further away than any lease lasts (the database's
    /// clock was set back), or when the holder's database session is gone and it missed a renewal: a killed program is
    /// replaced in seconds.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn take_lease(
        &self,
        holder: Uuid,
        current: Option<Fence>,
        length: Duration,
        renew: Duration,
    ) -> Result<Tenure, Error> {
        let epoch = current.map(|fence| fence.epoch);
        let (length, renew) = (length.as_secs_f64(), renew.as_secs_f64());
        self.run("take_lease", async |client| {
            let statement = client
                .prepare_cached(
                    "-- take_lease()
                     insert into maildt.lease as l
                         (holder, epoch, backend, backend_start, taken_at, renewed_at, expires_at)
                     select $1, 1, pg_backend_pid(), (select backend_start from pg_stat_activity where pid = pg_backend_pid()),
                         clock_timestamp(), clock_timestamp(), clock_timestamp() + make_interval(secs => $3::float8)
                     on conflict (only_row) do update set
                         holder = excluded.holder,
                         epoch = case when l.holder = $1 and l.epoch = $2 then l.epoch else l.epoch + 1 end,
                         taken_at = case when l.holder = $1 and l.epoch = $2 then l.taken_at else excluded.taken_at end,
                         backend = excluded.backend, backend_start = excluded.backend_start,
                         renewed_at = excluded.renewed_at, expires_at = excluded.expires_at
                     where l.holder = $1
                         or l.expires_at <= clock_timestamp()
                         or l.expires_at > clock_timestamp() + make_interval(secs => 2 * $3::float8 + 5)
                         or (l.renewed_at < clock_timestamp() - make_interval(secs => 1.5 * $4::float8)
                             and not exists (select 1 from pg_stat_activity a
                                 where a.pid = l.backend and a.backend_start is not distinct from l.backend_start))
                     returning epoch",
                )
                .await?;
            let row = client.query_opt(&statement, &[&holder, &epoch, &length, &renew]).await?;
            let Some(row) = row else { return Ok(Tenure::Other) };
            let fence = Fence { holder, epoch: row.try_get(0)? };
            Ok(if Some(fence) == current { Tenure::Held(fence) } else { Tenure::Begun(fence) })
        })
        .await
    }

    /// Gives the lease up, so that another instance, or our own next start, need not wait.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn give_up_lease(&self, fence: Fence) -> Result<(), Error> {
        self.run("give_up_lease", async |client| {
            let statement = client
                .prepare_cached(
                    "-- give_up_lease()
                     update maildt.lease set expires_at = clock_timestamp() where holder = $1 and epoch = $2",
                )
                .await?;
            client.execute(&statement, &[&fence.holder, &fence.epoch]).await?;
            Ok(())
        })
        .await
    }
}
