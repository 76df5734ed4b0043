//! The side of a connection that the broker and the handlers see: its subscriptions, and a bounded queue of events.
//!
//! Nothing here waits. A publisher pushes events and goes on. The connection's own task takes them when it can write.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::broker::Broker;
use crate::error::RpcError;
use crate::limits::Limits;
use crate::method::ConnectionId;
use crate::parcel::Parcel;
use crate::router::Service;
use crate::socket::put_text;

/// A connection as the broker and the handlers see it.
pub(crate) struct Peer {
    pub(crate) id: ConnectionId,
    pub(crate) waker: AtomicWaker,
    broker: Broker,
    service: Service,
    /// The number of held subscriptions, readable without the lock because every finished call checks it.
    held: AtomicUsize,
    state: Mutex<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    queue: VecDeque<Delivery>,
    /// The number of events in all deliveries, the held ones included. `bytes` is their size.
    events: usize,
    bytes: usize,
    held: Vec<Held>,
    lags: Vec<Lag>,
    live: Vec<Arc<Subscriber>>,
    last_number: u32,
    closed: bool,
}

/// One subscription. Numbers are small and assigned per connection, so that the frames of equal numbers can be shared.
pub(crate) struct Subscriber {
    pub(crate) peer: Arc<Peer>,
    pub(crate) number: u32,
    pub(crate) topics: Vec<String>,
    /// The last event that was delivered, so that an event matching two topics is delivered once. Written under the
    /// broker's lock.
    pub(crate) last_seq: AtomicU64,
}

/// Outbound content that is not a reply.
pub(crate) enum Notice {
    Events(Delivery),
    Lagged(Lag),
}

/// The first events of a parcel: all of them, or as many as there was room for.
pub(crate) struct Delivery {
    number: u32,
    parcel: Arc<Parcel>,
    count: usize,
}

/// A subscription whose reply has not been queued yet. Its events wait here.
struct Held {
    number: u32,
    request: u64,
    queue: VecDeque<Delivery>,
}

/// The events that did not fit: their number, and the sequence number of the newest one.
pub(crate) struct Lag {
    number: u32,
    missed: u64,
    seq: u64,
}

impl Delivery {
    fn bytes(&self) -> usize {
        self.parcel.bytes(self.count)
    }
}

impl Peer {
    pub(crate) fn new(id: ConnectionId, broker: Broker, service: Service) -> Arc<Self> {
        let (held, state) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { id, waker: AtomicWaker::new(), broker, service, held, state })
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.service.limits()
    }

    fn state(&self) -> MutexGuard<'_, Mailbox> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscription that is held until `request` is released.
    pub(crate) fn admit(
        self: &Arc<Self>,
        request: u64,
        topics: Vec<String>,
    ) -> Result<Arc<Subscriber>, RpcError> {
        let mut state = self.state();
        if state.closed {
            return Err(RpcError::shutting_down());
        }
        if state.live.len() >= self.limits().subscriptions {
            return Err(RpcError::too_many_subscriptions());
        }
        state.last_number = state.last_number.checked_add(1).ok_or_else(RpcError::too_many_subscriptions)?;
        let number = state.last_number;
        let subscriber =
            Arc::new(Subscriber { peer: self.clone(), number, topics, last_seq: AtomicU64::new(0) });
        state.live.push(subscriber.clone());
        state.held.push(Held { number, request, queue: VecDeque::new() });
        self.held.fetch_add(1, Ordering::Release);
        Ok(subscriber)
    }

    /// Queues events. Events for which the queue has no room are counted as missed. So are the events after them, until
    /// the queue has been emptied. The caller wakes the connection.
    pub(crate) fn push(&self, number: u32, parcel: &Arc<Parcel>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        let newest = parcel.newest();
        if let Some(lag) = state.lags.iter_mut().find(|lag| lag.number == number) {
            lag.missed += parcel.len() as u64;
            lag.seq = newest;
            return;
        }
        let messages = self.limits().outbound_messages.saturating_sub(state.events);
        let bytes = self.limits().outbound_bytes.saturating_sub(state.bytes);
        let count = parcel.fitting(messages, bytes);
        if count > 0 {
            state.events += count;
            state.bytes += parcel.bytes(count);
            let delivery = Delivery { number, parcel: parcel.clone(), count };
            match state.held.iter_mut().find(|held| held.number == number) {
                Some(held) => held.queue.push_back(delivery),
                None => state.queue.push_back(delivery),
            }
        }
        if count < parcel.len() {
            state.lags.push(Lag { number, missed: (parcel.len() - count) as u64, seq: newest });
        }
    }

    /// Takes the next notices to write, until `bytes` is reached or none is left. A loss of events is reported after
    /// everything queued before it has been taken.
    pub(crate) fn take(&self, bytes: usize) -> Vec<Notice> {
        let mut state = self.state();
        let Mailbox { queue, events, held, lags, .. } = &mut *state;
        let (mut notices, mut taken) = (Vec::new(), 0);
        while taken < bytes
            && let Some(delivery) = queue.pop_front()
        {
            taken += delivery.bytes();
            *events -= delivery.count;
            notices.push(Notice::Events(delivery));
        }
        if queue.is_empty() {
            let is_held = |lag: &Lag| held.iter().any(|held| held.number == lag.number);
            notices.extend(lags.extract_if(.., |lag| !is_held(lag)).map(Notice::Lagged));
        }
        state.bytes -= taken;
        notices
    }

    /// Encodes a notice as frames.
    pub(crate) fn frames(&self, notice: &Notice) -> Bytes {
        match notice {
            Notice::Events(Delivery { number, parcel, count }) => parcel.frames(*number, *count),
            Notice::Lagged(Lag { number, missed, seq }) => {
                let mut frame = Vec::new();
                put_text(&mut frame, &[self.broker.lagged(*number, *missed, *seq).as_bytes()]);
                frame.into()
            }
        }
    }

    /// Releases the events of subscriptions that `request` made, because its reply has been queued.
    pub(crate) fn release(&self, request: u64) {
        if self.held.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.state();
        let (ready, still): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.held).into_iter().partition(|held| held.request == request);
        state.held = still;
        self.held.store(state.held.len(), Ordering::Release);
        for held in ready {
            state.queue.extend(held.queue);
        }
        drop(state);
        self.waker.wake();
    }

    /// The numbers of subscriptions that `request` made and whose reply has not been queued.
    pub(crate) fn held_by(&self, request: u64) -> Vec<u32> {
        if self.held.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.state().held.iter().filter(|held| held.request == request).map(|held| held.number).collect()
    }

    /// Removes one subscription and everything queued for it.
    pub(crate) fn dismiss(&self, number: u32) -> Option<Arc<Subscriber>> {
        let mut state = self.state();
        let at = state.live.iter().position(|subscriber| subscriber.number == number)?;
        let subscriber = state.live.swap_remove(at);
        state.queue.retain(|delivery| delivery.number != number);
        state.held.retain(|held| held.number != number);
        state.lags.retain(|lag| lag.number != number);
        let left = || state.queue.iter().chain(state.held.iter().flat_map(|held| &held.queue));
        let (events, bytes) = (left().map(|left| left.count).sum(), left().map(Delivery::bytes).sum());
        (state.events, state.bytes) = (events, bytes);
        self.held.store(state.held.len(), Ordering::Release);
        Some(subscriber)
    }

    /// Marks the connection as ended, so that nothing more is queued. Returns its subscriptions for removal.
    pub(crate) fn close(&self) -> Vec<Arc<Subscriber>> {
        let mut state = self.state();
        let live = std::mem::take(&mut state.live);
        *state = Mailbox { closed: true, ..Mailbox::default() };
        self.held.store(0, Ordering::Release);
        live
    }
}
