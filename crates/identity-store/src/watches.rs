//! Watched repositories, each by its forge and its name.

use crate::authentic::{FORGE_WATCHES, Fields, Seal, census};
use crate::db::{Tx, readable, row, sql};
use crate::error::StoreError;
use crate::model::changes::Change;
use crate::model::token::{BaseUrl, InvalidBaseUrl};
use crate::model::watch::{NewWatch, RepoView, RepoWatch};
use crate::secret::Keyring;
use crate::store::Store;

/// The kind of row, for errors.
const WHAT: &str = "watched repository";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT base_url, repo_key, forge_type, repo, default_branch, head, requests, etags, checked_at, changed_at,
                 problem, created_at, ",
            signed!(forge_watches),
            " FROM forge_watches ",
            $rest
        )
    };
}

row! {
    struct WatchRow {
        base_url: String,
        repo_key: String,
        forge_type: String,
        repo: String,
        default_branch: Option<String>,
        head: Option<String>,
        requests: Option<String>,
        etags: Option<String>,
        checked_at: Option<i64>,
        changed_at: Option<i64>,
        problem: Option<String>,
        created_at: i64,
    } with {
        seal: Seal<FORGE_WATCHES>,
    }
}

impl Store {
    /// Watches a repository, whose view was taken just now. A repository that is watched already keeps its row and gets
    /// the new view. Returns `true` if it was not watched before.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if `limit` repositories of this forge are watched already; [`StoreError::Busy`],
    /// [`StoreError::Full`] or another error of the database.
    pub async fn watch_repo(&self, new: &NewWatch, limit: u32, now: i64) -> Result<bool, StoreError> {
        let NewWatch { forge, base_url, repo, view } = new;
        let mut work = self.write(now).await?;
        let key = repo.to_lowercase();
        let known = watch_in(&mut work.tx, base_url, &key).await?;
        if known.is_none() {
            let (count,) = sql!(
                one,
                (i64,),
                &mut work.tx,
                "SELECT count(*) FROM forge_watches WHERE base_url = $1",
                base_url.as_str(),
            )?;
            if count >= i64::from(limit) {
                return Err(StoreError::conflict(WHAT, repo, "as many repositories as possible are watched"));
            }
        }
        let code = Fields::new(FORGE_WATCHES)
            .with("base_url", base_url.as_str())
            .with("repo_key", key.as_str())
            .with("forge_type", forge.as_str())
            .with("repo", repo.as_str())
            .code(&work.tx);
        census::put(&mut work.tx, FORGE_WATCHES, [base_url.as_str(), key.as_str()]).await?;
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO forge_watches (base_url, repo_key, forge_type, repo, default_branch, head, requests, etags,
                 checked_at, created_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)
             ON CONFLICT (base_url, repo_key) DO UPDATE SET forge_type = excluded.forge_type, repo = excluded.repo,
                 default_branch = excluded.default_branch, head = excluded.head, requests = excluded.requests,
                 etags = excluded.etags, checked_at = excluded.checked_at, problem = NULL, mac = excluded.mac",
            base_url.as_str(),
            key.as_str(),
            forge.as_str(),
            repo.as_str(),
            view.default_branch.as_deref(),
            view.head.as_deref(),
            view.requests.as_deref(),
            view.etags.as_deref(),
            now,
            code,
        )?;
        if known.is_none() {
            work.audit("forge.watch", &format!("{base_url} {repo}"));
        }
        work.commit().await?;
        Ok(known.is_none())
    }

    /// Stops watching a repository. Returns `false` if it was not watched.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn unwatch_repo(&self, base_url: &BaseUrl, repo: &str, now: i64) -> Result<bool, StoreError> {
        let mut work = self.write(now).await?;
        let key = repo.to_lowercase();
        census::removed(&mut work.tx, FORGE_WATCHES, [base_url.as_str(), key.as_str()]).await?;
        let removed = sql!(
            run,
            &mut work.tx,
            "DELETE FROM forge_watches WHERE base_url = $1 AND repo_key = $2",
            base_url.as_str(),
            key,
        )?;
        if removed > 0 {
            work.audit("forge.unwatch", &format!("{base_url} {repo}"));
            work.commit().await?;
        }
        Ok(removed > 0)
    }

    /// Returns the watched repositories of a forge, by name. A row that cannot be read is logged and left out.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn watched_repos(&self, base_url: &BaseUrl) -> Result<Vec<RepoWatch>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            each,
            WatchRow,
            &mut tx,
            select!("WHERE base_url = $1 ORDER BY repo_key"),
            base_url.as_str(),
        )?;
        let fitting = |row: WatchRow| {
            row.parse(self.keyring())
                .inspect_err(|error| {
                    tracing::error!(%error, "a watched repository was skipped: its row cannot be read");
                })
                .ok()
        };
        Ok(readable(rows, WHAT).filter_map(fitting).collect())
    }

    /// Records a look at a watched repository: its new view, or the reason why it could not be seen. A difference to the
    /// last view is announced. Nothing is recorded if the repository is no longer watched.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Full`] or another error of
    /// the database.
    pub async fn record_look(
        &self,
        watch: &RepoWatch,
        seen: Result<&RepoView, &str>,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        let key = watch.repo.to_lowercase();
        let Some(before) = watch_in(&mut work.tx, &watch.base_url, &key).await? else { return Ok(()) };
        let before = before.parse(self.keyring())?;
        let view = seen.unwrap_or(&before.view);
        let moved = view.differs(&before.view);
        sql!(
            run,
            &mut work.tx,
            "UPDATE forge_watches SET default_branch = $3, head = $4, requests = $5, etags = $6, checked_at = $7,
                 changed_at = $8, problem = $9 WHERE base_url = $1 AND repo_key = $2",
            watch.base_url.as_str(),
            key.as_str(),
            view.default_branch.as_deref(),
            view.head.as_deref(),
            view.requests.as_deref(),
            view.etags.as_deref(),
            now,
            if moved { Some(now) } else { before.changed_at },
            seen.err(),
        )?;
        if moved {
            work.changed(Change::ForgeRepo(before.repo));
        }
        work.commit().await
    }
}

async fn watch_in(tx: &mut Tx, base_url: &BaseUrl, key: &str) -> Result<Option<WatchRow>, StoreError> {
    sql!(optional, WatchRow, tx, select!("WHERE base_url = $1 AND repo_key = $2"), base_url.as_str(), key,)
}

impl WatchRow {
    fn parse(self, keyring: &Keyring) -> Result<RepoWatch, StoreError> {
        self.seal.expect(keyring, &self.repo_key)?;
        let corrupt = |reason: &dyn ToString| StoreError::corrupt(WHAT, &self.repo_key, &reason.to_string());
        Ok(RepoWatch {
            forge: self.forge_type.parse().map_err(|error: crate::id::InvalidId| corrupt(&error))?,
            base_url: self.base_url.parse().map_err(|error: InvalidBaseUrl| corrupt(&error))?,
            repo: self.repo,
            view: RepoView {
                default_branch: self.default_branch,
                head: self.head,
                requests: self.requests,
                etags: self.etags,
            },
            checked_at: self.checked_at,
            changed_at: self.changed_at,
            problem: self.problem,
            created_at: self.created_at,
        })
    }
}
