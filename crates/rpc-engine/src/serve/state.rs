//! The state shared by all connections and POSTs of one engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::Broker;
use crate::methods::Service;
use crate::wire::Limits;

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
    in_flight: AtomicUsize,
    calls: AtomicU64,
    failures: AtomicU64,
    failed_notifications: AtomicU64,
    ignored_responses: AtomicU64,
}

impl EngineState {
    pub(super) fn new(service: Service, broker: Broker) -> Self {
        Self {
            service,
            broker,
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            connections: AtomicUsize::new(0),
            last_connection: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
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

/// A permit for one unfinished call. The limit applies to the whole engine.
pub(super) struct InFlightPermit(Arc<EngineState>);

impl InFlightPermit {
    /// Returns `None` if the engine has reached its limit of unfinished calls.
    pub(super) fn acquire(state: &Arc<EngineState>) -> Option<Self> {
        let limit = state.limits().in_flight_total;
        let more = |count: usize| (count < limit).then_some(count + 1);
        state.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(state.clone()))
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
