//! Blocking work, kept off the runtime's threads.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// The longest time that a caller waits for work on files. A file system that hangs, such as one of a network, never
/// answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// The blocking work in progress. Cheap to clone; clones share the same work.
#[derive(Debug, Clone)]
pub(crate) struct BlockingTasks {
    tracker: TaskTracker,
    patience: Duration,
    /// The places with work that its caller no longer waits for. Each holds a thread until its file system answers.
    hanging: Arc<Mutex<HashSet<PathBuf>>>,
}

/// The error for work that has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenOff {
    /// The work panicked, or could not run because the runtime is shutting down.
    #[error(transparent)]
    Failed(#[from] JoinError),
    /// The file system did not answer in time.
    #[error("the file system did not answer within {} s", PATIENCE.as_secs())]
    Late,
    /// The file system has not answered an earlier request.
    #[error("the file system of {} hangs", .0.display())]
    Hangs(PathBuf),
}

impl Default for BlockingTasks {
    fn default() -> Self {
        Self { tracker: TaskTracker::new(), patience: PATIENCE, hanging: Arc::default() }
    }
}

impl BlockingTasks {
    /// Runs work on a thread for blocking work. The work continues if the caller stops waiting, and the daemon waits
    /// for it when it shuts down. A caller waits for a limited time.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        match timeout(self.patience, self.tracker.spawn_blocking(work)).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(BrokenOff::Late),
        }
    }

    /// Runs work on the files of one place, such as a login's directory. While earlier work on the place hangs, new work
    /// is refused, so that one place takes one thread.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub(crate) async fn run_at<T: Send + 'static>(
        &self,
        place: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        if self.hanging().contains(place) {
            return Err(BrokenOff::Hangs(place.to_owned()));
        }
        let mut work = self.tracker.spawn_blocking(work);
        if let Ok(done) = timeout(self.patience, &mut work).await {
            return Ok(done?);
        }
        tracing::warn!(place = %place.display(), "a file system hangs; the place is not used until it answers");
        self.hanging().insert(place.to_owned());
        let (tasks, place) = (self.clone(), place.to_owned());
        tokio::spawn(async move {
            // Only the end of the work matters here.
            let _ = work.await;
            tasks.hanging().remove(&place);
        });
        Err(BrokenOff::Late)
    }

    fn hanging(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the work in progress has finished.
    pub(crate) async fn settle(&self) {
        self.tracker.close();
        self.tracker.wait().await;
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
    async fn place_that_hangs_takes_one_thread_and_holds_no_other() {
        let tasks = BlockingTasks { patience: Duration::from_millis(20), ..BlockingTasks::default() };
        let (release, released) = mpsc::channel::<()>();
        let (hung, other) = (Path::new("/hung"), Path::new("/other"));
        assert!(matches!(tasks.run_at(hung, move || released.recv()).await, Err(BrokenOff::Late)));
        assert!(matches!(tasks.run_at(hung, || ()).await, Err(BrokenOff::Hangs(_))));
        // Another place is not refused. On a busy machine it may be late, but it does not hang.
        while tasks.run_at(other, || ()).await.is_err() {
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
        while tasks.run_at(hung, || ()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn panicking_blocking_work_is_an_error() {
        let tasks = BlockingTasks::default();
        assert!(tasks.run(|| std::hint::black_box(None::<i32>).unwrap()).await.is_err());
        assert_eq!(tasks.run(|| 1).await.unwrap(), 1);
    }
}
