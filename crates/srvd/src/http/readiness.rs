//! The state that `/readyz` reports: whether the database answers and accepts writes.

use std::time::{Duration, Instant};

use identity_store::{Store, StoreError};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The time for which the result of a write is used again. Requests need no authentication, so they must not cause writes
/// at any rate.
const FRESH: Duration = Duration::from_secs(2);
/// The longest wait for a write. A database that is busy is not one that refuses writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The result of the last write.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Returns whether the database answers and does not refuse writes.
    pub(super) async fn check(&self, store: &Store) -> bool {
        store.ping().await.is_ok() && self.writes(store).await
    }

    async fn writes(&self, store: &Store) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, result)) = *last
            && at.elapsed() < FRESH
        {
            return result;
        }
        let result = match timeout(PATIENCE, store.check_writes()).await {
            Err(_) | Ok(Ok(()) | Err(StoreError::Busy(_))) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database accepts no writes");
                false
            }
        };
        *last = Some((Instant::now(), result));
        result
    }
}
