//! The task that reads the files: after changes, periodically, and on request.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth_spawner::Registry;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use rpc_engine::Broker;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::load::{FILE, FOLDER, load};
use super::{Agents, Credential, Fault};
use crate::agents::ephemeral::Ephemeral;
use crate::base::blocking::BlockingTasks;
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::redact::Redactor;
use crate::base::trust::Trust;
use crate::wire::declared::{DeclaredAgent, DeclaredAgents, DeclaredError};
use crate::wire::events;

/// The wait for the end of a burst of changes.
const BURST: Duration = Duration::from_millis(50);
/// The interval of the reads that find unreported changes, such as those behind a link or in an unwatched folder.
const POLL: Duration = Duration::from_secs(30);
/// The maximum number of queued read requests.
const WAITING: usize = 64;

/// The agents in effect, and the errors in the files that would have replaced them.
#[derive(Debug, Clone, Default)]
pub(crate) struct InForce {
    /// The last valid set of agents.
    pub agents: Arc<Agents>,
    /// The errors from the last read; empty if it succeeded.
    pub faults: Arc<[Fault]>,
}

impl InForce {
    /// Returns the agents and errors as wire types, without keys.
    pub(crate) fn listed(&self) -> DeclaredAgents {
        let agents = self.agents.iter().map(|(id, agent)| DeclaredAgent {
            agent_id: id.to_owned(),
            source: agent.source.display().to_string(),
            providers: agent.credentials.keys().cloned().collect(),
        });
        let errors = self.faults.iter().map(|fault| DeclaredError {
            file: fault.file.display().to_string(),
            line: fault.line,
            message: fault.reason.clone(),
        });
        DeclaredAgents { agents: agents.collect(), errors: errors.collect() }
    }
}

/// The declared agents. Cheap to clone; clones share the same agents.
#[derive(Clone)]
pub(crate) struct Declared {
    current: watch::Receiver<InForce>,
    requests: mpsc::Sender<oneshot::Sender<InForce>>,
}

/// The error returned once the daemon has stopped reading files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

impl Declared {
    /// Returns the agents in effect.
    pub(crate) fn now(&self) -> InForce {
        self.current.borrow().clone()
    }

    /// Reads the files and returns the agents in effect afterwards.
    ///
    /// # Errors
    /// `Stopped` if the daemon is shutting down.
    pub(crate) async fn reload(&self) -> Result<InForce, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(answer).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }
}

/// The inputs of the reads, and the receivers of their results.
pub(crate) struct DeclaredConfig {
    /// The directory of the files.
    pub config_dir: PathBuf,
    /// The providers that credentials may name.
    pub registry: Registry,
    /// The daemon's own environment, for credentials stored in variables.
    pub environment: Environment,
    /// Ephemeral credentials. Those for removed declarations are cleared.
    pub ephemeral: Ephemeral,
    /// Receives an event when the agents change.
    pub broker: Broker,
    /// Hides declared keys in logs.
    pub redactor: Redactor,
    /// Runs the reads of the files.
    pub blocking: BlockingTasks,
    /// Refuses files that other users can change.
    pub trust: Trust,
}

/// The owner of the declared agents.
pub(crate) struct DeclaredWatcher {
    config: Arc<DeclaredConfig>,
    current: watch::Sender<InForce>,
    requests: mpsc::Receiver<oneshot::Sender<InForce>>,
    changed: Arc<Notify>,
    folders: Arc<Mutex<WatchedFolders>>,
}

/// The folders of the files, as far as they are watched.
struct WatchedFolders {
    watcher: Option<RecommendedWatcher>,
    /// The watched folders with their device and inode number, which reveals when a folder has been replaced.
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

impl DeclaredWatcher {
    /// Reads the files for the first time. If they contain an error, no agent is declared, but the daemon still starts.
    pub(crate) async fn new(config: DeclaredConfig) -> (Declared, Self) {
        let (current, receiver) = watch::channel(InForce::default());
        let (sender, requests) = mpsc::channel(WAITING);
        let changed = Arc::new(Notify::new());
        let wake = changed.clone();
        let watcher = notify::recommended_watcher(move |event| {
            if concerns(event) {
                wake.notify_one();
            }
        });
        let watcher = watcher.inspect_err(complain).ok();
        let folders = Arc::new(Mutex::new(WatchedFolders { watcher, watched: BTreeMap::new() }));
        let mut declared = Self { config: Arc::new(config), current, requests, changed, folders };
        declared.read().await;
        (Declared { current: receiver, requests: sender }, declared)
    }

    /// Reads the files whenever necessary, until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll.reset();
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                asked = self.requests.recv() => asked,
                _ = poll.tick() => None,
                () = self.changed.notified() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        // A request does not have to wait for the end of a burst.
                        asked = self.requests.recv() => asked,
                        () = tokio::time::sleep(BURST) => None,
                    }
                }
            };
            self.read().await;
            if let Some(answer) = asked {
                // The caller may have disconnected.
                let _ = answer.send(self.current.borrow().clone());
            }
        }
    }

    /// Reads all files. A valid set replaces the one in effect.
    async fn read(&mut self) {
        let (config, folders) = (self.config.clone(), self.folders.clone());
        let work = move || {
            // Watching starts before the read, so that no change in between is missed.
            folders.lock().unwrap_or_else(PoisonError::into_inner).watch(&config.config_dir);
            load(&config.config_dir, &config.registry, &config.environment, &config.trust)
        };
        match self.config.blocking.run(work).await {
            Ok(Ok(agents)) => self.take(agents),
            Ok(Err(faults)) => self.refuse(faults),
            Err(error) => tracing::error!(%error, "reading the declared agents failed unexpectedly"),
        }
    }

    fn take(&self, agents: Agents) {
        let before = self.current.borrow().clone();
        if !before.faults.is_empty() {
            tracing::info!("the files of the declared agents are valid again");
        }
        if *before.agents == agents {
            if !before.faults.is_empty() {
                self.current.send_replace(InForce { agents: before.agents, faults: Arc::default() });
            }
            return;
        }
        for (_, agent) in agents.iter() {
            for credential in agent.credentials.values() {
                if let Credential::Key(secret) | Credential::Env { value: Some(secret), .. } = credential {
                    self.config.redactor.hide(secret);
                }
            }
        }
        tracing::info!(agents = agents.iter().count(), "the declared agents changed");
        let agents = Arc::new(agents);
        self.current.send_replace(InForce { agents: agents.clone(), faults: Arc::default() });
        for (agent, provider) in before.agents.missing_in(&agents) {
            self.config.ephemeral.clear(agent, provider);
        }
        self.config.broker.publish(events::DECLARED_CHANGED, now(), None);
    }

    fn refuse(&self, faults: Vec<Fault>) {
        let before = self.current.borrow().clone();
        // The periodic reads find the same errors repeatedly.
        if *before.faults != *faults {
            for fault in &faults {
                tracing::warn!(%fault, "a file of the declared agents has an error; the declared agents were not changed");
            }
            self.current.send_replace(InForce { agents: before.agents, faults: faults.into() });
        }
    }
}

impl WatchedFolders {
    /// Watches the folders that exist.
    fn watch(&mut self, config_dir: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders = [config_dir.to_owned(), config_dir.join(FOLDER)];
        for folder in folders {
            let found = std::fs::metadata(&folder).ok().filter(std::fs::Metadata::is_dir);
            let found = found.map(|found| (found.dev(), found.ino()));
            if self.watched.get(&folder) == found.as_ref() {
                continue;
            }
            if self.watched.remove(&folder).is_some() {
                // The watch of a removed folder has already ended.
                let _ = watcher.unwatch(&folder);
            }
            let Some(inode) = found else { continue };
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder, inode)),
                Err(error) => complain(&error),
            }
        }
    }
}

/// Returns whether an event concerns, or may concern, one of the files.
fn concerns(event: notify::Result<notify::Event>) -> bool {
    let Ok(event) = event else { return true };
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        // Reads by this task are reported as well.
        EventKind::Access(_) => return false,
        _ => {}
    }
    event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(|path| is_ours(path))
}

/// Compares only names, because some systems report paths of changed files with a different spelling.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let below = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == FOLDER);
    // If the links of a folder are replaced all at once, they lead through an entry whose name starts with two dots.
    below || name == FILE || name == FOLDER || name.as_encoded_bytes().starts_with(b"..")
}

fn complain(error: &notify::Error) {
    tracing::warn!(%error, "cannot watch the files of the declared agents; reading them periodically");
}
