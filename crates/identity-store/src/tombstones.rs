//! Tombstones: marks of items that must not come back, or that are still to be removed.

use crate::authentic::{Fields, Seal, TOMBSTONES, census};
use crate::db::{Tx, readable, row, sql};
use crate::error::StoreError;
use crate::id::ProviderId;
use crate::store::Store;

/// The kind of tombstone that keeps the default-bundle migration from adopting a provider's login again.
pub(crate) const DEFAULT_PROVIDER: &str = "default_provider";

row! {
    /// A tombstone.
    struct TombstoneRow {
        kind: String,
        subject: String,
    } with {
        seal: Seal<TOMBSTONES>,
    }
}

impl Store {
    /// Returns the providers whose own login must not be adopted any more, at the user's request.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn declined_providers(&self) -> Result<Vec<ProviderId>, StoreError> {
        let mut tx = self.read().await?;
        let found = of_kinds(&mut tx, DEFAULT_PROVIDER, DEFAULT_PROVIDER).await?;
        Ok(found.into_iter().filter_map(|(_, provider)| provider.parse().ok()).collect())
    }
}

/// Returns kind and subject of the tombstones of two kinds, in order of subject. A row of another program is left out.
pub(crate) async fn of_kinds(
    tx: &mut Tx,
    one: &str,
    other: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    let rows = sql!(
        each,
        TombstoneRow,
        tx,
        concat!(
            "SELECT kind, subject, ",
            signed!(tombstones),
            " FROM tombstones WHERE kind = $1 OR kind = $2 ORDER BY subject"
        ),
        one,
        other,
    )?;
    let fitting = readable(rows, "tombstone").filter(|row| row.seal.fits(&tx.keyring, &row.subject));
    Ok(fitting.map(|row| (row.kind, row.subject)).collect())
}

/// Records that the user has removed a provider's account, so that the provider's own login is not adopted again.
pub(crate) async fn decline(tx: &mut Tx, provider: &ProviderId, now: i64) -> Result<(), StoreError> {
    tombstone(tx, DEFAULT_PROVIDER, provider.as_str(), now).await
}

/// Writes a tombstone, or updates the time of an existing one.
pub(crate) async fn tombstone(tx: &mut Tx, kind: &str, subject: &str, now: i64) -> Result<(), StoreError> {
    census::put(tx, TOMBSTONES, [kind, subject]).await?;
    let code = Fields::new(TOMBSTONES).with("kind", kind).with("subject", subject).code(tx);
    sql!(
        run,
        tx,
        "INSERT INTO tombstones (kind, subject, created_at, mac) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, subject) DO UPDATE SET created_at = excluded.created_at, mac = excluded.mac",
        kind,
        subject,
        now,
        code,
    )?;
    Ok(())
}
