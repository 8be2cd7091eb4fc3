//! The newest probes of one recipient, for people to read.

use crate::domain::id::RecipientId;
use crate::domain::probe::Probe;

use super::row::probe_in_brief;
use super::{Error, Store, row};

impl Store {
    /// A recipient's newest probes, those that were asked for among them, newest first.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn newest_probes(&self, recipient: RecipientId, limit: i64) -> Result<Vec<Probe>, Error> {
        self.run("newest_probes", async |client| {
            let columns = probe_in_brief();
            let text = format!(
                "-- newest_probes()
                 select {columns} from maildt.probes p where p.recipient_id = $1 order by p.created_at desc limit $2"
            );
            let statement = client.prepare_cached(&text).await?;
            client.query(&statement, &[&recipient.0, &limit]).await?.iter().map(row::probe).collect()
        })
        .await
    }
}
