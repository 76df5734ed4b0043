//! Watched repositories: what they are like now, and the look at them from time to time.
//!
//! Each look asks three questions with the validators of the last answers: the repository, the head of its default branch
//! and its open requests. An answer of 304 costs most forges nothing. Only repositories of the active forge are looked at.

use std::time::Duration;

use hyper::header::ETAG;
use identity_store::watch::{NewWatch, RepoView, RepoWatch};
use identity_store::{OperatorToken, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::bound::Bound;
use super::dialect::Dialect;
use super::error::ForgeError;
use super::exchange::Ask;
use super::path::RepoName;
use super::service::{Adapters, timely};
use crate::base::clock::now;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::forge::{Unwatched, Watched, WatchedList};

/// The maximum number of repositories that are watched at each forge.
const MOST: u32 = 200;
/// The maximum length of a stored reason, in characters.
const REASON: usize = 200;
/// The maximum duration of one look at one repository.
const LOOK: Duration = Duration::from_secs(45);

/// The validators of the last answers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Etags {
    repo: Option<String>,
    branch: Option<String>,
    pulls: Option<String>,
}

impl Adapters {
    /// Watches a repository of the active forge. The forge is asked for its present state first.
    ///
    /// # Errors
    /// As for [`Adapters::repo`], and `conflict` if as many as possible are watched.
    pub(crate) async fn watch(&self, store: &Store, repo: &str) -> Result<Watched, ApiError> {
        let name = RepoName::parse(repo)?;
        let bound = self.bound(store).await?;
        let (repo, view) = timely(Box::pin(bound.look(&name, &RepoView::default()))).await?;
        let place = self.active(store).await?;
        // The operator may have selected another account meanwhile.
        if place.base.as_str() != bound.base_url {
            return Err(ForgeError::Unavailable("another account was selected meanwhile".to_owned()).into());
        }
        let OperatorToken { forge, base_url, .. } = place.token;
        let new = NewWatch { forge, base_url, repo: repo.clone(), view };
        store.watch_repo(&new, MOST, now()).await?;
        let watched = store.watched_repos(&new.base_url).await?;
        let found = watched.into_iter().find(|watch| watch.repo == repo);
        found.map(shown).ok_or_else(|| ApiError::not_found("watched repository", &repo))
    }

    /// Stops watching a repository of the active forge.
    ///
    /// # Errors
    /// `no_active_forge`, `invalid_input` for the repository, and errors of the store.
    pub(crate) async fn unwatch(&self, store: &Store, repo: &str) -> Result<Unwatched, ApiError> {
        let name = RepoName::parse(repo)?;
        let place = self.active(store).await?;
        let removed = store.unwatch_repo(&place.token.base_url, name.as_str(), now()).await?;
        Ok(Unwatched { removed })
    }

    /// Lists the watched repositories of the active forge.
    ///
    /// # Errors
    /// `no_active_forge`, and errors of the store.
    pub(crate) async fn watched(&self, store: &Store) -> Result<WatchedList, ApiError> {
        let place = self.active(store).await?;
        let watched = store.watched_repos(&place.token.base_url).await?;
        Ok(WatchedList {
            interval_seconds: self.interval.map(|interval| interval.as_secs()),
            repos: watched.into_iter().map(shown).collect(),
        })
    }
}

fn shown(watch: RepoWatch) -> Watched {
    Watched {
        repo: watch.repo,
        default_branch: watch.view.default_branch,
        head: watch.view.head,
        requests: watch.view.requests,
        checked_at: watch.checked_at,
        changed_at: watch.changed_at,
        problem: watch.problem,
    }
}

/// Looks at the watched repositories of the active forge at each interval, one after the other, until `stop` is cancelled.
/// Without an interval it does nothing.
pub(crate) async fn watch_over(adapters: Adapters, store: Store, stop: CancellationToken) {
    let Some(interval) = adapters.interval else { return };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match stop.run_until_cancelled(Box::pin(adapters.look_at_all(&store))).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(
                    error = with_causes(&error),
                    "the watched repositories could not be looked at"
                );
            }
        }
    }
}

impl Adapters {
    /// Looks once at every watched repository. A forge that cannot be asked any more ends the round.
    async fn look_at_all(&self, store: &Store) -> Result<(), ForgeError> {
        let bound = match self.bound(store).await {
            Err(ForgeError::NoActiveForge) => return Ok(()),
            bound => bound?,
        };
        let base = self.active(store).await?.token.base_url;
        if base.as_str() != bound.base_url {
            return Ok(());
        }
        for watch in store.watched_repos(&base).await? {
            let Ok(name) = RepoName::parse(&watch.repo) else { continue };
            let seen = match tokio::time::timeout(LOOK, Box::pin(bound.look(&name, &watch.view))).await {
                Ok(Ok((_, view))) => Ok(view),
                Ok(Err(
                    ending @ (ForgeError::SignIn { .. } | ForgeError::Limited { .. } | ForgeError::Own(_)),
                )) => {
                    return Err(ending);
                }
                Ok(Err(failure)) => Err(failure.to_string().chars().take(REASON).collect()),
                Err(_) => Err("the forge did not answer in time".to_owned()),
            };
            let seen: Result<&RepoView, &str> = seen.as_ref().map_err(String::as_str);
            match store.record_look(&watch, seen, now()).await {
                Ok(()) | Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Bound {
    /// Returns the name and the present view of a repository that was seen before as `last`.
    async fn look(&self, name: &RepoName, last: &RepoView) -> Result<(String, RepoView), ForgeError> {
        let known: Etags =
            last.etags.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let mut etags = Etags::default();
        let path = self.dialect.repo(name);
        let (repo, branch) = match self.changed(&path, known.repo.as_deref(), name, &mut etags.repo).await? {
            None => (name.to_string(), last.default_branch.clone()),
            Some(value) => {
                let repo = self.dialect.read_repo(&value);
                let repo =
                    repo.ok_or_else(|| ForgeError::Unavailable("its answer is no repository".to_owned()))?;
                (repo.repo, repo.default_branch)
            }
        };
        let etag = known.branch.as_deref().filter(|_| branch == last.default_branch);
        let head = self.head(name, branch.as_deref(), etag, last, &mut etags.branch).await?;
        let path = self.dialect.pulls(name);
        let requests = match self.changed(&path, known.pulls.as_deref(), name, &mut etags.pulls).await? {
            None => last.requests.clone(),
            Some(value) => {
                let pulls = value.as_array().into_iter().flatten();
                let pulls: Vec<_> = pulls.filter_map(|value| self.dialect.read_pull(value)).collect();
                Some(Dialect::digest(&pulls))
            }
        };
        let etags = serde_json::to_string(&etags).ok();
        Ok((repo, RepoView { default_branch: branch, head, requests, etags }))
    }

    /// Returns the commit at the head of the default branch. An empty repository has none.
    async fn head(
        &self,
        name: &RepoName,
        branch: Option<&str>,
        etag: Option<&str>,
        last: &RepoView,
        fresh: &mut Option<String>,
    ) -> Result<Option<String>, ForgeError> {
        let Some(branch) = branch else { return Ok(None) };
        let path = self.dialect.branch(name, branch);
        match self.changed(&path, etag, name, fresh).await {
            Ok(None) => Ok(last.head.clone()),
            Ok(Some(value)) => Ok(self.dialect.read_branch(&value).map(|branch| branch.head)),
            Err(ForgeError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the answer to a question, or `None` if it is the one with this validator.
    async fn changed(
        &self,
        path: &str,
        etag: Option<&str>,
        name: &RepoName,
        fresh: &mut Option<String>,
    ) -> Result<Option<Value>, ForgeError> {
        let received = self.exchange.send(&Ask { etag, ..Ask::get(path) }).await?;
        let received = super::exchange::accepted(received, name.as_str())?;
        let sent = received.headers.get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if received.status == 304 && etag.is_some() {
            *fresh = sent.or_else(|| etag.map(str::to_owned));
            return Ok(None);
        }
        *fresh = sent;
        let value = serde_json::from_slice(&received.body);
        value.map(Some).map_err(|_| ForgeError::Unavailable("its answer is not JSON".to_owned()))
    }
}
