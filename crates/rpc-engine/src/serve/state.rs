//! The state shared by all connections and POSTs of one engine.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::Broker;
use crate::methods::{DISCOVER, Service};
use crate::wire::{Limits, RpcError};

/// Counters since the engine was created, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Requests and notifications that were accepted.
    pub calls: u64,
    /// Accepted calls that failed.
    pub failures: u64,
    /// Notifications that failed, for which no reply can be sent.
    pub failed_notifications: u64,
    /// Response objects received from clients. A server ignores them.
    pub ignored_responses: u64,
}

/// The number of calls of one method that had one outcome, since the engine was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodOutcome {
    /// The name of the method; empty for calls of methods that do not exist.
    pub method: &'static str,
    /// `ok`, or the kind of the error.
    pub outcome: String,
    /// The number of calls.
    pub calls: u64,
}

/// The finished calls of one method.
#[derive(Default)]
struct Finished {
    good: AtomicU64,
    /// By the kind of the error. The kinds are a fixed list.
    failed: Mutex<BTreeMap<String, u64>>,
}

pub(super) struct EngineState {
    pub(super) service: Service,
    pub(super) broker: Broker,
    /// Every task of the engine, and every connection served in a caller's task.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the engine starts to reject new calls.
    pub(super) drain: CancellationToken,
    /// Cancelled when all unfinished work must be aborted.
    pub(super) abort: CancellationToken,
    pub(super) connections: AtomicUsize,
    pub(super) last_connection: AtomicU64,
    in_flight: Arc<Semaphore>,
    calls: AtomicU64,
    failures: AtomicU64,
    failed_notifications: AtomicU64,
    ignored_responses: AtomicU64,
    finished: HashMap<&'static str, Finished>,
}

/// The name under which calls of methods that do not exist are counted.
const NO_METHOD: &str = "";

impl EngineState {
    pub(super) fn new(service: Service, broker: Broker) -> Self {
        let limit = service.limits().in_flight_total;
        let names = service.methods().into_iter().map(|info| info.name).chain([DISCOVER, NO_METHOD]);
        Self {
            finished: names.map(|name| (name, Finished::default())).collect(),
            service,
            broker,
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            connections: AtomicUsize::new(0),
            last_connection: AtomicU64::new(0),
            in_flight: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failed_notifications: AtomicU64::new(0),
            ignored_responses: AtomicU64::new(0),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        self.service.limits()
    }

    /// Counts a call and returns its number within the engine.
    pub(super) fn count_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn count_failure(&self, is_notification: bool) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if is_notification {
            self.failed_notifications.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the end of a call. `failure` is its error, if it has one.
    pub(super) fn count_outcome(&self, method: Option<&'static str>, failure: Option<&RpcError>) {
        let Some(finished) = self.finished.get(method.unwrap_or(NO_METHOD)) else { return };
        let Some(error) = failure else {
            finished.good.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let kind = error.kind().unwrap_or("error").to_owned();
        let mut failed = finished.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed.entry(kind).or_default() += 1;
    }

    /// Returns the outcomes that occurred, by method.
    pub(super) fn outcomes(&self) -> Vec<MethodOutcome> {
        let mut all = Vec::new();
        for (method, finished) in &self.finished {
            let good = finished.good.load(Ordering::Relaxed);
            let failed = finished.failed.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = [("ok", good)].into_iter();
            let counted = counted.chain(failed.iter().map(|(kind, calls)| (kind.as_str(), *calls)));
            all.extend(counted.filter(|(_, calls)| *calls > 0).map(|(outcome, calls)| MethodOutcome {
                method,
                outcome: outcome.to_owned(),
                calls,
            }));
        }
        all.sort_unstable_by(|one, two| (one.method, &one.outcome).cmp(&(two.method, &two.outcome)));
        all
    }

    pub(super) fn count_ignored_response(&self) {
        self.ignored_responses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            calls: read(&self.calls),
            failures: read(&self.failures),
            failed_notifications: read(&self.failed_notifications),
            ignored_responses: read(&self.ignored_responses),
        }
    }
}

/// A permit for one running call. The limit applies to the whole engine.
pub(super) type InFlightPermit = OwnedSemaphorePermit;

impl EngineState {
    /// Returns a permit; `None` if the engine has reached its limit of running calls.
    pub(super) fn try_permit(&self) -> Option<InFlightPermit> {
        self.in_flight.clone().try_acquire_owned().ok()
    }

    /// Waits for a permit. Returns `None` only if the engine is gone.
    pub(super) async fn permit(self: Arc<Self>) -> Option<InFlightPermit> {
        self.in_flight.clone().acquire_owned().await.ok()
    }
}
