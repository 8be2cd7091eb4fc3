//! How far each watched folder has been examined.

use super::{Error, Fence, Store};

/// The first UID that has not been examined, in the folder's numbering of that time (RFC 3501, section 2.3.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderMark {
    pub mailbox: String,
    pub folder: String,
    pub uidvalidity: u32,
    pub next_uid: u32,
}

impl Store {
    /// All marks.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn folder_marks(&self) -> Result<Vec<FolderMark>, Error> {
        self.run("folder_marks", async |client| {
            let rows = client
                .query(
                    "-- folder_marks()\nselect mailbox, folder, uidvalidity, next_uid from maildt.folders",
                    &[],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    let number = |column: &str| -> Result<u32, super::Problem> {
                        let value: i64 = row.try_get(column)?;
                        u32::try_from(value)
                            .map_err(|_| Error::Row(format!("folders.{column} {value}")).into())
                    };
                    Ok(FolderMark {
                        mailbox: row.try_get("mailbox")?,
                        folder: row.try_get("folder")?,
                        uidvalidity: number("uidvalidity")?,
                        next_uid: number("next_uid")?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Keeps marks.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn keep_folder_marks(&self, fence: Fence, marks: &[FolderMark]) -> Result<(), Error> {
        self.run_tx("keep_folder_marks", async |tx| {
            fence.check(tx).await?;
            let statement = tx
                .prepare_cached(
                    "-- keep_folder_marks()
                     insert into maildt.folders (mailbox, folder, uidvalidity, next_uid) values ($1, $2, $3, $4)
                     on conflict (mailbox, folder) do update set
                         uidvalidity = excluded.uidvalidity, next_uid = excluded.next_uid, updated_at = clock_timestamp()",
                )
                .await?;
            for mark in marks {
                let (validity, next) = (i64::from(mark.uidvalidity), i64::from(mark.next_uid));
                tx.execute(&statement, &[&mark.mailbox, &mark.folder, &validity, &next]).await?;
            }
            Ok(())
        })
        .await
    }
}
