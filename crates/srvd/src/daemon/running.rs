//! A running daemon: its background tasks, and its shutdown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use auth_spawner::{Guard, Spawner};
use identity_store::{OpenError, Store};
use rpc_engine::Engine;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::announced::Announced;
use super::lock::Lock;
use crate::adapter::Adapters;
use crate::agents::declared::DeclaredWatcher;
use crate::audit::Recorder;
use crate::base::blocking::BlockingTasks;
use crate::base::clock::now;
use crate::forge::oauth::Flows;
use crate::health::{Examiner, HealthReports};
use crate::http::HttpServer;
use crate::keeper::Keeper;
use crate::refresh::Refresher;
use crate::wire::error::with_causes;
use crate::{adapter, health, keeper, refresh};

/// Longest wait for the guard process to end the remaining processes of logins.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the background tasks after the grace period.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait for the writes and the file work of logins after the last call.
const LOGIN_PATIENCE: Duration = Duration::from_secs(3);
/// The time between two checks of the claim on the database.
const CLAIM_EVERY: Duration = Duration::from_secs(5);
/// Longest time that ended login sessions stay readable, in milliseconds, and their maximum number.
const SESSIONS_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const SESSIONS_KEPT: u32 = 10_000;

/// A running daemon: the parts that have to end, and the time that running work may take for it.
pub(crate) struct Running {
    pub(super) server: Arc<HttpServer>,
    /// The task that accepts connections.
    pub(super) connections: JoinSet<()>,
    pub(super) background: JoinSet<()>,
    pub(super) engine: Engine,
    pub(super) spawner: Spawner,
    /// The writes of logins.
    pub(super) login_tasks: TaskTracker,
    /// The blocking work of all services.
    pub(super) blocking: BlockingTasks,
    pub(super) flows: Flows,
    pub(super) guard: Guard,
    pub(super) recorder: Recorder,
    pub(super) store: Store,
    pub(super) grace: Duration,
    pub(super) announced: Announced,
    pub(super) _lock: Lock,
}

impl Running {
    /// Runs until `stopped` completes, then ends everything, the database last.
    pub(crate) async fn run(mut self, stopped: impl Future<Output = ()>) {
        stopped.await;
        tracing::info!("shutting down");
        self.server.ready.store(false, Ordering::Relaxed);
        self.announced.remove(&self.blocking).await;
        // The logins end first, while their watchers can still be notified.
        tokio::join!(self.spawner.shutdown(self.grace), self.flows.shutdown());
        self.engine.drain(self.grace).await;
        self.login_tasks.close();
        if tokio::time::timeout(LOGIN_PATIENCE, self.login_tasks.wait()).await.is_err() {
            tracing::warn!(
                "the writes of a login did not end in time; the next start cleans up after the login"
            );
        }
        let connections = ended(&mut self.connections);
        if tokio::time::timeout(self.grace + Duration::from_secs(1), connections).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        // Work that did not end in the given time is ended now.
        let patience = self.grace + BACKGROUND_PATIENCE;
        let background = tokio::time::timeout(patience, ended(&mut self.background));
        let blocking = tokio::time::timeout(patience, self.blocking.settle());
        let (background, blocking, ..) =
            tokio::join!(background, blocking, self.guard.close(GUARD_PATIENCE), self.recorder.finish());
        if background.is_err() {
            tracing::warn!("a background task did not end in time");
        }
        if blocking.is_err() {
            tracing::warn!("work on files did not end in time; the next start cleans up after it");
        }
        self.background.shutdown().await;
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// Waits until all tasks of a set have ended.
async fn ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a background task ended unexpectedly");
        }
    }
}

/// The background tasks, and what they work on.
pub(super) struct Background {
    pub(super) store: Store,
    /// Maximum number of rows of the audit log.
    pub(super) audit_rows: u32,
    pub(super) examiner: Examiner,
    pub(super) health_reports: HealthReports,
    pub(super) declared: DeclaredWatcher,
    pub(super) refresher: Refresher,
    pub(super) adapters: Adapters,
    pub(super) keeper: Keeper,
    /// Longest time that refreshes in progress may take after the stop.
    pub(super) grace: Duration,
}

impl Background {
    /// Starts the tasks. They end within two seconds of `stop`, except for refreshes in progress.
    pub(super) fn start(self, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(prune(self.store.clone(), self.audit_rows, stop.clone()));
        tasks.spawn(keep_claim(self.store.clone(), stop.clone()));
        tasks.spawn(health::watch_over(self.examiner, self.health_reports, stop.clone()));
        tasks.spawn(self.declared.run(stop.clone()));
        tasks.spawn(adapter::watch_over(self.adapters, self.store, stop.clone()));
        tasks.spawn(refresh::watch_over(self.refresher, stop.clone(), self.grace));
        tasks.spawn(keeper::watch_over(self.keeper, stop.clone(), self.grace));
        tasks
    }
}

/// Checks every few seconds that no other daemon serves the database. A server that was restarted has forgotten the claim.
/// If another daemon has taken it meanwhile, this one stops, because two daemons do not see each other's changes.
async fn keep_claim(store: Store, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CLAIM_EVERY) => {}
        }
        let Some(kept) = stop.run_until_cancelled(store.keep_claim()).await else { return };
        match kept {
            Ok(()) => {}
            Err(OpenError::InUse { holder }) => {
                tracing::error!(holder, "another daemon serves the database now, so this one stops");
                stop.cancel();
            }
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "the claim on the database could not be checked");
            }
        }
    }
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
