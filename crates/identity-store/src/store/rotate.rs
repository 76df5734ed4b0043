//! Changing the key: every secret is sealed anew with the key that seals, and a key that sealed nothing is retired.

use super::sealed::{SEALED, SealedColumn};
use super::{Store, Work};
use crate::db::sql;
use crate::secret::{self, Cell};
use crate::{KeyId, SecretError, StoreError};

/// Secrets that are sealed anew in one transaction.
const BATCH: i64 = 100;

/// What became of a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// How many secrets were sealed anew.
    pub resealed: u64,
    /// Those that did not open with any key of the keyring. They stay as they are.
    pub unopened: Vec<Unopened>,
    /// Keys that no secret needs any more; they were retired by this run.
    pub retired: Vec<KeyId>,
    /// Old keys that a secret still needs.
    pub needed: Vec<KeyId>,
}

/// A secret that did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unopened {
    /// Its table.
    pub table: &'static str,
    /// Its row's id.
    pub row: String,
    /// Why it did not open.
    pub reason: SecretError,
}

/// A key that the database knows by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name.
    pub id: KeyId,
    /// `active` for the one that seals, `old` for one that a secret may still need, `retired`.
    pub state: String,
    /// When the database first met it, in unix milliseconds.
    pub created_at: i64,
}

impl Store {
    /// Seals every secret anew that another key than the current one sealed, and retires the keys that are left over.
    ///
    /// A secret is replaced in a transaction that compares what it replaces, a hundred at a time, so that it may be
    /// interrupted at any moment and run again, beside other writers too. `progress` is told how many are done.
    pub async fn rotate(&self, now: i64, mut progress: impl FnMut(u64)) -> Result<Rotation, StoreError> {
        let mut rotation = Rotation::default();
        for column in SEALED {
            let mut after = String::new();
            while let Some(last) = self.reseal_batch(column, &after, now, &mut rotation).await? {
                after = last;
                progress(rotation.resealed);
            }
        }
        self.retire(now, &mut rotation).await?;
        Ok(rotation)
    }

    /// Takes what was written over or deleted out of the database's files. Nobody else may be using a `SQLite` file.
    pub async fn compact(&self) -> Result<(), StoreError> {
        self.inner.pools.compact().await
    }

    /// The keys that the database has met, oldest first.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            (String, String, i64),
            &mut tx,
            "SELECT key_id, state, created_at FROM crypto_keys ORDER BY created_at, key_id"
        )?;
        let parse = |(id, state, created_at): (String, String, i64)| {
            let parsed = id.parse().map_err(|error| StoreError::corrupt("crypto_keys", &id, &error))?;
            Ok(StoredKey { id: parsed, state, created_at })
        };
        rows.into_iter().map(parse).collect()
    }

    /// Seals one batch anew; gives the last row that was looked at, or nothing when there is none left.
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
                Err(reason) => rotation.unopened.push(Unopened { table: column.table, row, reason }),
            }
        }
        if resealed > 0 {
            work.commit().await?;
            rotation.resealed += resealed;
        }
        Ok(last)
    }

    /// Retires the keys that no secret names.
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
                text.parse().map_err(|error| StoreError::corrupt("crypto_keys", &text, &error))?;
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

/// How many secrets name the key.
async fn uses(work: &mut Work, key: KeyId) -> Result<i64, StoreError> {
    let mut uses = 0;
    for column in SEALED {
        let (count,) = sql!(one, (i64,), &mut work.tx, column.count, key.0.to_vec())?;
        uses += count;
    }
    Ok(uses)
}
