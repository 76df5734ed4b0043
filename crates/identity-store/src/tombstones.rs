//! Tombstones: marks of items that must not come back, or that are still to be removed.

use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::id::ProviderId;
use crate::store::Store;

/// The kind of tombstone that keeps the default-bundle migration from adopting a provider's login again.
pub(crate) const DEFAULT_PROVIDER: &str = "default_provider";

impl Store {
    /// Returns the providers whose own login must not be adopted any more, at the user's request.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn declined_providers(&self) -> Result<Vec<ProviderId>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            all,
            (String,),
            &mut tx,
            "SELECT subject FROM tombstones WHERE kind = $1 ORDER BY subject",
            DEFAULT_PROVIDER,
        )?;
        Ok(rows.into_iter().filter_map(|(provider,)| provider.parse().ok()).collect())
    }
}

/// Records that the user has removed a provider's account, so that the provider's own login is not adopted again.
pub(crate) async fn decline(tx: &mut Tx, provider: &ProviderId, now: i64) -> Result<(), StoreError> {
    tombstone(tx, DEFAULT_PROVIDER, provider.as_str(), now).await
}

/// Writes a tombstone, or updates the time of an existing one.
pub(crate) async fn tombstone(tx: &mut Tx, kind: &str, subject: &str, now: i64) -> Result<(), StoreError> {
    sql!(
        run,
        tx,
        "INSERT INTO tombstones (kind, subject, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (kind, subject) DO UPDATE SET created_at = excluded.created_at",
        kind,
        subject,
        now,
    )?;
    Ok(())
}
