//! Writes that only the active instance may make.

use uuid::Uuid;

use super::{Error, Problem, Tx};

/// Proof of being the active instance at some time; checked again inside each transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub holder: Uuid,
    pub epoch: i64,
}

impl Fence {
    /// Fails with [`Error::Fenced`] unless the lease is still ours, and keeps it ours until the transaction ends.
    ///
    /// Expiry does not matter here: taking the lease over changes its row, which waits for our lock and begins a new
    /// epoch. So what was kept in memory through a long outage of the database can still be written when it is back.
    pub(super) async fn check(&self, tx: &Tx<'_>) -> Result<(), Problem> {
        let statement = tx
            .prepare_cached(
                "-- fence()
                 select 1 from maildt.lease
                 where holder = $1 and epoch = $2 for share",
            )
            .await?;
        match tx.query_opt(&statement, &[&self.holder, &self.epoch]).await? {
            Some(_) => Ok(()),
            None => Err(Error::Fenced.into()),
        }
    }
}
