//! Removal of login sessions that ended long ago.

use crate::authentic::{LOGIN_SESSIONS, Page, census};
use crate::db::sql;
use crate::error::StoreError;
use crate::store::Store;

/// The condition for sessions that ended before `$1`, and for all but the `$2` that ended last.
macro_rules! old_sessions {
    () => {
        "ended_at IS NOT NULL AND (ended_at < $1 OR id NOT IN (
             SELECT id FROM login_sessions WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, id LIMIT $2))"
    };
}

impl Store {
    /// Deletes sessions that ended before `before`, and all but the `keep` that ended last. Returns the number deleted.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn prune_sessions(&self, before: i64, keep: u32) -> Result<u64, StoreError> {
        let mut work = self.write(before).await?;
        let keep = i64::from(keep);
        let old = sql!(all, Page, &mut work.tx, listed!(login_sessions, old_sessions!()), before, keep)?;
        if old.is_empty() {
            return Ok(0);
        }
        census::gone(&mut work.tx, LOGIN_SESSIONS, old);
        let delete = concat!("DELETE FROM login_sessions WHERE ", old_sessions!());
        let pruned = sql!(run, &mut work.tx, delete, before, keep)?;
        work.commit().await?;
        Ok(pruned)
    }
}
