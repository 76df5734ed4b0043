//! The removal of directories that deleted accounts leave: right after the deletion, or at the next start.

use auth_spawner::{Cli, Provider, Registry};
use identity_store::{BundleId, History, Leftover, Store};

use crate::base::clock::now;
use crate::disk::identity_dir::IdentityDirs;
use crate::wire::bundle::{Cleanup, CleanupOutcome};
use crate::wire::error::with_causes;

/// Removes the directories of deleted accounts. A clone is a handle to the same one.
#[derive(Clone)]
pub(crate) struct LeftoverCleaner {
    /// Knows which files in a directory are the user's work.
    registry: Registry,
    /// Knows whether a directory belongs to the daemon, and removes it. A removal goes on when its caller leaves.
    identities: IdentityDirs,
}

impl LeftoverCleaner {
    /// Creates a cleaner of the directories of these identities.
    pub(crate) fn new(registry: Registry, identities: IdentityDirs) -> Self {
        Self { registry, identities }
    }

    /// The directories of the identities.
    pub(crate) fn identities(&self) -> &IdentityDirs {
        &self.identities
    }

    /// Removes the directory of a deleted account, except the files to keep, and returns the outcome. A failed removal
    /// is retried at the next start. The store knows whether another account uses the directory, and records the
    /// removal.
    pub(crate) async fn clear(&self, store: &Store, leftover: &Leftover) -> Cleanup {
        let unchanged = |outcome| Cleanup { path: leftover.dir.display().to_string(), outcome };
        let done = match store.directory_owner(&leftover.dir).await {
            Ok(None) => self.remove(leftover).await,
            Ok(Some(_)) => unchanged(CleanupOutcome::NotOurs),
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the owner of a directory cannot be read");
                let reason = "the database could not determine whether another account uses it";
                unchanged(CleanupOutcome::Failed(reason.to_owned()))
            }
        };
        if matches!(done.outcome, CleanupOutcome::Failed(_)) {
            tracing::warn!(path = done.path, outcome = %done.outcome, "the files of a deleted account could not be removed");
        } else if let Err(error) = store.forget_leftover(leftover, now()).await {
            // The next start looks for the directory once more and does not find it.
            tracing::warn!(error = with_causes(&error), "the removal of a directory could not be recorded");
        }
        done
    }

    /// Removes the directory that a login made in a bundle that is deleted, except the user's work, unless an account
    /// uses it.
    pub(crate) async fn clear_login(&self, store: &Store, bundle: &BundleId, provider: &Provider) {
        let (Some(cli), Ok(id)) = (&provider.cli, provider.id.parse()) else { return };
        let dir = self.identities.place(bundle, &cli.config_dir.name);
        self.clear(store, &Leftover { provider: id, dir, history: History::Keep }).await;
    }

    /// Removes the directories of accounts that were deleted before the daemon last stopped.
    pub(crate) async fn clear_all(&self, store: &Store) {
        let leftovers = match store.leftovers().await {
            Ok(leftovers) => leftovers,
            Err(error) => {
                tracing::warn!(
                    error = with_causes(&error),
                    "the list of directories of deleted accounts cannot be read"
                );
                return;
            }
        };
        for leftover in leftovers {
            let done = self.clear(store, &leftover).await;
            tracing::info!(path = done.path, outcome = %done.outcome, "the directory of a deleted account was cleaned up");
        }
    }

    async fn remove(&self, leftover: &Leftover) -> Cleanup {
        let cli = self.registry.provider(leftover.provider.as_str()).and_then(|known| known.cli.as_ref());
        let keep = match leftover.history {
            History::Keep => cli.map(Cli::history_paths).unwrap_or_default(),
            History::Remove => Vec::new(),
        };
        // A CLI that was killed leaves its lock beside its directory.
        for lock in cli.map(|cli| cli.locks_beside(&leftover.dir)).unwrap_or_default() {
            let _ = self.identities.clean(&lock, Vec::new()).await;
        }
        let removed = self.identities.clean(&leftover.dir, keep).await;
        removed.unwrap_or_else(|_| Cleanup {
            path: leftover.dir.display().to_string(),
            outcome: CleanupOutcome::Failed("the removal ended unexpectedly".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::base::blocking::BlockingTasks;

    #[test]
    fn removal_is_awaited_at_shutdown_when_its_caller_has_left() {
        // The only thread for blocking work is busy, so that the removal cannot begin.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let home = tempfile::tempdir().unwrap();
        let (registry, blocking) = (Registry::builtin().unwrap(), BlockingTasks::default());
        let (root, own) = (home.path().join("identities"), home.path().join("home"));
        let identities = IdentityDirs::new(root, own, registry.clone(), blocking.clone());
        let codex = registry.provider("codex").unwrap();
        let dir = runtime.block_on(identities.make(&"work".parse().unwrap(), codex)).unwrap();
        let (release, released) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || released.recv());
        let cleaner = LeftoverCleaner::new(registry, identities);
        runtime.block_on(async {
            let provider = "codex".parse().unwrap();
            let leftover = Leftover { provider, dir: dir.clone(), history: History::Remove };
            assert_eq!(cleaner.remove(&leftover).now_or_never(), None);
            assert_eq!(blocking.settle().now_or_never(), None);
            assert!(dir.exists());
            release.send(()).unwrap();
            blocking.settle().await;
            assert!(!dir.exists());
        });
    }
}
