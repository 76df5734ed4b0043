//! The owner of a login's directory, and the directories of deleted accounts. A directory is recorded in the
//! transaction that deletes the account, and forgotten once it is removed. So a crash in between leaves no login on the
//! disk.

use std::path::{Path, PathBuf};

use super::links;
use super::rows::reference;
use crate::authentic::{ACCOUNTS, TOMBSTONES, census, fields_in};
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
        let leftovers = rows.into_iter().filter_map(|(kind, subject)| parse(&kind, &subject));
        Ok(leftovers.map(|leftover| self.located_leftover(leftover)).collect())
    }

    /// Returns the account that keeps its login in this directory, whatever its provider; the oldest if there are
    /// several.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the path is not valid; [`StoreError::Corrupt`] if the account's id cannot be
    /// read; [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn directory_owner(&self, dir: &Path) -> Result<Option<AccountId>, StoreError> {
        let stored =
            |adopted| self.roots().map_or_else(|| dir.to_owned(), |roots| roots.stored(dir, adopted));
        let place = |adopted| reference(&SecretRef::ConfigDir { dir: stored(adopted), adopted });
        let mut tx = self.read().await?;
        let row = sql!(
            optional,
            (String,),
            &mut tx,
            "SELECT id FROM accounts WHERE secret_ref IN ($1, $2) ORDER BY created_at, id LIMIT 1",
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
        let stored = self
            .roots()
            .map(|roots| Leftover { dir: roots.stored(&leftover.dir, false), ..leftover.clone() });
        let mut gone = 0;
        // An earlier version recorded the absolute path.
        for leftover in stored.iter().chain([leftover]) {
            for kind in [KEEPING, WHOLE] {
                census::removed(&mut work.tx, TOMBSTONES, [kind, &subject(leftover)]).await?;
            }
            gone += sql!(
                run,
                &mut work.tx,
                "DELETE FROM tombstones WHERE subject = $1 AND (kind = $2 OR kind = $3)",
                subject(leftover).as_str(),
                KEEPING,
                WHOLE,
            )?;
        }
        if gone > 0 {
            work.commit().await?;
        }
        Ok(())
    }
}

impl Store {
    /// Returns a leftover with the present path of its directory.
    pub(crate) fn located_leftover(&self, leftover: Leftover) -> Leftover {
        match self.roots() {
            Some(roots) => Leftover { dir: roots.locate(&leftover.dir, false), ..leftover },
            None => leftover,
        }
    }

    /// Stores the references to directories relative to the roots, where an earlier version stored absolute paths.
    /// `moved` returns the present place of a provider's adopted directory that is below no root, if it is known. Returns
    /// the number of changed accounts and leftovers. A reference that cannot be read stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn anchor_directories(
        &self,
        moved: &(dyn Fn(&str, &Path) -> Option<PathBuf> + Send + Sync),
        now: i64,
    ) -> Result<usize, StoreError> {
        let Some(roots) = self.roots() else { return Ok(0) };
        let mut work = self.write(now).await?;
        let rows = sql!(
            all,
            (String, String, String),
            &mut work.tx,
            "SELECT id, provider, secret_ref FROM accounts WHERE secret_ref LIKE '%\"config_dir\"%'",
        )?;
        let mut changed = 0;
        for (id, provider, stored) in rows {
            let Ok(SecretRef::ConfigDir { dir, adopted }) = stored.parse() else { continue };
            let dir = roots.stored(&dir, adopted);
            let found = if adopted && dir.is_absolute() { moved(&provider, &dir) } else { None };
            let dir = found.map_or(dir, |found| roots.stored(&found, adopted));
            let anchored = reference(&SecretRef::ConfigDir { dir, adopted })?;
            if anchored != stored {
                let row = match fields_in(&mut work.tx, ACCOUNTS, [id.as_str(), ""]).await {
                    Ok(row) => row,
                    // A corrupt account is not used, so its directory does not matter.
                    Err(StoreError::Corrupt { .. }) => continue,
                    Err(error) => return Err(error),
                };
                sql!(
                    run,
                    &mut work.tx,
                    "UPDATE accounts SET secret_ref = $2 WHERE id = $1",
                    id.as_str(),
                    anchored.as_str(),
                )?;
                row.with("secret_ref", anchored.as_str()).sign(&mut work.tx, [id.as_str(), ""]).await?;
                changed += 1;
            }
        }
        let rows = of_kinds(&mut work.tx, KEEPING, WHOLE).await?;
        for (kind, stored) in rows {
            let Some(leftover) = parse(&kind, &stored) else { continue };
            let anchored = subject(&Leftover { dir: roots.stored(&leftover.dir, false), ..leftover });
            if anchored != stored {
                census::removed(&mut work.tx, TOMBSTONES, [&kind, &stored]).await?;
                sql!(
                    run,
                    &mut work.tx,
                    "DELETE FROM tombstones WHERE kind = $1 AND subject = $2",
                    kind.as_str(),
                    stored.as_str(),
                )?;
                tombstone(&mut work.tx, &kind, &anchored, now).await?;
                changed += 1;
            }
        }
        if changed > 0 {
            work.commit().await?;
        }
        Ok(changed)
    }
}

/// Reads a tombstone of a directory.
fn parse(kind: &str, subject: &str) -> Option<Leftover> {
    let (provider, dir) = subject.split_once(' ')?;
    let history = if kind == WHOLE { History::Remove } else { History::Keep };
    Some(Leftover { provider: provider.parse().ok()?, dir: PathBuf::from(dir), history })
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
