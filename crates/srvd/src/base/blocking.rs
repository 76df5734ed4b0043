//! Blocking work, kept off the runtime's threads.

use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

/// The blocking work in progress. Cheap to clone; clones share the same work.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlockingTasks(TaskTracker);

/// The error for work that panicked, or that could not run because the runtime is shutting down.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct BrokenOff(#[from] JoinError);

impl BlockingTasks {
    /// Runs work on a thread for blocking work. The work continues if the caller stops waiting, and the daemon waits
    /// for it when it shuts down.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        Ok(self.0.spawn_blocking(work).await?)
    }

    /// Waits until the work in progress has finished.
    pub(crate) async fn settle(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn blocking_work_without_a_caller_is_awaited_at_shutdown() {
        let tasks = BlockingTasks::default();
        let (release, released) = mpsc::channel::<()>();
        assert!(tasks.run(move || released.recv()).now_or_never().is_none());
        assert_eq!(tasks.settle().now_or_never(), None);
        release.send(()).unwrap();
        tasks.settle().await;
    }

    #[tokio::test]
    async fn panicking_blocking_work_is_an_error() {
        let tasks = BlockingTasks::default();
        assert!(tasks.run(|| std::hint::black_box(None::<i32>).unwrap()).await.is_err());
        assert_eq!(tasks.run(|| 1).await.unwrap(), 1);
    }
}
