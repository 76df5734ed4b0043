//! The table of logins: which may run processes, and the queue of those that wait.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::error::StartError;
use super::request::LoginRequest;
use super::session::Submit;
use super::snapshot::Snapshot;
use super::spawner::SpawnLimits;
use crate::registry::Recipe;

/// All live and recently ended logins.
pub(crate) struct Table {
    pub(crate) live: HashMap<String, LiveLogin>,
    pub(crate) ended: VecDeque<(String, watch::Receiver<Snapshot>)>,
    pub(crate) closed: bool,
    /// The ids of the sessions waiting for their turn, in order.
    waiting: VecDeque<String>,
    most_running: usize,
    most_waiting: usize,
    ended_keep: usize,
}

/// The reason for the end of a login when the daemon stops.
pub(crate) const STOPPED: &str = "the daemon was stopped";

/// A live login: its resources, and the channels to its session.
pub(crate) struct LiveLogin {
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    pub(crate) commands: mpsc::Sender<Submit>,
    pub(crate) cancel: CancellationToken,
    /// The reason for a cancellation, set before it.
    pub(crate) why: Arc<OnceLock<String>>,
    pub(crate) provider: String,
    pub(crate) scope: String,
    pub(crate) ports: Vec<u16>,
    /// The directory for which the login is made.
    pub(crate) directory: PathBuf,
    /// Cancelled when the session's processes are gone.
    pub(crate) gone: CancellationToken,
    /// The channel that allows the session to start processes; taken once used.
    pub(crate) turn: Option<oneshot::Sender<()>>,
}

impl LiveLogin {
    /// Ends the login. The first reason is kept.
    pub(crate) fn end(&self, reason: Option<&str>) {
        if let Some(reason) = reason {
            let _ = self.why.set(reason.to_owned());
        }
        self.cancel.cancel();
    }
}

impl Table {
    pub(crate) fn new(limits: &SpawnLimits) -> Self {
        Self {
            live: HashMap::new(),
            ended: VecDeque::new(),
            closed: false,
            waiting: VecDeque::new(),
            most_running: limits.live,
            most_waiting: limits.queue,
            ended_keep: limits.ended_keep,
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<watch::Receiver<Snapshot>> {
        let live = self.live.get(id).map(|handle| &handle.snapshot);
        let ended = || self.ended.iter().find(|(ended, _)| ended == id).map(|(_, receiver)| receiver);
        live.or_else(ended).cloned()
    }

    /// Checks whether this login may start, or wait for its turn.
    pub(crate) fn admit(&self, request: &LoginRequest, recipe: &Recipe) -> Result<(), StartError> {
        if self.closed {
            return Err(StartError::ShuttingDown);
        }
        if self.find(&request.id).is_some() {
            return Err(StartError::DuplicateId);
        }
        for (session, handle) in &self.live {
            let same_login = handle.scope == request.scope && handle.provider == request.provider.id;
            // Two bundles may share an account, and two CLIs in one directory would confirm each other's login.
            if same_login || handle.directory == request.directory() {
                return Err(StartError::Running { session: session.clone() });
            }
        }
        for port in &recipe.callback_ports {
            if let Some((session, handle)) = self.live.iter().find(|(_, handle)| handle.ports.contains(port))
            {
                let (session, provider) = (session.clone(), handle.provider.clone());
                return Err(StartError::PortLeased { port: *port, session, provider });
            }
        }
        let full = self.live.len() >= self.most_running.saturating_add(self.most_waiting);
        if full { Err(StartError::Capacity) } else { Ok(()) }
    }

    /// Adds an admitted login. It gets its turn immediately, or when those ahead of it have ended.
    pub(crate) fn insert(&mut self, id: String, handle: LiveLogin) {
        self.waiting.push_back(id.clone());
        self.live.insert(id, handle);
        self.advance();
    }

    /// Frees a session's resources: its slot, its ports and its scope. The session can still be read for a while.
    pub(crate) fn release(&mut self, id: &str) {
        if let Some(handle) = self.live.remove(id) {
            handle.gone.cancel();
            self.ended.push_back((id.to_owned(), handle.snapshot));
            if handle.turn.is_some() {
                self.waiting.retain(|waiting| waiting != id);
            }
        }
        while self.ended.len() > self.ended_keep {
            self.ended.pop_front();
        }
        self.advance();
    }

    fn advance(&mut self) {
        while self.live.len() - self.waiting.len() < self.most_running
            && let Some(next) = self.waiting.pop_front()
        {
            let turn = self.live.get_mut(&next).and_then(|handle| handle.turn.take());
            // A session that has ended in the meantime does not receive the message. Its slot is freed when it is
            // released.
            let _ = turn.map(|turn| turn.send(()));
        }
    }
}
