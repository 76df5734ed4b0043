//! The setting that names the active account.

use super::ACTIVE;
use crate::authentic::{SERVICE_SETTINGS, census, setting};
use crate::db::sql;
use crate::error::StoreError;
use crate::id::AccountId;
use crate::model::changes::Change;
use crate::store::Store;
use crate::store::work::Work;

impl Store {
    /// Clears the active account. Returns `false` if there was none.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn clear_active_forge(&self, now: i64) -> Result<bool, StoreError> {
        let mut work = self.write(now).await?;
        census::removed(&mut work.tx, SERVICE_SETTINGS, [ACTIVE, ""]).await?;
        let cleared = sql!(run, &mut work.tx, "DELETE FROM service_settings WHERE key = $1", ACTIVE)? > 0;
        if cleared {
            work.audit("operator.clearactive", "");
            work.changed(Change::OperatorTokens);
            work.commit().await?;
        }
        Ok(cleared)
    }
}

/// Records the active account. An account that is already active keeps its time of activation.
pub(super) async fn activate(work: &mut Work, account: &AccountId) -> Result<(), StoreError> {
    census::put(&mut work.tx, SERVICE_SETTINGS, [ACTIVE, ""]).await?;
    let code = setting(ACTIVE, account.as_str()).code(&work.tx);
    // The code depends on key and value only. A row with the same value and another code was written without the key.
    let written = sql!(
        run,
        &mut work.tx,
        "INSERT INTO service_settings (key, value, updated_at, mac) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, mac = excluded.mac
         WHERE service_settings.value <> excluded.value OR service_settings.mac IS NULL
             OR service_settings.mac <> excluded.mac",
        ACTIVE,
        account.as_str(),
        work.now,
        code,
    )?;
    if written > 0 {
        work.audit("operator.setactive", account.as_str());
        work.changed(Change::OperatorTokens);
    }
    Ok(())
}
