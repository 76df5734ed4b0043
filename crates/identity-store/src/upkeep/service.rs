//! The service's own rows: settings, and information about the database.

use crate::authentic::{SERVICE_SETTINGS, census, known, setting};
use crate::db::{sql, uncancelled};
use crate::error::StoreError;
use crate::names;
use crate::store::{Store, check};

/// The numbers of stored items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of bundles, including `blank`.
    pub bundles: u64,
    /// The number of accounts.
    pub accounts: u64,
    /// The number of bindings.
    pub bindings: u64,
    /// The number of login sessions that have not ended.
    pub live_sessions: u64,
}

impl Store {
    /// Returns the version of the database's schema: the number of the newest migration that ran.
    ///
    /// # Errors
    /// [`StoreError::Migration`] if the database has no schema; [`StoreError::Busy`], [`StoreError::Unavailable`] or
    /// another error of the database.
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        let version = check::schema_version(&mut self.read().await?).await?;
        version.ok_or_else(|| StoreError::Migration {
            version: None,
            source: "the table _sqlx_migrations does not exist".into(),
        })
    }

    /// Returns the numbers of stored items.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let mut tx = self.read().await?;
        let (bundles, accounts, bindings, live) = sql!(
            one,
            (i64, i64, i64, i64),
            &mut tx,
            "SELECT (SELECT count(*) FROM identity_bundles), (SELECT count(*) FROM accounts),
                    (SELECT count(*) FROM identity_bindings),
                    (SELECT count(*) FROM login_sessions WHERE ended_at IS NULL)"
        )?;
        Ok(Counts {
            bundles: bundles.unsigned_abs(),
            accounts: accounts.unsigned_abs(),
            bindings: bindings.unsigned_abs(),
            live_sessions: live.unsigned_abs(),
        })
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.read().await?;
        sql!(one, (i64,), &mut tx, "SELECT count(*) FROM crypto_keys")?;
        Ok(())
    }

    /// Checks that the database accepts a write, by one that changes no value.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn check_writes(&self) -> Result<(), StoreError> {
        let store = self.clone();
        uncancelled(async move {
            let mut tx = store.pools().write().await?;
            sql!(run, &mut tx, "UPDATE crypto_keys SET created_at = created_at")?;
            store.pools().commit(tx).await
        })
        .await
    }

    /// Returns a setting; `None` if it was never set.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if another program wrote the row; [`StoreError::Busy`], [`StoreError::Unavailable`] or
    /// another error of the database.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut tx = self.read().await?;
        let row = known(&mut tx, SERVICE_SETTINGS, [key, ""]).await?;
        Ok(row.and_then(|row| row.get("value").map(str::to_owned)))
    }

    /// Sets a setting, replacing its old value.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the key is not valid; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn put_setting(&self, key: &str, value: &str, now: i64) -> Result<(), StoreError> {
        let key = names::name("key", key)?;
        let mut work = self.write(now).await?;
        census::put(&mut work.tx, SERVICE_SETTINGS, [&key, ""]).await?;
        let code = setting(&key, value).code(&work.tx);
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO service_settings (key, value, updated_at, mac) VALUES ($1, $2, $3, $4)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at,
                 mac = excluded.mac",
            key.as_str(),
            value,
            now,
            code,
        )?;
        work.audit("setting.put", &key);
        work.commit().await
    }
}
