//! The table of logins, with operations to start, find and end them.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use rustix::process::WaitOptions;
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{NotLive, StartError};
use super::session;
use super::session::{Inbox, Submit};
use super::sink::Sink;
use super::snapshot::{Failure, FailureKind, Snapshot, State};
use super::table::{LiveLogin, Table};
use crate::answer::SubmitError;
use crate::process::tree::{self, Tree};
use crate::process::{ChildEnv, Guard, child_pid};
use crate::registry::{Provider, Recipe, Terminal};

/// Starts logins and keeps their state. Clones are cheap and share one spawner.
#[derive(Clone)]
pub struct Spawner(Arc<SpawnerState>);

impl fmt::Debug for Spawner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.0.table().live.len();
        formatter.debug_struct("Spawner").field("live", &live).finish_non_exhaustive()
    }
}

/// A source of unix milliseconds, supplied by the owner of the clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The configuration of a spawner.
#[derive(Clone)]
pub struct SpawnerConfig {
    /// The child's environment, without the provider's variables.
    pub environment: ChildEnv,
    /// The program that children get for opening addresses.
    pub browser: Option<PathBuf>,
    /// Parent of the directories that all logins of a provider share, each named after its provider. They hold caches,
    /// never credentials. They are created when they are needed.
    pub shared: PathBuf,
    /// Limits on all logins together and on each.
    pub limits: SpawnLimits,
    /// Source of the current time.
    pub clock: Clock,
    /// The guard that ends the logins' processes if this process no longer can.
    pub guard: Option<Guard>,
    /// Next step for the user after a login whose CLI could not reach its vendor, if there is a better one than to start
    /// the login again.
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

/// Limits on all logins together and on each.
#[derive(Debug, Clone)]
pub struct SpawnLimits {
    /// Most logins that have processes at the same time.
    pub live: usize,
    /// Most logins that wait for a running one to end. They are pending, and their deadline runs.
    pub queue: usize,
    /// Most characters kept of one line of output; the rest is dropped.
    pub line_bytes: usize,
    /// Longest time that a check command may take.
    pub check_timeout: Duration,
    /// Time between asking a process group to end and killing it.
    pub term_grace: Duration,
    /// Time that a CLI has to end without a signal after a success.
    pub linger: Duration,
    /// Most ended sessions that stay readable.
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

/// One login to start. `Debug` shows no arguments and no variables, because they may hold secrets.
#[derive(Clone)]
pub struct LoginRequest {
    /// Unique id of the session. It also marks the processes of this login.
    pub id: String,
    /// The provider to log in to.
    pub provider: Arc<Provider>,
    /// Recipe id; empty for the provider's default.
    pub recipe: String,
    /// Absolute path of the CLI.
    pub program: PathBuf,
    /// The version that the program reports. It selects the variant of the recipe.
    pub version: Option<String>,
    /// Arguments instead of the recipe's, already checked by the caller's policy.
    pub args: Option<Vec<String>>,
    /// Further variables, already checked by the caller's policy.
    pub extra_env: Vec<(String, String)>,
    /// The directory that receives the login. It exists, and belongs to this scope only.
    pub config_dir: PathBuf,
    /// The directory that the login is moved to when it is saved, if it is not `config_dir`. Two logins for the same
    /// directory never run at the same time.
    pub destination: Option<PathBuf>,
    /// The owner of the login. One login runs at a time for a scope and a provider.
    pub scope: String,
    /// Deadline of the login, in unix milliseconds.
    pub expires_at: i64,
    /// Terminal to use instead of the recipe's.
    pub terminal: Option<Terminal>,
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoginRequest")
            .field("id", &self.id)
            .field("provider", &self.provider.id)
            .field("recipe", &self.recipe)
            .field("program", &self.program)
            .field("version", &self.version)
            .field("config_dir", &self.config_dir)
            .field("destination", &self.destination)
            .field("scope", &self.scope)
            .field("expires_at", &self.expires_at)
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

impl LoginRequest {
    /// Returns the directory that the login is for.
    pub(crate) fn directory(&self) -> &Path {
        self.destination.as_deref().unwrap_or(&self.config_dir)
    }
}

impl Spawner {
    /// Creates a spawner that reports to `sink`.
    pub fn new(config: SpawnerConfig, sink: Arc<dyn Sink>) -> Self {
        let table = Mutex::new(Table::new(&config.limits));
        Self(Arc::new(SpawnerState { config, sink, table, tracker: TaskTracker::new() }))
    }

    /// Starts a login and returns before its process exists. A process that cannot be started is a session that ends
    /// with `spawn_failed`. The login holds the scope and the callback ports from here on. Its process may have to wait
    /// for other logins to end, in the order of the starts. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Returns an error if the login conflicts with a running one, if there are too many, or if the spawner is shutting
    /// down. Nothing has been started then.
    pub fn start(&self, request: LoginRequest) -> Result<(), StartError> {
        let recipe = request
            .provider
            .recipe(&request.recipe, request.version.as_deref())
            .ok_or(StartError::UnknownRecipe)?;
        let (commands, inbox) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let (turn, its_turn) = oneshot::channel();
        let (sender, receiver) = watch::channel(self.0.first_snapshot(&request, &recipe));
        {
            let mut table = self.0.table();
            table.admit(&request, &recipe)?;
            let handle = LiveLogin {
                snapshot: receiver,
                commands,
                cancel: cancel.clone(),
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
        let inbox = Inbox { commands: inbox, cancel, turn: its_turn };
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

    /// Waits for logins that have succeeded, but whose CLI is still ending, if they block this one: the same provider
    /// and scope, or the same callback port. The wait lasts at most as long as such a CLI may take to end.
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

    /// Returns a receiver that follows a session, for live and recently ended sessions.
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

    /// Ends a login. Returns when its whole process tree is gone and the session has ended. A login that is being
    /// committed can no longer be ended: if the commit wins, the result is `NotLive`.
    ///
    /// # Errors
    /// Returns [`NotLive`] if the session is unknown, has ended, or ended in another way.
    pub async fn cancel(&self, id: &str) -> Result<(), NotLive> {
        let (cancel, mut receiver) = {
            let table = self.0.table();
            let handle = table.live.get(id).ok_or(NotLive)?;
            (handle.cancel.clone(), handle.snapshot.clone())
        };
        if receiver.borrow().state.is_terminal() {
            return Err(NotLive);
        }
        cancel.cancel();
        let ended = receiver.wait_for(|snapshot| snapshot.state.is_terminal()).await.map_err(|_| NotLive)?;
        if ended.state == State::Cancelled { Ok(()) } else { Err(NotLive) }
    }

    /// Delivers a pasted answer to the CLI. `Ok` means that it was written to the CLI, or that the CLI's own callback
    /// took it. The session then shows whether the login succeeds.
    ///
    /// # Errors
    /// Returns an error if the answer does not belong to this login, or did not reach the CLI.
    pub async fn submit(&self, id: &str, pasted: SecretString) -> Result<(), SubmitError> {
        let commands = self.0.table().live.get(id).ok_or(SubmitError::NotLive)?.commands.clone();
        let (reply, answer) = oneshot::channel();
        match commands.try_send(Submit { pasted, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(SubmitError::NotLive)),
            // Other answers are being tried.
            Err(mpsc::error::TrySendError::Full(_)) => Err(SubmitError::NotExpected),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SubmitError::NotLive),
        }
    }

    /// Accepts no more logins, ends every login and waits for that, at most `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        {
            let mut table = self.0.table();
            table.closed = true;
            table.live.values().for_each(|handle| handle.cancel.cancel());
        }
        self.0.tracker.close();
        if tokio::time::timeout(grace, self.0.tracker.wait()).await.is_err() {
            tracing::warn!("logins did not end before the shutdown's time limit");
        }
    }
}

/// The data that the sessions share with the spawner.
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

    /// Frees the session's resources: its place, its ports and its scope. The session stays readable.
    pub(crate) fn release(&self, id: &str) {
        if let Some(guard) = &self.config.guard {
            guard.forget(id);
        }
        self.table().release(id);
    }

    /// Ends the processes of a session whose task is gone.
    async fn end_abandoned(&self, snapshot: &Snapshot) {
        let Some(pid) = snapshot.pid else { return };
        let tree = Tree { pid, start: snapshot.process_start.as_deref(), session: &snapshot.id };
        let reaped: Option<&mut std::future::Ready<()>> = None;
        tree::end(tree, reaped, self.config.limits.term_grace).await;
        if let Some(leader) = child_pid(pid) {
            // The task that waited for the child is gone. The child may have been reaped already.
            let _ = rustix::process::waitpid(Some(leader), WaitOptions::NOHANG);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is one step, so it is consistent even after a panic elsewhere.
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

    /// Ends a session whose task panicked, so that no caller waits for it for ever. The panic is a bug of this crate.
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
            hint: None,
            exit_code: None,
        });
        let moved = AssertUnwindSafe(self.sink.moved(snapshot.clone())).catch_unwind();
        let _ = tokio::time::timeout(session::SINK_PATIENCE, moved).await;
        sender.send_replace(snapshot.clone());
        self.sink.shown(&snapshot);
    }
}
