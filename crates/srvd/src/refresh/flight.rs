//! One refresh at a time per account. A caller that needs a refresh joins the flight in progress. A flight continues
//! even if all its callers have left. Across daemons, the lease in the account's row decides which one refreshes.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auth_spawner::Registry;
use identity_store::{
    AccountId, Authority, Jitter, ReceivedTokens, RefreshFailure, RefreshLease, RefreshReason,
    RefreshRequest, RefreshWhy, Store, StoreError,
};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::actor::RefreshSignal;
use super::clients::{Client, Clients};
use super::outcome::{self, Outcome, Step};
use crate::base::redact::Redactor;
use crate::base::tally;
use crate::forge::oauth::Forges;
use crate::wire::error::with_causes;

/// The maximum number of issuers contacted at the same time. Each host is contacted only once at a time.
const AT_A_TIME: usize = 4;
/// The maximum time for the response, the identity and the commit of a refresh, in milliseconds. It exceeds the
/// duration of both exchanges.
const LEASE: i64 = 30_000;
/// The interval at which the row is read again while another daemon is refreshing.
const LOOK: Duration = Duration::from_millis(250);
/// The pauses between attempts to write an issuer's response to the store. They end before the lease does.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(6),
];

/// Refreshes accounts. Cheap to clone; clones share the same flights.
#[derive(Clone)]
pub(crate) struct Refresher(Arc<RefresherState>);

struct RefresherState {
    store: Store,
    clients: Clients,
    redactor: Redactor,
    holder: String,
    clock: fn() -> i64,
    signal: RefreshSignal,
    stop: CancellationToken,
    flights: Mutex<HashMap<AccountId, Flight>>,
    overall: Semaphore,
    hosts: BTreeMap<Arc<str>, Semaphore>,
    tasks: TaskTracker,
    /// True if the store has failed a flight since the last call of `take_trouble`.
    troubled: AtomicBool,
}

/// The parts from which a [`Refresher`] is built.
pub(crate) struct RefresherConfig {
    /// The store for the tokens.
    pub store: Store,
    /// The clients that refresh operator tokens.
    pub forges: Forges,
    /// The providers, which name the endpoints that refresh user tokens.
    pub registry: Registry,
    /// Receives every new token before any other component does.
    pub redactor: Redactor,
    /// The name of this process, which is unique among all processes that use the database.
    pub holder: String,
    /// The wall clock, in Unix milliseconds.
    pub clock: fn() -> i64,
    /// Notified when the queue changes, such as at the end of a flight.
    pub signal: RefreshSignal,
    /// Cancelling this token stops further requests to issuers.
    pub stop: CancellationToken,
}

/// The tokens of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The account that holds the tokens.
    pub account: AccountId,
    /// The issuer of the tokens.
    pub authority: Authority,
}

#[derive(Clone)]
struct Flight {
    host: Arc<str>,
    landed: watch::Receiver<Option<Outcome>>,
}

impl Refresher {
    /// Creates a refresher. It starts no refreshes on its own.
    pub(crate) fn new(config: RefresherConfig) -> Self {
        let clients = Clients::new(config.forges, &config.registry, config.clock);
        let hosts = clients.hosts().into_iter().map(|host| (host, Semaphore::new(1))).collect();
        Self(Arc::new(RefresherState {
            store: config.store,
            clients,
            redactor: config.redactor,
            holder: config.holder,
            clock: config.clock,
            signal: config.signal,
            stop: config.stop,
            flights: Mutex::default(),
            overall: Semaphore::new(AT_A_TIME),
            hosts,
            tasks: TaskTracker::new(),
            troubled: AtomicBool::new(false),
        }))
    }

    /// Returns whether an endpoint is known for refreshing this authority's tokens.
    pub(crate) fn supports(&self, authority: &Authority) -> bool {
        self.0.clients.of(authority).is_some()
    }

    /// Ensures, within `budget`, that an account's tokens are good enough for `why`. The refresh continues even if the
    /// caller stops waiting. Afterwards, the caller reads the tokens from the store.
    pub(crate) async fn refresh(&self, grant: &Grant, why: RefreshWhy, budget: Duration) -> Outcome {
        let deadline = Instant::now() + budget;
        loop {
            let (mut flight, own) = match self.join(grant, why) {
                Ok(joined) => joined,
                Err(outcome) => return outcome,
            };
            let landed = timeout_at(deadline, flight.landed.wait_for(Option::is_some)).await;
            let landed = landed.map(|landed| landed.ok().and_then(|outcome| outcome.clone()));
            match landed {
                Err(_) => return Outcome::TooLong,
                Ok(Some(outcome @ Outcome::Busy { .. })) => {
                    // The result of the other daemon's refresh serves all callers. A caller that runs out of time uses
                    // the tokens as they are.
                    sleep_until(deadline.min(Instant::now() + LOOK)).await;
                    if Instant::now() >= deadline {
                        return outcome;
                    }
                }
                // The tokens were good enough for the caller that started the flight, but may not be for this one.
                Ok(Some(Outcome::Unneeded)) if !own => {}
                Ok(outcome) => return outcome.unwrap_or(Outcome::Unavailable),
            }
        }
    }

    /// Starts a flight for the queue, unless one is in progress. No caller waits for it.
    pub(super) fn launch(&self, grant: &Grant) {
        // An account whose flight cannot start stays due.
        let _ = self.join(grant, RefreshWhy::Due);
    }

    /// The accounts of the flights in progress, each with the host that is or will be contacted.
    pub(super) fn under_way(&self) -> HashMap<AccountId, Arc<str>> {
        self.flights().iter().map(|(account, flight)| (account.clone(), flight.host.clone())).collect()
    }

    /// The host that is contacted to refresh this authority's tokens.
    pub(super) fn host(&self, authority: &Authority) -> Option<Arc<str>> {
        self.0.clients.of(authority).map(|client| client.host().clone())
    }

    pub(super) fn signal(&self) -> &RefreshSignal {
        &self.0.signal
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn now(&self) -> i64 {
        (self.0.clock)()
    }

    /// Returns whether the store has failed a flight since the last call.
    pub(super) fn take_trouble(&self) -> bool {
        self.0.troubled.swap(false, Ordering::Relaxed)
    }

    /// Waits until the flights in progress have ended. If the wait is dropped first, a flight's row keeps its lease
    /// mark, and another process takes it over after the lease has expired.
    pub(super) async fn settle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Returns the flight of this account, and `true` if this call started it.
    fn join(&self, grant: &Grant, why: RefreshWhy) -> Result<(Flight, bool), Outcome> {
        let Some(client) = self.0.clients.of(&grant.authority) else { return Err(Outcome::Unsupported) };
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&grant.account) {
            return Ok((flight.clone(), false));
        }
        if self.0.stop.is_cancelled() {
            return Err(Outcome::Unavailable);
        }
        let (sender, landed) = watch::channel(None);
        let flight = Flight { host: client.host().clone(), landed };
        flights.insert(grant.account.clone(), flight.clone());
        let landing = Landing { refresher: self.clone(), account: grant.account.clone() };
        self.0.tasks.spawn(async move {
            let outcome = landing.refresher.0.fly(&landing.account, &client, why).await;
            tracing::debug!(account = %landing.account, ?outcome, "a refresh ended");
            tally::REFRESHES.add([outcome.as_str(), ""]);
            // A later caller starts another flight, which reads what this one wrote.
            drop(landing);
            sender.send_replace(Some(outcome));
        });
        Ok((flight, true))
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<AccountId, Flight>> {
        self.0.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a flight from the list when it ends, even if it panics.
struct Landing {
    refresher: Refresher,
    account: AccountId,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.refresher.flights().remove(&self.account);
        self.refresher.0.signal.notify();
    }
}

impl RefresherState {
    /// Runs the complete refresh, from the lease to the commit.
    async fn fly(&self, account: &AccountId, client: &Client, why: RefreshWhy) -> Outcome {
        // The lease starts only when the issuer can be contacted immediately. The host's slot is acquired first, so
        // that flights waiting for a slow host do not occupy a slot that another host could use.
        let turn = async {
            let host = self.hosts.get(client.host())?.acquire().await.ok()?;
            Some((host, self.overall.acquire().await.ok()?))
        };
        let turn = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            turn = turn => turn,
        };
        let Some(_turn) = turn else { return Outcome::Unavailable };
        let request = RefreshRequest {
            account: account.clone(),
            holder: self.holder.clone(),
            why,
            lease: LEASE,
            now: (self.clock)(),
        };
        let lease = match self.store.begin_refresh(request).await {
            Ok(begun) => match outcome::begun(begun) {
                Step::Ask(lease) => lease,
                Step::Done(outcome) => return outcome,
            },
            Err(StoreError::NotFound { .. }) => return Outcome::Gone,
            Err(error) => return self.unavailable(account, &error),
        };
        let Some(token) = lease.refresh_token() else {
            let reason = RefreshReason::NoRefreshToken;
            return self.fail(&lease, RefreshFailure::Permanent { reason }).await;
        };
        match client.refresh(token).await {
            Ok(granted) => self.keep(lease, client, granted.into()).await,
            Err(failure) => {
                tracing::warn!(%account, error = %failure, code = failure.code(), "tokens could not be refreshed");
                self.fail(&lease, outcome::failure(&failure, jitter())).await
            }
        }
    }

    /// Commits the new tokens. The old refresh token may have been used up, so the commit is retried until the lease
    /// has nearly expired.
    async fn keep(&self, lease: RefreshLease, client: &Client, received: ReceivedTokens) -> Outcome {
        self.redactor.hide_received(&received);
        let account = lease.stored().account.clone();
        let identity = client.identity(lease.stored(), &received).await;
        let refreshed = lease.answered(received, identity);
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.store.complete_refresh(&refreshed, jitter(), (self.clock)()).await {
                Ok(completed) => return outcome::completed(&completed),
                Err(error @ StoreError::IdentityMismatch { .. }) => {
                    tracing::warn!(%account, error = with_causes(&error), "the issuer returned tokens of a different user");
                    return Outcome::Stuck(RefreshReason::IdentityMismatch);
                }
                Err(error @ StoreError::InvalidName { .. }) => {
                    tracing::warn!(%account, error = with_causes(&error), "the issuer returned tokens that cannot be stored");
                    return self.fail(&refreshed.into_lease(), outcome::malformed(jitter())).await;
                }
                Err(error) => match pauses.next().filter(|_| passes(&error)) {
                    Some(pause) => sleep(pause).await,
                    None => return self.unavailable(&account, &error),
                },
            }
        }
    }

    /// Records a failure in the store.
    async fn fail(&self, lease: &RefreshLease, failure: RefreshFailure) -> Outcome {
        let mut pauses = PAUSES.into_iter();
        loop {
            let now = (self.clock)();
            match self.store.fail_refresh(lease, failure, now).await {
                Ok(failed) => return outcome::failed(&failed, now),
                Err(error) => match pauses.next().filter(|_| passes(&error)) {
                    Some(pause) => sleep(pause).await,
                    None => return self.unavailable(&lease.stored().account, &error),
                },
            }
        }
    }

    fn unavailable(&self, account: &AccountId, error: &StoreError) -> Outcome {
        tracing::error!(%account, error = with_causes(error), "a refresh failed because of a store error");
        self.troubled.store(true, Ordering::Relaxed);
        Outcome::Unavailable
    }
}

/// Returns whether the same request may succeed later.
fn passes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy(_)
            | StoreError::Full(_)
            | StoreError::Unavailable(_)
            | StoreError::Uncertain(_)
            | StoreError::Replaced(_)
            | StoreError::Database(_)
    )
}

fn jitter() -> Jitter {
    Jitter::new(getrandom::u32().unwrap_or_default())
}
