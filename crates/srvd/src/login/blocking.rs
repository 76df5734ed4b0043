//! File-system work outside the runtime's threads.

use tokio_util::task::TaskTracker;

use crate::wire::error::{ApiError, Kind};

/// Runs blocking work on a thread of its own. The daemon waits for the work at its shutdown, even when the caller has
/// gone.
///
/// # Errors
/// `store_unavailable` if the work panicked or the runtime ended before it began.
pub(super) async fn blocking<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tasks.spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "work on the files of a login broke off");
        ApiError::new(Kind::StoreUnavailable, "the files of the login could not be read or changed")
            .hint("try again later; the daemon's log says why")
    })
}
