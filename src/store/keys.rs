//! Signing keys.

use crate::domain::token::{Keyring, SigningKey};

use super::{Error, Problem, Store};

/// The keys of this installation.
#[derive(Clone, Debug)]
pub struct Keys {
    pub ring: Keyring,
    /// The row of the key that signs.
    pub current_id: i32,
}

impl Store {
    /// Loads the keys; creates the generated one from `fresh` at the very first start, and adds the configured one.
    ///
    /// # Errors
    /// When the database is away or holds a key of a wrong length.
    pub async fn keys(&self, configured: Option<&SigningKey>, fresh: [u8; 32]) -> Result<Keys, Error> {
        let (key, origin) = match configured {
            Some(key) => (key.bytes().to_vec(), "configured"),
            None => (fresh.to_vec(), "generated"),
        };
        self.run_tx("keys", async |tx| {
            if configured.is_some() {
                tx.execute(
                    "-- add_configured_key()
                     insert into maildt.signing_keys (key, origin) values ($1, $2)
                     on conflict (key) do update set used_at = clock_timestamp()",
                    &[&key, &origin],
                )
                .await?;
            } else {
                tx.execute(
                    "-- add_generated_key()
                     insert into maildt.signing_keys (key, origin) values ($1, $2)
                     on conflict (origin) where origin = 'generated' do update set used_at = clock_timestamp()",
                    &[&key, &origin],
                )
                .await?;
            }
            let rows = tx
                .query(
                    "-- keys()
                     select id, key, (case when $1 = 'configured' then key = $2 else origin = 'generated' end) as signs
                     from maildt.signing_keys order by id desc",
                    &[&origin, &key],
                )
                .await?;
            let mut current = None;
            let mut older = Vec::new();
            for row in rows {
                let (id, key, signs): (i32, Vec<u8>, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let key = <[u8; 32]>::try_from(key)
                    .map_err(|_| Problem::from(Error::Row(format!("signing key {id} is not 32 bytes long"))))?;
                let key = SigningKey::new(key);
                if signs {
                    current = Some((id, key));
                } else {
                    older.push(key);
                }
            }
            let (current_id, current) = current.ok_or_else(|| Error::Row("no signing key".to_owned()))?;
            Ok(Keys { ring: Keyring::new(current, older), current_id })
        })
        .await
    }
}
