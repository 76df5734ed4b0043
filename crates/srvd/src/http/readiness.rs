//! The state that `/readyz` reports: whether the database answers and accepts writes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use identity_store::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The time for which the result of a write is used again. Requests need no authentication, so they must not cause writes
/// at any rate.
const FRESH: Duration = Duration::from_secs(2);
/// The longest wait for a write. A database that is busy is not one that refuses writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The free space that a database file needs, in bytes. A small write may still find room in the file's log when a larger one
/// fails.
const ROOM: u64 = 64 * 1024;

/// The result of the last write.
#[derive(Debug)]
pub(crate) struct Readiness {
    /// The database file, if there is one.
    file: Option<PathBuf>,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    /// Creates the state for the database in this file, or for a server.
    pub(crate) fn new(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), last: Mutex::default() }
    }

    /// Returns whether the database answers and does not refuse writes.
    pub(super) async fn check(&self, store: &Store) -> bool {
        store.ping().await.is_ok() && self.writes(store).await
    }

    /// Returns whether the file system of the database file has room. A file system that does not answer is no proof.
    async fn has_room(&self) -> bool {
        let Some(file) = self.file.clone() else { return true };
        let free = tokio::task::spawn_blocking(move || {
            rustix::fs::statvfs(&file).map(|found| found.f_bavail.saturating_mul(found.f_frsize))
        });
        match timeout(PATIENCE, free).await {
            Ok(Ok(Ok(free))) => free >= ROOM,
            _ => true,
        }
    }

    async fn writes(&self, store: &Store) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = *last
            && at.elapsed() < FRESH
        {
            return result;
        }
        let result = match timeout(PATIENCE, store.check_writes()).await {
            Err(_) | Ok(Ok(()) | Err(StoreError::Busy(_))) => self.has_room().await,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database accepts no writes");
                false
            }
        };
        *last = Some((Instant::now(), result));
        result
    }
}
