//! The removal of directories that deleted accounts leave: right after the deletion, or at the next start.

use auth_spawner::{Cli, Registry};
use identity_store::{History, Leftover, Store};

use crate::base::clock::now;
use crate::disk::identity_dir;
use crate::disk::identity_dir::Identities;
use crate::wire::bundle::Cleanup;
use crate::wire::error::with_causes;

/// The parts that the removal of a directory uses.
#[derive(Clone, Copy)]
pub struct Broom<'a> {
    /// Knows whether another account uses the directory, and records its removal.
    pub store: &'a Store,
    /// Knows which files in the directory are the user's work.
    pub registry: &'a Registry,
    /// Knows whether the directory belongs to the daemon.
    pub identities: &'a Identities,
}

impl Broom<'_> {
    /// Removes the directory of a deleted account, except the files to keep, and returns the outcome. A failed removal
    /// is retried at the next start.
    pub async fn clear(self, leftover: &Leftover) -> Cleanup {
        let outcome =
            |outcome: &str| Cleanup { path: leftover.dir.display().to_string(), outcome: outcome.to_owned() };
        let done = match self.store.directory_owner(&leftover.provider, &leftover.dir).await {
            Ok(None) => self.remove(leftover).await,
            Ok(Some(_)) => outcome(identity_dir::NOT_OURS),
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "whose a directory is cannot be read");
                outcome("failed: the database could not say whether another account uses it")
            }
        };
        if done.outcome.starts_with("failed") {
            tracing::warn!(path = done.path, outcome = done.outcome, "a deleted account left files behind");
        } else if let Err(error) = self.store.forget_leftover(leftover, now()).await {
            // The next start looks for the directory once more and does not find it.
            tracing::warn!(error = with_causes(&error), "that a directory is gone could not be written down");
        }
        done
    }

    /// Removes the directories of accounts that were deleted before the daemon last stopped.
    pub async fn clear_all(self) {
        let leftovers = match self.store.leftovers().await {
            Ok(leftovers) => leftovers,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "what deleted accounts have left cannot be read");
                return;
            }
        };
        for leftover in leftovers {
            let done = self.clear(&leftover).await;
            tracing::info!(path = done.path, outcome = done.outcome, "the directory of a deleted account");
        }
    }

    async fn remove(self, leftover: &Leftover) -> Cleanup {
        let cli = self.registry.provider(leftover.provider.as_str()).and_then(|known| known.cli.as_ref());
        let keep = match leftover.history {
            History::Keep => cli.map(Cli::history_paths).unwrap_or_default(),
            History::Remove => Vec::new(),
        };
        let (identities, dir) = (self.identities.clone(), leftover.dir.clone());
        let removed = tokio::task::spawn_blocking(move || identities.clean(&dir, &keep)).await;
        removed.unwrap_or_else(|_| Cleanup {
            path: leftover.dir.display().to_string(),
            outcome: "failed: it broke off".to_owned(),
        })
    }
}
