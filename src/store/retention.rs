//! The end of history.

use std::time::Duration;

use super::{Error, Fence, Store};

impl Store {
    /// Removes at most `batch` probes whose history is older than `age`: never one without a result, never a recipient's last
    /// success. Gives how many went; fewer than `batch` means that nothing is left to do.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn forget_probes(&self, fence: Fence, age: Duration, batch: i64) -> Result<u64, Error> {
        let statement = "-- forget_probes()
            delete from maildt.probes where id in (
                select p.id from maildt.probes p
                where p.result is not null and p.created_at < (select clock_timestamp() - make_interval(secs => $1))
                    and (p.result <> 'delivered' or p.kind <> 'scheduled' or exists (
                        select 1 from maildt.probes newer
                        where newer.recipient_id = p.recipient_id and newer.result = 'delivered'
                            and newer.kind = 'scheduled' and newer.created_at > p.created_at)
                        or exists (select 1 from maildt.recipients r
                            where r.id = p.recipient_id and r.deleted_at is not null))
                order by p.created_at limit $2)";
        self.forget("forget_probes", fence, statement, age, batch).await
    }

    /// Removes at most `batch` incidents that were resolved longer than `age` ago, with their notifications. Gives how many
    /// went.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn forget_incidents(&self, fence: Fence, age: Duration, batch: i64) -> Result<u64, Error> {
        let statement = "-- forget_incidents()
            delete from maildt.incidents where id in (
                select i.id from maildt.incidents i
                where i.resolved_at < (select clock_timestamp() - make_interval(secs => $1))
                order by i.opened_at limit $2)";
        self.forget("forget_incidents", fence, statement, age, batch).await
    }

    /// Runs a `statement` that removes at most $2 rows that are older than $1 seconds.
    async fn forget(
        &self,
        operation: &'static str,
        fence: Fence,
        statement: &str,
        age: Duration,
        batch: i64,
    ) -> Result<u64, Error> {
        self.run_tx(operation, async |tx| {
            fence.check(tx).await?;
            let statement = tx.prepare_cached(statement).await?;
            Ok(tx.execute(&statement, &[&age.as_secs_f64(), &batch]).await?)
        })
        .await
    }

    /// Removes deleted recipients and unused older keys whose last probe is gone.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn forget_leftovers(&self, fence: Fence, current_key: i32) -> Result<(), Error> {
        self.run_tx("forget_leftovers", async |tx| {
            fence.check(tx).await?;
            tx.execute(
                "-- forget_recipients()
                 delete from maildt.recipients r where r.deleted_at is not null
                     and not exists (select 1 from maildt.probes p where p.recipient_id = r.id)",
                &[],
            )
            .await?;
            tx.execute(
                "-- forget_keys()
                 delete from maildt.signing_keys k where k.origin = 'configured' and k.id <> $1
                     and k.used_at < clock_timestamp() - interval '1 day'
                     and not exists (select 1 from maildt.probes p where p.key_id = k.id)",
                &[&current_key],
            )
            .await?;
            Ok(())
        })
        .await
    }
}
