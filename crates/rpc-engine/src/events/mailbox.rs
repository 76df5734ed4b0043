//! The mailbox of one connection: its queued events and its subscriptions.
//!
//! Nothing in this module waits. A publisher pushes events and moves on. The connection's own task takes them when it
//! can write.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;

use super::batch::EventBatch;
use crate::wire::{Limits, RpcError};

/// The bounded event queue of one connection.
pub(super) struct Mailbox {
    /// The waker of the connection's task.
    pub(super) waker: AtomicWaker,
    limits: Arc<Limits>,
    state: Mutex<MailboxState>,
}

#[derive(Default)]
struct MailboxState {
    queue: VecDeque<Delivery>,
    /// The number of events in all deliveries, including held ones. `bytes` is their total size.
    events: usize,
    bytes: usize,
    held: Vec<HeldSubscription>,
    gaps: Vec<Gap>,
    subscribers: Vec<Arc<Subscriber>>,
    last_number: u32,
    closed: bool,
}

/// One subscription. Numbers are small and assigned per connection, so that subscriptions with the same number can
/// share frames.
pub(super) struct Subscriber {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) number: u32,
    pub(super) topics: Vec<String>,
    /// The sequence number of the last delivered event, so that an event that matches two topics is delivered only
    /// once. Written only while the broker's lock is held.
    pub(super) last_seq: AtomicU64,
}

/// An outgoing item other than a reply.
pub(crate) enum Notice {
    Events(Delivery),
    Lagged(Gap),
}

/// The first events of a batch: all of them, or as many as fit.
pub(crate) struct Delivery {
    pub(super) number: u32,
    pub(super) batch: Arc<EventBatch>,
    pub(super) count: usize,
}

/// A subscription whose reply has not been queued yet. Its events are held here.
struct HeldSubscription {
    number: u32,
    request: u64,
    queue: VecDeque<Delivery>,
}

/// The number of events that did not fit, and the sequence number of the newest of them.
pub(crate) struct Gap {
    pub(super) number: u32,
    pub(super) missed: u64,
    pub(super) seq: u64,
}

impl Delivery {
    fn bytes(&self) -> usize {
        self.batch.bytes(self.count)
    }
}

impl Mailbox {
    pub(super) fn new(limits: Arc<Limits>) -> Arc<Self> {
        Arc::new(Self { waker: AtomicWaker::new(), limits, state: Mutex::default() })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn state(&self) -> MutexGuard<'_, MailboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscription and holds its events until `request` is released.
    pub(super) fn add(
        self: &Arc<Self>,
        request: u64,
        topics: Vec<String>,
    ) -> Result<Arc<Subscriber>, RpcError> {
        let mut state = self.state();
        if state.closed {
            return Err(RpcError::shutting_down());
        }
        if state.subscribers.len() >= self.limits.subscriptions {
            return Err(RpcError::too_many_subscriptions());
        }
        state.last_number = state.last_number.checked_add(1).ok_or_else(RpcError::too_many_subscriptions)?;
        let number = state.last_number;
        let subscriber =
            Arc::new(Subscriber { mailbox: self.clone(), number, topics, last_seq: AtomicU64::new(0) });
        state.subscribers.push(subscriber.clone());
        state.held.push(HeldSubscription { number, request, queue: VecDeque::new() });
        Ok(subscriber)
    }

    /// Queues events. If an event does not fit, it and all later events are counted as missed until the queue has been
    /// emptied. The caller wakes the connection.
    pub(super) fn push(&self, number: u32, batch: &Arc<EventBatch>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        let newest = batch.newest();
        if let Some(gap) = state.gaps.iter_mut().find(|gap| gap.number == number) {
            gap.missed += batch.len() as u64;
            gap.seq = newest;
            return;
        }
        let messages = self.limits.outbound_messages.saturating_sub(state.events);
        let bytes = self.limits.outbound_bytes.saturating_sub(state.bytes);
        let count = batch.fitting(messages, bytes);
        if count > 0 {
            state.events += count;
            state.bytes += batch.bytes(count);
            let delivery = Delivery { number, batch: batch.clone(), count };
            match state.held.iter_mut().find(|held| held.number == number) {
                Some(held) => held.queue.push_back(delivery),
                None => state.queue.push_back(delivery),
            }
        }
        if count < batch.len() {
            state.gaps.push(Gap { number, missed: (batch.len() - count) as u64, seq: newest });
        }
    }

    /// Takes the next notices to write, until `bytes` is reached or none is left. A gap is reported only after
    /// everything queued before it has been taken.
    pub(super) fn take(&self, bytes: usize) -> Vec<Notice> {
        let mut state = self.state();
        let MailboxState { queue, events, held, gaps, .. } = &mut *state;
        let (mut notices, mut total) = (Vec::new(), 0);
        while total < bytes
            && let Some(delivery) = queue.pop_front()
        {
            total += delivery.bytes();
            *events -= delivery.count;
            notices.push(Notice::Events(delivery));
        }
        if queue.is_empty() {
            let is_held = |gap: &Gap| held.iter().any(|held| held.number == gap.number);
            notices.extend(gaps.extract_if(.., |gap| !is_held(gap)).map(Notice::Lagged));
        }
        state.bytes -= total;
        notices
    }

    /// Releases the held events of subscriptions made by `request`, now that its reply has been queued. The caller is
    /// the connection's task, which takes the events next.
    pub(super) fn release(&self, request: u64) {
        let mut state = self.state();
        let MailboxState { queue, held, .. } = &mut *state;
        for held in held.extract_if(.., |held| held.request == request) {
            queue.extend(held.queue);
        }
    }

    /// The numbers of subscriptions made by `request` whose reply has not been queued yet.
    pub(super) fn held_by(&self, request: u64) -> Vec<u32> {
        self.state().held.iter().filter(|held| held.request == request).map(|held| held.number).collect()
    }

    /// Removes one subscription and everything queued for it.
    pub(super) fn remove(&self, number: u32) -> Option<Arc<Subscriber>> {
        let mut state = self.state();
        let at = state.subscribers.iter().position(|subscriber| subscriber.number == number)?;
        let subscriber = state.subscribers.swap_remove(at);
        state.queue.retain(|delivery| delivery.number != number);
        state.held.retain(|held| held.number != number);
        state.gaps.retain(|gap| gap.number != number);
        let left = || state.queue.iter().chain(state.held.iter().flat_map(|held| &held.queue));
        let (events, bytes) = (left().map(|left| left.count).sum(), left().map(Delivery::bytes).sum());
        (state.events, state.bytes) = (events, bytes);
        Some(subscriber)
    }

    /// Marks the connection as ended, so that nothing more is queued, and returns its subscriptions so that they can be
    /// removed.
    pub(super) fn close(&self) -> Vec<Arc<Subscriber>> {
        let mut state = self.state();
        let subscribers = std::mem::take(&mut state.subscribers);
        *state = MailboxState { closed: true, ..MailboxState::default() };
        subscribers
    }
}
