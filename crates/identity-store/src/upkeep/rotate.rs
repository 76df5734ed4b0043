//! Rotation of the key: every secret is sealed again with the current key, and a key that no secret needs any more is
//! retired.

use super::rows::UnfitRow;
use super::sealed::{SEALED, SealedColumn};
use crate::authentic::{TABLES, Table, page, resign};
use crate::db::sql;
use crate::error::StoreError;
use crate::secret;
use crate::secret::{Cell, KeyId, SecretError};
use crate::store::Store;
use crate::store::work::Work;

/// The number of secrets that one transaction seals again.
const BATCH: i64 = 100;

/// The result of a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The number of secrets that were sealed again.
    pub resealed: u64,
    /// The number of rows that were authenticated again.
    pub authenticated: u64,
    /// The rows that no key of the keyring authenticates. They stay unchanged.
    pub unfit: Vec<UnfitRow>,
    /// The secrets that no key of the keyring opens. They stay unchanged.
    pub unopened: Vec<UnopenedSecret>,
    /// The keys that no secret needs any more. This run retired them.
    pub retired: Vec<KeyId>,
    /// Old keys that a secret still needs.
    pub needed: Vec<KeyId>,
}

/// A secret that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnopenedSecret {
    /// The table of the secret.
    pub table: &'static str,
    /// The id of the secret's row.
    pub row: String,
    /// The reason why it could not be opened.
    pub reason: SecretError,
}

/// A key that the database knows by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The id of the key.
    pub id: KeyId,
    /// The state: `active` for the key that seals, `old` for a key that a secret may still need, or `retired`.
    pub state: String,
    /// Time when the key was first used with the database, in unix milliseconds.
    pub created_at: i64,
}

impl Store {
    /// Seals again every secret that another key than the current one sealed, authenticates every row again, and
    /// retires the keys that are no longer needed.
    ///
    /// Secrets are replaced a hundred at a time, in a transaction that compares the old value. So the rotation may be
    /// interrupted at any moment, run again, and run beside other writers. `progress` receives the number of secrets
    /// done so far.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a key's row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn rotate(&self, now: i64, mut progress: impl FnMut(u64)) -> Result<Rotation, StoreError> {
        let mut rotation = Rotation::default();
        for column in SEALED {
            let mut after = String::new();
            while let Some(last) = self.reseal_batch(column, &after, now, &mut rotation).await? {
                after = last;
                progress(rotation.resealed);
            }
        }
        for table in TABLES {
            let mut after = (String::new(), String::new());
            while let Some(last) = self.resign_page(table, &after, now, &mut rotation).await? {
                after = last;
            }
        }
        self.retire(now, &mut rotation).await?;
        Ok(rotation)
    }

    /// Removes overwritten and deleted data from the database's files. A `SQLite` file must have no other user
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn compact(&self) -> Result<(), StoreError> {
        self.pools().compact().await
    }

    /// Returns the keys that the database was used with, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a key's row cannot be read; [`StoreError::Busy`], [`StoreError::Unavailable`] or
    /// another error of the database.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            (String, String, i64),
            &mut tx,
            "SELECT key_id, state, created_at FROM crypto_keys ORDER BY created_at, key_id"
        )?;
        let parse = |(id, state, created_at): (String, String, i64)| {
            let parsed = id.parse().map_err(|error| StoreError::corrupt("encryption key", &id, &error))?;
            Ok(StoredKey { id: parsed, state, created_at })
        };
        rows.into_iter().map(parse).collect()
    }

    /// Seals one batch again. Returns the last row that was examined, or `None` if there is none left.
    async fn reseal_batch(
        &self,
        column: &'static SealedColumn,
        after: &str,
        now: i64,
        rotation: &mut Rotation,
    ) -> Result<Option<String>, StoreError> {
        let mut work = self.write(now).await?;
        let rows = sql!(
            all,
            (String, Vec<u8>, i64),
            &mut work.tx,
            column.foreign,
            self.keyring().key_id().0.to_vec(),
            after,
            BATCH,
        )?;
        let last = rows.last().map(|(id, ..)| id.clone());
        let mut resealed = 0;
        for (row, sealed, generation) in rows {
            let number = u64::try_from(generation).map_err(|_| SecretError::Mismatch);
            let anew = number.and_then(|generation| {
                let cell = Cell { table: column.table, column: column.column, row: &row, generation };
                secret::reseal(self.keyring(), cell, &sealed)
            });
            match anew {
                Ok(anew) => {
                    resealed +=
                        sql!(run, &mut work.tx, column.replace, row.as_str(), anew, sealed, generation)?;
                }
                Err(reason) => rotation.unopened.push(UnopenedSecret { table: column.table, row, reason }),
            }
        }
        if resealed > 0 {
            work.commit().await?;
            rotation.resealed += resealed;
        }
        Ok(last)
    }

    /// Authenticates the rows of one page again. Returns the key of its last row; `None` if there is none left.
    async fn resign_page(
        &self,
        table: &'static Table,
        after: &(String, String),
        now: i64,
        rotation: &mut Rotation,
    ) -> Result<Option<(String, String)>, StoreError> {
        let mut work = self.write(now).await?;
        let rows = page(&mut work.tx, table, (&after.0, &after.1)).await?;
        let mut signed = 0;
        for row in &rows {
            match row.check(&work.tx, table) {
                Ok(()) if row.is_current(&work.tx) => {}
                Ok(()) => {
                    resign(&mut work.tx, table, row).await?;
                    signed += 1;
                }
                Err(reason) => rotation.unfit.push(UnfitRow { table: table.name, row: row.id(), reason }),
            }
        }
        if signed > 0 {
            work.commit().await?;
            rotation.authenticated += signed;
        }
        Ok(rows.last().map(|row| (row.key.clone(), row.second.clone())))
    }

    /// Retires the keys that no secret uses.
    async fn retire(&self, now: i64, rotation: &mut Rotation) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        let old = sql!(
            all,
            (String,),
            &mut work.tx,
            "SELECT key_id FROM crypto_keys WHERE state NOT IN ('active', 'retired') ORDER BY created_at, key_id"
        )?;
        for (text,) in old {
            let id: KeyId =
                text.parse().map_err(|error| StoreError::corrupt("encryption key", &text, &error))?;
            if uses(&mut work, id).await? > 0 {
                rotation.needed.push(id);
                continue;
            }
            sql!(run, &mut work.tx, "UPDATE crypto_keys SET state = 'retired' WHERE key_id = $1", text)?;
            work.audit("key.retire", &id.to_string());
            rotation.retired.push(id);
        }
        if rotation.retired.is_empty() { Ok(()) } else { work.commit().await }
    }
}

/// Returns the number of secrets and rows that use the key.
async fn uses(work: &mut Work, key: KeyId) -> Result<i64, StoreError> {
    let mut uses = 0;
    for column in SEALED {
        let (count,) = sql!(one, (i64,), &mut work.tx, column.count, key.0.to_vec())?;
        uses += count;
    }
    for table in TABLES {
        let (count,) = sql!(one, (i64,), &mut work.tx, table.count, key.0.to_vec())?;
        uses += count;
    }
    Ok(uses)
}
