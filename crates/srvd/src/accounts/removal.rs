//! The end of what belongs to a deleted account or bundle: its running logins and its directories.

use std::collections::BTreeSet;

use auth_spawner::{Registry, Snapshot, Spawner};
use identity_store::{Account, BundleId, History, Leftover, SecretRef, Store, StoreError};

use crate::disk::ballast::Ballast;
use crate::disk::identity_dir::IdentityDirs;
use crate::disk::identity_dir::homes::HomeOwner;
use crate::disk::leftovers::LeftoverCleaner;
use crate::wire::bundle::{Cleanup, CleanupOutcome};
use crate::wire::error::ApiError;

/// Ends logins and removes directories. A clone is a handle to the same one.
#[derive(Clone)]
pub(crate) struct Remover {
    spawner: Spawner,
    registry: Registry,
    leftovers: LeftoverCleaner,
    ballast: Ballast,
}

impl Remover {
    /// Creates a remover of these logins and directories.
    pub(crate) fn new(
        spawner: &Spawner,
        registry: &Registry,
        leftovers: &LeftoverCleaner,
        ballast: Ballast,
    ) -> Self {
        let remover = Self {
            spawner: spawner.clone(),
            registry: registry.clone(),
            leftovers: leftovers.clone(),
            ballast,
        };
        remover.keep_space();
        remover
    }

    /// Runs a deletion, and once more with the space that is kept for it if the database has none.
    pub(super) async fn with_space<T, F>(&self, delete: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let done = delete().await;
        if !matches!(done, Err(StoreError::Full(_))) || !self.ballast.release() {
            return done;
        }
        tracing::warn!("the disk is full; a deletion uses the space that is kept for it");
        delete().await
    }

    /// Makes the space for deletions again, if there is room.
    pub(super) fn keep_space(&self) {
        let ballast = self.ballast.clone();
        // Nothing waits for it.
        drop(tokio::task::spawn_blocking(move || ballast.fill()));
    }

    /// Returns whether a login of the provider runs in a bundle.
    pub(super) fn is_logging_in(&self, bundle: &BundleId, provider: &str) -> bool {
        let ours = |login: &Snapshot| {
            login.scope == bundle.as_str() && login.provider == provider && !login.state.is_terminal()
        };
        self.spawner.snapshots().iter().any(ours)
    }

    /// The directories of the identities.
    pub(super) fn identities(&self) -> &IdentityDirs {
        self.leftovers.identities()
    }

    /// Makes no home of a bundle from now on, because the bundle is being deleted; or makes homes again, because it was
    /// not.
    pub(super) async fn retire(&self, bundle: &BundleId, retired: bool) -> Result<(), ApiError> {
        Ok(self.leftovers.identities().retire(bundle, retired).await?)
    }

    /// Removes the homes of a deleted bundle that belong to no account. Returns those that could not be removed.
    pub(super) async fn clean_homes(
        &self,
        store: &Store,
        bundle: &BundleId,
        history: History,
    ) -> Vec<Cleanup> {
        let identities = self.leftovers.identities();
        let owner = HomeOwner::Bundle(bundle.clone());
        let mut failed = Vec::new();
        for provider in self.registry.iter() {
            let Some(cli) = &provider.cli else { continue };
            let keep = match history {
                History::Keep => cli.history_paths(),
                History::Remove => Vec::new(),
            };
            let homes =
                identities.launch_homes(&owner, cli).into_iter().chain([identities.home(&owner, cli)]);
            for dir in homes {
                // The account of another bundle may have its directory here.
                if !matches!(store.directory_owner(&dir).await, Ok(None)) {
                    continue;
                }
                match identities.clean(&dir, keep.clone()).await {
                    Ok(done) if matches!(done.outcome, CleanupOutcome::Failed(_)) => failed.push(done),
                    _ => {}
                }
            }
        }
        if let Err(error) = identities.remove_views(bundle).await {
            tracing::warn!(%error, %bundle, "the views of a deleted bundle could not be removed");
        }
        failed
    }

    /// Ends the logins of a bundle, or of one provider in it. This includes logins whose CLI is still ending. Returns
    /// their providers.
    pub(super) async fn end_logins(&self, bundle: &BundleId, provider: Option<&str>) -> BTreeSet<String> {
        let reason = if provider.is_some() { "its account was deleted" } else { "its bundle was deleted" };
        let ours = |login: &Snapshot| {
            login.scope == bundle.as_str() && provider.is_none_or(|provider| login.provider == provider)
        };
        let mut ended = BTreeSet::new();
        for login in self.spawner.snapshots().into_iter().filter(ours) {
            // A login that has already ended needs no cancellation.
            let _ = self.spawner.cancel_because(&login.id, Some(reason)).await;
            if let Some(provider) = self.registry.provider(&login.provider) {
                self.spawner.settled(provider, &login.recipe, bundle.as_str()).await;
            }
            ended.insert(login.provider);
        }
        ended
    }

    /// Removes the directories that logins of a deleted bundle have made, unless an account uses them.
    pub(super) async fn clean_logins(&self, store: &Store, bundle: &BundleId, providers: &BTreeSet<String>) {
        for provider in providers {
            if let Some(provider) = self.registry.provider(provider) {
                self.leftovers.clear_login(store, bundle, provider).await;
            }
        }
    }

    /// Removes the credential of a deleted account from this machine's disk. `account` is `None` if its row could not be
    /// read. Returns `None` when there is nothing to remove: a sealed key was deleted with its row. A directory that
    /// belongs to the user is not changed.
    pub(super) async fn clean(
        &self,
        store: &Store,
        account: Option<&Account>,
        leftover: Option<&Leftover>,
    ) -> Option<Cleanup> {
        match (leftover, account.map(|account| &account.secret_ref)) {
            (Some(leftover), _) => Some(self.leftovers.clear(store, leftover).await),
            (None, Some(SecretRef::ConfigDir { dir, .. })) => {
                Some(Cleanup { path: dir.display().to_string(), outcome: CleanupOutcome::NotOurs })
            }
            (None, _) => None,
        }
    }
}
