//! The spawner: starts, finds and ends logins.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use rustix::process::WaitOptions;
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{NotLive, StartError};
use super::request::LoginRequest;
use super::session;
use super::session::{Inbox, Submit};
use super::sink::Sink;
use super::snapshot::{Failure, FailureKind, Snapshot, State};
use super::table::{LiveLogin, STOPPED, Table};
use crate::answer::SubmitError;
use crate::process::tree::{self, Tree};
use crate::process::{ChildEnv, Guard, child_pid};
use crate::registry::{Provider, Recipe};

/// Starts logins and tracks their state. Cheap to clone; clones share one spawner.
#[derive(Clone)]
pub struct Spawner(Arc<SpawnerState>);

impl fmt::Debug for Spawner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.0.table().live.len();
        formatter.debug_struct("Spawner").field("live", &live).finish_non_exhaustive()
    }
}

/// A source of the current time in Unix milliseconds, supplied by the owner of the clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The configuration of a spawner.
#[derive(Clone)]
pub struct SpawnerConfig {
    /// The child's environment, without the provider's variables.
    pub environment: ChildEnv,
    /// The program that children run to open URLs.
    pub browser: Option<PathBuf>,
    /// The parent of the directories that all logins with a provider share: caches, never credentials.
    pub shared: PathBuf,
    /// Limits for all logins together and for each login.
    pub limits: SpawnLimits,
    /// The source of the current time.
    pub clock: Clock,
    /// The guard that ends the login processes if this process no longer can.
    pub guard: Option<Guard>,
    /// The next step for the user after a login whose CLI could not reach its vendor, if one is known.
    pub network_advice: Option<String>,
}

impl fmt::Debug for SpawnerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SpawnerConfig")
            .field("environment", &self.environment)
            .field("browser", &self.browser)
            .field("shared", &self.shared)
            .field("limits", &self.limits)
            .field("guard", &self.guard.is_some())
            .finish_non_exhaustive()
    }
}

/// Limits for all logins together and for each login.
#[derive(Debug, Clone)]
pub struct SpawnLimits {
    /// The maximum number of logins with running processes.
    pub live: usize,
    /// The maximum number of logins waiting for a running one to end. Their deadlines are running.
    pub queue: usize,
    /// The maximum number of characters stored from one line of output; the rest is dropped.
    pub line_bytes: usize,
    /// The maximum duration of a check command.
    pub check_timeout: Duration,
    /// The time between SIGTERM and SIGKILL for a process group.
    pub term_grace: Duration,
    /// The time that a CLI has to exit without a signal after a success.
    pub linger: Duration,
    /// The maximum number of ended sessions that can still be read.
    pub ended_keep: usize,
}

impl Default for SpawnLimits {
    fn default() -> Self {
        Self {
            live: 32,
            queue: 256,
            line_bytes: 8 * 1024,
            check_timeout: Duration::from_secs(20),
            term_grace: Duration::from_secs(3),
            linger: Duration::from_secs(2),
            ended_keep: 256,
        }
    }
}

impl Spawner {
    /// Creates a spawner that reports to `sink`.
    pub fn new(config: SpawnerConfig, sink: Arc<dyn Sink>) -> Self {
        let table = Mutex::new(Table::new(&config.limits));
        Self(Arc::new(SpawnerState { config, sink, table, tracker: TaskTracker::new() }))
    }

    /// Starts a login and returns before its process exists. If the process cannot be started, the session ends with
    /// `spawn_failed`. From this call on, the login holds its scope and its callback ports. Its process may have to
    /// wait for other logins to end; waiting logins run in the order in which they were started. Must be called inside
    /// a tokio runtime.
    ///
    /// # Errors
    /// Returns an error if the login conflicts with a running one, if there are too many logins, or if the spawner is
    /// shutting down. Nothing has been started in that case.
    pub fn start(&self, request: LoginRequest) -> Result<(), StartError> {
        let recipe = request
            .provider
            .recipe(&request.recipe, request.version.as_deref())
            .ok_or(StartError::UnknownRecipe)?;
        let (commands, inbox) = mpsc::channel(4);
        let (cancel, why) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        let (turn, its_turn) = oneshot::channel();
        let (sender, receiver) = watch::channel(self.0.first_snapshot(&request, &recipe));
        {
            let mut table = self.0.table();
            table.admit(&request, &recipe)?;
            let handle = LiveLogin {
                snapshot: receiver,
                commands,
                cancel: cancel.clone(),
                why: Arc::clone(&why),
                provider: request.provider.id.clone(),
                scope: request.scope.clone(),
                ports: recipe.callback_ports.clone(),
                directory: request.directory().to_owned(),
                gone: CancellationToken::new(),
                turn: Some(turn),
            };
            table.insert(request.id.clone(), handle);
        }
        let shared = Arc::clone(&self.0);
        let inbox = Inbox { commands: inbox, cancel, why, turn: its_turn };
        self.0.tracker.spawn(async move {
            let id = request.id.clone();
            let session = session::run(Arc::clone(&shared), request, recipe, inbox, sender.clone());
            if AssertUnwindSafe(session).catch_unwind().await.is_err() {
                let last = sender.borrow().clone();
                shared.end_abandoned(&last).await;
                shared.release(&id);
                shared.report_fault(&sender).await;
            }
            shared.release(&id);
            shared.sink.gone(&id);
        });
        Ok(())
    }

    /// Waits for logins that have succeeded but whose CLI is still exiting, if they block this one: same provider and
    /// scope, or same callback port. The wait is no longer than such a CLI may take to exit.
    pub async fn settled(&self, provider: &Provider, recipe: &str, scope: &str) {
        let recipes = provider.cli.iter().flat_map(|cli| &cli.recipes).filter(|known| known.id == recipe);
        let ports: Vec<u16> = recipes.flat_map(|recipe| recipe.callback_ports.clone()).collect();
        let ending: Vec<CancellationToken> = {
            let table = self.0.table();
            let in_the_way = |handle: &&LiveLogin| {
                let same = handle.scope == scope && handle.provider == provider.id;
                let over = handle.snapshot.borrow().state.is_terminal();
                over && (same || handle.ports.iter().any(|port| ports.contains(port)))
            };
            table.live.values().filter(in_the_way).map(|handle| handle.gone.clone()).collect()
        };
        for gone in ending {
            gone.cancelled().await;
        }
    }

    /// Returns a receiver that follows a live or recently ended session.
    pub fn watch(&self, id: &str) -> Option<watch::Receiver<Snapshot>> {
        self.0.table().find(id)
    }

    /// Returns the current state of a session.
    pub fn snapshot(&self, id: &str) -> Option<Snapshot> {
        self.watch(id).map(|receiver| receiver.borrow().clone())
    }

    /// Returns all live and recently ended sessions, oldest first.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let table = self.0.table();
        let receivers = table
            .ended
            .iter()
            .map(|(_, receiver)| receiver)
            .chain(table.live.values().map(|live| &live.snapshot));
        let mut snapshots: Vec<Snapshot> = receivers.map(|receiver| receiver.borrow().clone()).collect();
        snapshots.sort_by(|left, right| (left.started_at, &left.id).cmp(&(right.started_at, &right.id)));
        snapshots
    }

    /// Ends a login. Returns when its whole process tree is gone and the session has ended. A login that is already
    /// being committed can no longer be cancelled: if the commit wins, the result is `NotLive`.
    ///
    /// # Errors
    /// Returns [`NotLive`] if the session is unknown, has already ended, or ends in another way.
    pub async fn cancel(&self, id: &str) -> Result<(), NotLive> {
        self.cancel_because(id, None).await
    }

    /// Ends a login as [`Spawner::cancel`] does. The session's message then names the reason, if one is given.
    pub async fn cancel_because(&self, id: &str, reason: Option<&str>) -> Result<(), NotLive> {
        let mut receiver = {
            let table = self.0.table();
            let handle = table.live.get(id).ok_or(NotLive)?;
            if handle.snapshot.borrow().state.is_terminal() {
                return Err(NotLive);
            }
            handle.end(reason);
            handle.snapshot.clone()
        };
        let ended = receiver.wait_for(|snapshot| snapshot.state.is_terminal()).await.map_err(|_| NotLive)?;
        if ended.state == State::Cancelled { Ok(()) } else { Err(NotLive) }
    }

    /// Delivers a pasted answer to the CLI. `Ok` means that it was written to the CLI, or that the CLI's own callback
    /// accepted it. The session then shows whether the login succeeds.
    ///
    /// # Errors
    /// Returns an error if the answer does not belong to this login or could not be delivered to the CLI.
    pub async fn submit(&self, id: &str, pasted: SecretString) -> Result<(), SubmitError> {
        let commands = self.0.table().live.get(id).ok_or(SubmitError::NotLive)?.commands.clone();
        let (reply, answer) = oneshot::channel();
        match commands.try_send(Submit { pasted, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(SubmitError::NotLive)),
            // Other answers are being processed.
            Err(mpsc::error::TrySendError::Full(_)) => Err(SubmitError::NotExpected),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SubmitError::NotLive),
        }
    }

    /// Stops accepting logins, ends every login and waits for them to end, for at most `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        {
            let mut table = self.0.table();
            table.closed = true;
            table.live.values().for_each(|handle| handle.end(Some(STOPPED)));
        }
        self.0.tracker.close();
        if tokio::time::timeout(grace, self.0.tracker.wait()).await.is_err() {
            tracing::warn!("some logins did not end within the shutdown grace period");
        }
    }
}

/// The state shared by the sessions and the spawner.
pub(crate) struct SpawnerState {
    pub(crate) config: SpawnerConfig,
    pub(crate) sink: Arc<dyn Sink>,
    table: Mutex<Table>,
    pub(crate) tracker: TaskTracker,
}

impl SpawnerState {
    pub(crate) fn now(&self) -> i64 {
        (self.config.clock)()
    }

    /// Frees the session's resources: its slot, its ports and its scope. The session can still be read.
    pub(crate) fn release(&self, id: &str) {
        if let Some(guard) = &self.config.guard {
            guard.forget(id);
        }
        self.table().release(id);
    }

    /// Ends the processes of a session whose task has died.
    async fn end_abandoned(&self, snapshot: &Snapshot) {
        let Some(pid) = snapshot.pid else { return };
        let tree = Tree { pid, start: snapshot.process_start.as_deref(), session: &snapshot.id };
        let reaped: Option<&mut std::future::Ready<()>> = None;
        tree::end(tree, reaped, self.config.limits.term_grace).await;
        if let Some(leader) = child_pid(pid) {
            // The task that waited for the child has died. The child may have been reaped already.
            let _ = rustix::process::waitpid(Some(leader), WaitOptions::NOHANG);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change to the table is a single step, so the table is consistent even after a panic elsewhere.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_snapshot(&self, request: &LoginRequest, recipe: &Recipe) -> Snapshot {
        Snapshot {
            id: request.id.clone(),
            provider: request.provider.id.clone(),
            recipe: recipe.id.clone(),
            scope: request.scope.clone(),
            revision: 1,
            state: State::Pending,
            auth_url: None,
            url_openable: false,
            device_code: None,
            verification_url: None,
            prompt: false,
            prompted: false,
            paste_shapes: recipe.paste.iter().flat_map(|paste| paste.shapes.clone()).collect(),
            started_at: self.now(),
            expires_at: request.expires_at,
            ended_at: None,
            pid: None,
            process_start: None,
            saved: None,
            email: None,
            failure: None,
        }
    }

    /// Ends a session whose task panicked, so that no caller waits for it forever. The panic is a bug in this crate.
    async fn report_fault(&self, sender: &watch::Sender<Snapshot>) {
        let mut snapshot = sender.borrow().clone();
        if snapshot.state.is_terminal() {
            return;
        }
        tracing::error!(session = %snapshot.id, "a login session panicked");
        snapshot.revision += 1;
        snapshot.state = State::Failed;
        snapshot.ended_at = Some(self.now());
        snapshot.failure = Some(Failure {
            kind: FailureKind::Internal,
            message: "the login ended because of an internal error".to_owned(),
            advice: None,
            exit_code: None,
        });
        let moved = AssertUnwindSafe(self.sink.moved(snapshot.clone())).catch_unwind();
        let _ = tokio::time::timeout(session::SINK_PATIENCE, moved).await;
        sender.send_replace(snapshot.clone());
        self.sink.shown(&snapshot);
    }
}
