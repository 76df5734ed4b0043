//! A running daemon: its background tasks, and its shutdown.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use auth_spawner::{Guard, Spawner};
use identity_store::Store;
use rpc_engine::Engine;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lock::Lock;
use crate::agents::declared::Keeper;
use crate::audit::Recorder;
use crate::base::clock::now;
use crate::disk::leftovers::LeftoverCleaner;
use crate::forge::oauth::Flows;
use crate::health::Examiner;
use crate::http::Front;
use crate::refresh::Refresher;
use crate::wire::error::with_causes;
use crate::{health, refresh};

/// Longest wait for the guard process to end the remaining processes of logins.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the background tasks after the grace period.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait for the writes and the file work of logins after the last call.
const LOGIN_PATIENCE: Duration = Duration::from_secs(3);
/// Longest time that ended login sessions stay readable, in milliseconds, and their maximum number.
const SESSIONS_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const SESSIONS_KEPT: u32 = 10_000;

/// A running daemon: the parts that have to end, and the time that running work may take for it.
pub struct Running {
    pub(super) front: Arc<Front>,
    /// The task that accepts connections, and the background tasks.
    pub(super) tasks: (JoinHandle<()>, JoinHandle<()>),
    pub(super) engine: Engine,
    pub(super) spawner: Spawner,
    /// The writes and the file work of logins.
    pub(super) login_tasks: TaskTracker,
    pub(super) flows: Flows,
    pub(super) guard: Guard,
    pub(super) recorder: Recorder,
    /// Removes the directories of deleted accounts.
    pub(super) leftovers: LeftoverCleaner,
    pub(super) store: Store,
    pub(super) grace: Duration,
    /// The files that announce the daemon's addresses to clients.
    pub(super) announced: [PathBuf; 2],
    pub(super) _lock: Lock,
}

impl Running {
    /// Runs until `stopped` completes, then ends everything, the database last.
    pub async fn run(self, stopped: impl Future<Output = ()>) {
        stopped.await;
        tracing::info!("shutting down");
        let (served, background) = self.tasks;
        self.front.ready.store(false, Ordering::Relaxed);
        for path in self.announced {
            // A leftover file is overwritten by the next boot; clients detect by its pid that it is stale.
            let _ = std::fs::remove_file(path);
        }
        // The logins end first, while their watchers can still be notified.
        tokio::join!(self.spawner.shutdown(self.grace), self.flows.shutdown());
        self.engine.drain(self.grace).await;
        self.login_tasks.close();
        if tokio::time::timeout(LOGIN_PATIENCE, self.login_tasks.wait()).await.is_err() {
            tracing::warn!("the writes of a login did not end in time; the next start cleans up after it");
        }
        if tokio::time::timeout(self.grace + Duration::from_secs(1), served).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        // Work that did not end in the given time is ended now.
        let patience = self.grace + BACKGROUND_PATIENCE;
        let background = tokio::time::timeout(patience, background);
        let removals = tokio::time::timeout(patience, self.leftovers.settle());
        let (background, removals, ..) =
            tokio::join!(background, removals, self.guard.close(GUARD_PATIENCE), self.recorder.finish());
        if background.is_err() {
            tracing::warn!("a background task did not end in time");
        }
        if removals.is_err() {
            tracing::warn!(
                "the directory of a deleted account was not removed in time; the next start removes it"
            );
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// Starts the background tasks. They end within two seconds of `stop`. Refreshes in progress may take as long as
/// `grace`.
pub(super) fn background(
    store: &Store,
    audit_rows: u32,
    (examiner, inbox): (Examiner, health::Inbox),
    keeper: Keeper,
    (refresher, grace): (Refresher, Duration),
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let pruning = tokio::spawn(prune(store.clone(), audit_rows, stop.clone()));
    let watching = tokio::spawn(health::watch_over(examiner, inbox, stop.clone()));
    let keeping = tokio::spawn(keeper.run(stop.clone()));
    let refreshing = tokio::spawn(refresh::watch_over(refresher, stop.clone(), grace));
    tokio::spawn(async {
        for ended in [pruning.await, watching.await, keeping.await, refreshing.await] {
            if let Err(error) = ended {
                tracing::error!(%error, "a background task broke off");
            }
        }
    })
}

/// Removes login sessions that ended long ago and the oldest rows of the audit log, now and every hour.
async fn prune(store: Store, audit_rows: u32, stop: CancellationToken) {
    let mut hourly = tokio::time::interval(Duration::from_hours(1));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hourly.tick() => {}
        }
        if let Err(error) = store.prune_sessions(now() - SESSIONS_KEPT_MS, SESSIONS_KEPT).await {
            tracing::warn!(error = with_causes(&error), "old login sessions could not be removed");
        }
        if let Err(error) = store.prune_audit(audit_rows, now()).await {
            tracing::warn!(error = with_causes(&error), "old rows of the audit log could not be removed");
        }
    }
}
