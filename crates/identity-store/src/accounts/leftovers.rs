//! The owner of a login's directory, and the directories of deleted accounts. A directory is recorded in the
//! transaction that deletes the account, and forgotten once it is removed. So a crash in between leaves no login on the
//! disk.

use std::path::{Path, PathBuf};

use super::links;
use super::rows::reference;
use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::id::{AccountId, ProviderId};
use crate::model::account::{History, Leftover, SecretRef};
use crate::store::Store;
use crate::tombstones::{of_kinds, tombstone};

/// The kinds of tombstone, by the handling of the user's history.
const KEEPING: &str = "directory";
const WHOLE: &str = "directory_with_history";

impl Store {
    /// Returns the directories of deleted accounts that were not reported as removed, in order of path.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        let mut tx = self.read().await?;
        let rows = of_kinds(&mut tx, KEEPING, WHOLE).await?;
        let parse = |(kind, subject): (String, String)| {
            let (provider, dir) = subject.split_once(' ')?;
            let history = if kind == WHOLE { History::Remove } else { History::Keep };
            Some(Leftover { provider: provider.parse().ok()?, dir: PathBuf::from(dir), history })
        };
        Ok(rows.into_iter().filter_map(parse).collect())
    }

    /// Returns the account of a provider that keeps its login in this directory; the oldest if there are several.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the path is not valid; [`StoreError::Corrupt`] if the account's id cannot be
    /// read; [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn directory_owner(
        &self,
        provider: &ProviderId,
        dir: &Path,
    ) -> Result<Option<AccountId>, StoreError> {
        let place = |adopted| reference(&SecretRef::ConfigDir { dir: dir.to_owned(), adopted });
        let mut tx = self.read().await?;
        let row = sql!(
            optional,
            (String,),
            &mut tx,
            "SELECT id FROM accounts WHERE provider = $1 AND secret_ref IN ($2, $3) ORDER BY created_at, id LIMIT 1",
            provider.as_str(),
            place(false)?,
            place(true)?,
        )?;
        row.map(|(id,)| links::parse("account", &id)).transpose()
    }

    /// Records that a directory was removed, or belongs to another account.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn forget_leftover(&self, leftover: &Leftover, now: i64) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        let subject = subject(leftover);
        let gone = sql!(
            run,
            &mut work.tx,
            "DELETE FROM tombstones WHERE subject = $1 AND (kind = $2 OR kind = $3)",
            subject.as_str(),
            KEEPING,
            WHOLE,
        )?;
        if gone > 0 {
            work.commit().await?;
        }
        Ok(())
    }
}

/// Returns the directory that a deleted account leaves behind; `None` if its secret was in its row or the directory is
/// the user's own.
pub(crate) fn of(provider: &ProviderId, secret_ref: &SecretRef, history: History) -> Option<Leftover> {
    match secret_ref {
        SecretRef::ConfigDir { dir, adopted: false } => {
            Some(Leftover { provider: provider.clone(), dir: dir.clone(), history })
        }
        _ => None,
    }
}

/// Records a leftover directory.
pub(crate) async fn note(tx: &mut Tx, leftover: &Leftover, now: i64) -> Result<(), StoreError> {
    let kind = match leftover.history {
        History::Keep => KEEPING,
        History::Remove => WHOLE,
    };
    tombstone(tx, kind, &subject(leftover), now).await
}

/// Returns the subject of the tombstone. An id has no space. The path is valid Unicode, because it was stored as JSON.
fn subject(leftover: &Leftover) -> String {
    format!("{} {}", leftover.provider, leftover.dir.display())
}
