//! One run of a CLI at a time for each login directory. A caller joins the run in progress, and a run continues even if
//! all its callers have left.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auth_spawner::{ChildEnv, Cli, Credential, KeepAlive, Provider, Registry, TokenMark};
use identity_store::{Account, AccountId, SecretRef, Store, StoreError};
use rpc_engine::Broker;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::KeeperSignal;
use super::canary::Canaries;
use super::limits::Known;
use super::schedule::{self, Facts, Plan, Step, Why};
use super::seen::{self, Seen};
use super::settings::KeeperSettings;
use crate::audit::Auditor;
use crate::base::blocking::BlockingTasks;
use crate::base::clock::now;
use crate::base::host;
use crate::disk::identity_dir::{AccountDir, IdentityDirs};
use crate::login::Logins;
use crate::wire::keeping::KeepState;

/// The maximum number of CLIs that run at the same time.
const AT_A_TIME: usize = 3;
/// Keeps CLI logins alive. Cheap to clone; clones share the same flights.
#[derive(Clone)]
pub(crate) struct Keeper(pub(super) Arc<KeeperState>);

/// The parts from which a [`Keeper`] is built.
pub(crate) struct KeeperConfig {
    /// The accounts.
    pub store: Store,
    /// The providers.
    pub registry: Registry,
    /// The directories of the logins.
    pub identities: IdentityDirs,
    /// Finds the CLIs, and knows which logins a user is renewing.
    pub logins: Arc<Logins>,
    /// Records each run.
    pub auditor: Auditor,
    /// Announces refused logins and near deadlines.
    pub broker: Broker,
    /// The work on files.
    pub blocking: BlockingTasks,
    /// The settings of all renewals.
    pub settings: KeeperSettings,
    /// The environment of the CLIs.
    pub environment: ChildEnv,
    /// The mark of the CLIs of every daemon of this data directory.
    pub mark: String,
    /// An empty directory, in which the CLIs run.
    pub work_dir: PathBuf,
    /// Wakes the task that owns the agenda.
    pub signal: KeeperSignal,
    /// Cancelling this token starts no further CLI.
    pub stop: CancellationToken,
}

pub(super) struct KeeperState {
    pub(super) config: KeeperConfig,
    flights: Mutex<HashMap<PathBuf, Flight>>,
    /// The knowledge about the limits of each login.
    quotas: Mutex<HashMap<AccountId, Known>>,
    /// Set when the stored figures have been read.
    quotas_read: OnceCell<()>,
    /// Set when no CLI of an earlier daemon runs any more.
    pub(super) alone: OnceCell<()>,
    pub(super) turns: Semaphore,
    tasks: TaskTracker,
    pub(super) canaries: Mutex<Canaries>,
    /// The mark of each account's refresh token and its directory, as last seen.
    marks: Mutex<HashMap<AccountId, Held>>,
    /// The number of reports about refused access tokens, by account.
    refusals: Mutex<HashMap<AccountId, u32>>,
}

/// A run in a directory.
#[derive(Clone)]
struct Flight {
    /// True for a renewal, false for a question.
    renews: bool,
    landed: watch::Receiver<bool>,
}

/// A refresh token in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    mark: TokenMark,
    dir: PathBuf,
}

/// A login with the facts that decide about it.
pub(super) struct Subject {
    pub(super) account: Account,
    pub(super) provider: Arc<Provider>,
    pub(super) dir: AccountDir,
    pub(super) seen: Seen,
    /// The accounts of other directories that hold the same refresh token.
    pub(super) copies: Vec<AccountId>,
    /// The other accounts of the same directory.
    pub(super) siblings: Vec<AccountId>,
    /// True if a login of the provider runs in a bundle of the account.
    pub(super) busy: bool,
}

impl Subject {
    pub(super) fn cli(&self) -> Option<&Cli> {
        self.provider.cli.as_ref()
    }

    pub(super) fn keep(&self) -> Option<&KeepAlive> {
        self.cli()?.keep_alive.as_ref()
    }

    pub(super) fn plan(&self, settings: KeeperSettings, why: Why, now: i64) -> Plan {
        let facts = Facts {
            keep: self.keep(),
            on: settings.on,
            adopted: self.dir.adopted,
            seen: &self.seen,
            keeping: &self.account.keeping,
            copied: !self.copies.is_empty(),
            busy: self.busy,
            now,
        };
        schedule::plan(&facts, why)
    }
}

/// The result of a request to renew a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// There was no reason to renew it.
    Unneeded,
    /// The run has ended.
    Ended,
    /// The run has not ended in time, and goes on.
    Late,
}

impl Keeper {
    /// Creates a keeper. It runs nothing on its own.
    pub(crate) fn new(config: KeeperConfig) -> Self {
        Self(Arc::new(KeeperState {
            config,
            flights: Mutex::default(),
            quotas: Mutex::default(),
            quotas_read: OnceCell::new(),
            alone: OnceCell::new(),
            turns: Semaphore::new(AT_A_TIME),
            tasks: TaskTracker::new(),
            canaries: Mutex::default(),
            marks: Mutex::default(),
            refusals: Mutex::default(),
        }))
    }

    /// Renews a login if there is a reason, and waits for it up to `budget`. The run continues without the caller.
    ///
    /// # Errors
    /// The errors of the store.
    pub(super) async fn keep(&self, id: &AccountId, why: Why, budget: Duration) -> Result<Kept, StoreError> {
        let deadline = Instant::now() + budget;
        let Some(subject) = self.subject(id).await? else { return Ok(Kept::Unneeded) };
        if !matches!(subject.plan(self.settings(), why, now()).step, Step::Run { .. }) {
            return Ok(Kept::Unneeded);
        }
        loop {
            let Flight { renews, mut landed } = self.join(id, subject.dir.path.clone(), why);
            let ended = timeout_at(deadline, landed.wait_for(|landed| *landed)).await.is_ok();
            match (ended, renews) {
                (false, _) => return Ok(Kept::Late),
                (true, true) => return Ok(Kept::Ended),
                // A question was in the way.
                (true, false) => {}
            }
        }
    }

    /// Starts a run whose time has come, unless one is in progress.
    pub(super) fn launch(&self, id: &AccountId, dir: PathBuf) {
        let _ = self.join(id, dir, Why::Due);
    }

    /// Waits until the runs in progress have ended.
    pub(super) async fn settle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    pub(super) fn settings(&self) -> KeeperSettings {
        self.0.config.settings
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.config.store
    }

    pub(super) fn signal(&self) -> &KeeperSignal {
        &self.0.config.signal
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.0.config.broker
    }

    /// Returns whether the CLI of this directory runs.
    pub(super) fn is_running(&self, dir: &Path) -> bool {
        lock(&self.0.flights).contains_key(dir)
    }

    /// Counts a report that a service refused the access token of an account.
    pub(super) fn count_refusal(&self, id: &AccountId) {
        *lock(&self.0.refusals).entry(id.clone()).or_default() += 1;
    }

    /// Returns the number of reports about refused access tokens of an account.
    pub(super) fn refusals(&self, id: &AccountId) -> u32 {
        lock(&self.0.refusals).get(id).copied().unwrap_or_default()
    }

    /// Forgets an account that exists no more.
    pub(super) fn forget(&self, id: &AccountId) {
        lock(&self.0.marks).remove(id);
        lock(&self.0.refusals).remove(id);
        lock(&self.0.quotas).remove(id);
    }

    /// Reads an account and its login. Returns `None` for an account without a directory, or of an unknown provider.
    ///
    /// # Errors
    /// The errors of the store.
    pub(super) async fn subject(&self, id: &AccountId) -> Result<Option<Subject>, StoreError> {
        let account = self.store().account(id).await?;
        Ok(self.subject_of(account).await)
    }

    pub(super) async fn subject_of(&self, account: Account) -> Option<Subject> {
        let config = &self.0.config;
        if !matches!(account.secret_ref, SecretRef::ConfigDir { .. }) {
            return None;
        }
        let known = config.registry.provider(account.provider.as_str())?;
        let provider = host::provider_of(known, &account);
        let dir = AccountDir::of(&account)?;
        let seen = seen::look(&config.identities, &account, &provider, &dir).await;
        let (copies, siblings) = self.others(&account.id, &dir.path, seen.login());
        let busy = config.logins.is_running(&account);
        Some(Subject { account, provider, dir, seen, copies, siblings, busy })
    }

    /// Remembers the mark of a login. Returns the accounts of other directories with the same one, and the other accounts
    /// of the same directory.
    fn others(
        &self,
        id: &AccountId,
        dir: &Path,
        login: Option<&Credential>,
    ) -> (Vec<AccountId>, Vec<AccountId>) {
        let mut marks = lock(&self.0.marks);
        let Some(mark) = login.and_then(|login| login.refresh_mark) else {
            marks.remove(id);
            return (Vec::new(), Vec::new());
        };
        let before = marks.insert(id.clone(), Held { mark, dir: dir.to_owned() });
        if let Some(before) = before.filter(|before| before.mark != mark) {
            let left = marks.iter().filter(|(_, held)| held.mark == before.mark);
            left.for_each(|(other, _)| self.signal().changed(other));
        }
        let same = marks.iter().filter(|(other, held)| held.mark == mark && *other != id);
        let (siblings, copies): (Vec<_>, Vec<_>) = same.partition(|(_, held)| held.dir == dir);
        let ids = |found: Vec<(&AccountId, &Held)>| {
            found.into_iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        (ids(copies), ids(siblings))
    }

    /// Returns the other accounts whose refresh token, as last seen, is that of this account.
    pub(super) fn alike(&self, id: &AccountId) -> Vec<AccountId> {
        let marks = lock(&self.0.marks);
        let Some(mark) = marks.get(id).map(|held| held.mark) else { return Vec::new() };
        marks
            .iter()
            .filter(|(other, held)| held.mark == mark && *other != id)
            .map(|(other, _)| other.clone())
            .collect()
    }

    /// Returns the run of this directory; starts a renewal if none is in progress.
    fn join(&self, id: &AccountId, dir: PathBuf, why: Why) -> Flight {
        let (keeper, id) = (self.clone(), id.clone());
        self.begin(dir, true, async move { keeper.0.fly(&keeper, &id, why).await })
    }

    /// Runs work on a login's directory when no other run is in progress there.
    pub(super) async fn alone(&self, dir: PathBuf, work: impl Future<Output = ()> + Send + 'static) {
        let mut work = Some(work);
        loop {
            let (begun, mut landed) = {
                let mut flights = lock(&self.0.flights);
                if let Some(flight) = flights.get(&dir) {
                    (false, flight.landed.clone())
                } else {
                    let Some(work) = work.take() else { return };
                    (true, self.enter(&mut flights, dir.clone(), false, work).landed)
                }
            };
            // An error means that the run has ended.
            let _ = landed.wait_for(|landed| *landed).await;
            if begun {
                return;
            }
        }
    }

    /// Returns the run in a directory; starts this one if none is in progress.
    fn begin(&self, dir: PathBuf, renews: bool, work: impl Future<Output = ()> + Send + 'static) -> Flight {
        let mut flights = lock(&self.0.flights);
        match flights.get(&dir) {
            Some(flight) => flight.clone(),
            None => self.enter(&mut flights, dir, renews, work),
        }
    }

    /// Starts a run in a directory without one.
    fn enter(
        &self,
        flights: &mut HashMap<PathBuf, Flight>,
        dir: PathBuf,
        renews: bool,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Flight {
        let (sender, landed) = watch::channel(self.is_stopping());
        let flight = Flight { renews, landed };
        if self.is_stopping() {
            return flight;
        }
        flights.insert(dir.clone(), flight.clone());
        let landing = Landing { keeper: self.clone(), dir };
        self.0.tasks.spawn(async move {
            work.await;
            // A later caller starts another run, which reads what this one left.
            drop(landing);
            sender.send_replace(true);
        });
        flight
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.config.stop.is_cancelled()
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(work);
    }

    pub(super) fn quotas_map(&self) -> &Mutex<HashMap<AccountId, Known>> {
        &self.0.quotas
    }

    pub(super) fn quotas_read(&self) -> &OnceCell<()> {
        &self.0.quotas_read
    }
}

/// Removes a run from the list when it ends, even if it panics.
struct Landing {
    keeper: Keeper,
    dir: PathBuf,
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.keeper.0.flights).remove(&self.dir);
    }
}

/// Returns the state of a login for clients, which is running while its CLI runs.
pub(super) fn shown(plan: Plan, running: bool) -> Plan {
    if running { Plan { state: KeepState::Running, reason: None, ..plan } } else { plan }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
