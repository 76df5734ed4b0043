//! One refresh at a time of each account: whoever needs it joins the flight that is under way, and a flight goes on when
//! all who waited have left. Across daemons the lease in the row decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auth_spawner::Registry;
use identity_store::{
    AccountId, Authority, Jitter, Received, RefreshFailure, RefreshLease, RefreshReason, RefreshRequest,
    RefreshWhy, Store, StoreError,
};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::actor::Wake;
use super::clients::{Client, Clients};
use super::outcome::{self, Outcome, Step};
use crate::error::with_causes;
use crate::oauth::Forges;
use crate::redact::Redactor;

/// How many issuers are asked at a time; of one host, one.
const AT_A_TIME: usize = 4;
/// How long a refresh has for the answer, the identity and the commit, in milliseconds: more than both exchanges take.
const LEASE: i64 = 30_000;
/// How often the row is looked at again while another daemon is asking.
const LOOK: Duration = Duration::from_millis(250);
/// The pauses between attempts to write what an issuer said. They end before the lease does.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(6),
];

/// Refreshes accounts; a clone is a handle to the same flights.
#[derive(Clone)]
pub struct Refresher(Arc<Inner>);

struct Inner {
    store: Store,
    clients: Clients,
    redactor: Redactor,
    holder: String,
    clock: fn() -> i64,
    wake: Wake,
    stop: CancellationToken,
    flights: Mutex<HashMap<AccountId, Flight>>,
    overall: Semaphore,
    hosts: BTreeMap<Arc<str>, Semaphore>,
    tasks: TaskTracker,
    /// The store failed a flight since this was asked last.
    troubled: AtomicBool,
}

/// What a refresher is given.
pub struct RefresherConfig {
    /// The tokens.
    pub store: Store,
    /// Where operators' tokens are refreshed.
    pub forges: Forges,
    /// Says where users' tokens are refreshed.
    pub registry: Registry,
    /// Is told every new token before anything else is.
    pub redactor: Redactor,
    /// This process among all that use the database, with a name of its own.
    pub holder: String,
    /// The wall clock in unix milliseconds.
    pub clock: fn() -> i64,
    /// What is told of changes of the queue, such as the end of a flight.
    pub wake: Wake,
    /// Once it is cancelled, no issuer is asked any more.
    pub stop: CancellationToken,
}

/// The tokens of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The account.
    pub account: AccountId,
    /// Who issued them.
    pub authority: Authority,
}

#[derive(Clone)]
struct Flight {
    host: Arc<str>,
    landed: watch::Receiver<Option<Outcome>>,
}

impl Refresher {
    /// A refresher that does nothing by itself.
    pub fn new(config: RefresherConfig) -> Self {
        let clients = Clients::new(config.forges, &config.registry, config.clock);
        let hosts = clients.hosts().into_iter().map(|host| (host, Semaphore::new(1))).collect();
        Self(Arc::new(Inner {
            store: config.store,
            clients,
            redactor: config.redactor,
            holder: config.holder,
            clock: config.clock,
            wake: config.wake,
            stop: config.stop,
            flights: Mutex::default(),
            overall: Semaphore::new(AT_A_TIME),
            hosts,
            tasks: TaskTracker::new(),
            troubled: AtomicBool::new(false),
        }))
    }

    /// Whether something says where the tokens of this authority are refreshed.
    pub fn supports(&self, authority: &Authority) -> bool {
        self.0.clients.of(authority).is_some()
    }

    /// Sees to it that an account's tokens are good for `why`, within `budget`. Whoever stops waiting stops nothing; the
    /// tokens are read from the store afterwards.
    pub async fn refresh(&self, grant: &Grant, why: RefreshWhy, budget: Duration) -> Outcome {
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
                    // Its answer is good for everybody. A caller that gives up takes what there is.
                    sleep_until(deadline.min(Instant::now() + LOOK)).await;
                    if Instant::now() >= deadline {
                        return outcome;
                    }
                }
                // Good enough for whoever began it, which need not be good enough here.
                Ok(Some(Outcome::Unneeded)) if !own => {}
                Ok(outcome) => return outcome.unwrap_or(Outcome::Unavailable),
            }
        }
    }

    /// Begins a flight for the queue, unless one is under way. Nobody waits for it.
    pub(super) fn launch(&self, grant: &Grant) {
        // What cannot begin is due still.
        let _ = self.join(grant, RefreshWhy::Due);
    }

    /// The accounts of the flights under way, each with the host that is or will be asked.
    pub(super) fn under_way(&self) -> HashMap<AccountId, Arc<str>> {
        self.flights().iter().map(|(account, flight)| (account.clone(), flight.host.clone())).collect()
    }

    /// The host that is asked for this authority's tokens.
    pub(super) fn host(&self, authority: &Authority) -> Option<Arc<str>> {
        self.0.clients.of(authority).map(|client| client.host().clone())
    }

    pub(super) fn wake(&self) -> &Wake {
        &self.0.wake
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn now(&self) -> i64 {
        (self.0.clock)()
    }

    /// Whether the store failed a flight since this was asked last.
    pub(super) fn take_trouble(&self) -> bool {
        self.0.troubled.swap(false, Ordering::Relaxed)
    }

    /// Waits until the flights under way have ended. A row whose flight does not get that far keeps its mark, and is
    /// taken over when the lease is over.
    pub(super) async fn settle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// The flight of this account, begun if there is none; and whether it was.
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
            // Whoever asks from here on begins another flight, which reads what this one wrote.
            drop(landing);
            sender.send_replace(Some(outcome));
        });
        Ok((flight, true))
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<AccountId, Flight>> {
        self.0.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list when it ends, however it does.
struct Landing {
    refresher: Refresher,
    account: AccountId,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.refresher.flights().remove(&self.account);
        self.refresher.0.wake.wake();
    }
}

impl Inner {
    /// The whole way from the lease to the commit.
    async fn fly(&self, account: &AccountId, client: &Client, why: RefreshWhy) -> Outcome {
        // The lease begins when the issuer can be asked at once. The host comes first, so that those who wait for a slow
        // one hold no place that another one could use.
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

    /// Commits what the issuer gave. The old refresh token may be used up, so this is tried until the lease is nearly over.
    async fn keep(&self, lease: RefreshLease, client: &Client, received: Received) -> Outcome {
        for secret in
            [Some(&received.access), received.refresh.as_ref(), received.id.as_ref()].into_iter().flatten()
        {
            self.redactor.hide(secret);
        }
        let account = lease.stored().account.clone();
        let identity = client.identity(lease.stored(), &received).await;
        let refreshed = lease.answered(received, identity);
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.store.complete_refresh(&refreshed, jitter(), (self.clock)()).await {
                Ok(completed) => return outcome::completed(&completed),
                Err(error @ StoreError::IdentityMismatch { .. }) => {
                    tracing::warn!(%account, error = with_causes(&error), "the issuer gave another person's tokens");
                    return Outcome::Stuck(RefreshReason::IdentityMismatch);
                }
                Err(error @ StoreError::InvalidName { .. }) => {
                    tracing::warn!(%account, error = with_causes(&error), "the issuer gave tokens that cannot be kept");
                    return self.fail(&refreshed.into_lease(), outcome::malformed(jitter())).await;
                }
                Err(error) => match pauses.next().filter(|_| passes(&error)) {
                    Some(pause) => sleep(pause).await,
                    None => return self.unavailable(&account, &error),
                },
            }
        }
    }

    /// Writes a failure down.
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
        tracing::error!(%account, error = with_causes(error), "the store failed a refresh");
        self.troubled.store(true, Ordering::Relaxed);
        Outcome::Unavailable
    }
}

/// Whether the same request may succeed later.
fn passes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy(_) | StoreError::Locked(_) | StoreError::Unavailable(_) | StoreError::Database(_)
    )
}

fn jitter() -> Jitter {
    Jitter::new(getrandom::u32().unwrap_or_default())
}
