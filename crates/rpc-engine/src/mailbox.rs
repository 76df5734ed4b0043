//! The side of a connection that the broker and the handlers see: its subscriptions, and a bounded queue of events.
//!
//! Nothing here waits. A publisher pushes and goes on; the connection's own task takes when it can write.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::task::AtomicWaker;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::broker::{Broker, Event};
use crate::error::RpcError;
use crate::limits::Limits;
use crate::method::ConnectionId;
use crate::router::Service;

/// One connection as others see it.
pub(crate) struct Peer {
    pub(crate) id: ConnectionId,
    pub(crate) waker: AtomicWaker,
    broker: Broker,
    service: Service,
    /// Number of held subscriptions, readable without the lock because every finished call asks for it.
    held: AtomicUsize,
    state: Mutex<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    queue: VecDeque<Delivery>,
    bytes: usize,
    held: Vec<Held>,
    lags: Vec<Lag>,
    live: Vec<Arc<Subscriber>>,
    last_number: u32,
    closed: bool,
}

/// One subscription. Numbers are small and per connection, so that the frames of equal numbers can be shared.
pub(crate) struct Subscriber {
    pub(crate) peer: Arc<Peer>,
    pub(crate) number: u32,
    pub(crate) topics: Vec<String>,
    /// The last event that was delivered, so that one matching two topics comes once. Written under the broker's lock.
    pub(crate) last_seq: AtomicU64,
}

/// Something to write that is no reply.
pub(crate) enum Notice {
    Event(Delivery),
    Lagged(Lag),
}

pub(crate) struct Delivery {
    number: u32,
    event: Arc<Event>,
}

/// A subscription whose reply has not been queued yet; its events wait here.
struct Held {
    number: u32,
    request: u64,
    queue: VecDeque<Delivery>,
}

/// Events that did not fit: how many, and the newest of them.
pub(crate) struct Lag {
    number: u32,
    missed: u64,
    seq: u64,
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

    /// Makes a subscription that is held until `request` is released.
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

    /// Queues one event, or counts it as missed when the queue is full or was full and has not been emptied since. The
    /// caller wakes the connection.
    pub(crate) fn push(&self, number: u32, event: &Arc<Event>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        if let Some(lag) = state.lags.iter_mut().find(|lag| lag.number == number) {
            lag.missed += 1;
            lag.seq = event.seq;
            return;
        }
        let held: usize = state.held.iter().map(|held| held.queue.len()).sum();
        let full = state.queue.len() + held >= self.limits().outbound_messages
            || state.bytes + event.len() > self.limits().outbound_bytes;
        if full {
            state.lags.push(Lag { number, missed: 1, seq: event.seq });
        } else {
            state.bytes += event.len();
            let delivery = Delivery { number, event: event.clone() };
            match state.held.iter_mut().find(|held| held.number == number) {
                Some(held) => held.queue.push_back(delivery),
                None => state.queue.push_back(delivery),
            }
        }
    }

    /// Takes what is to be written next, until it is so many bytes or there is no more. That events were lost is said when
    /// everything queued before them has been taken.
    pub(crate) fn take(&self, bytes: usize) -> Vec<Notice> {
        let mut state = self.state();
        let Mailbox { queue, held, lags, .. } = &mut *state;
        let (mut notices, mut taken) = (Vec::new(), 0);
        while taken < bytes
            && let Some(delivery) = queue.pop_front()
        {
            taken += delivery.event.len();
            notices.push(Notice::Event(delivery));
        }
        if queue.is_empty() {
            let is_held = |lag: &Lag| held.iter().any(|held| held.number == lag.number);
            notices.extend(lags.extract_if(.., |lag| !is_held(lag)).map(Notice::Lagged));
        }
        state.bytes -= taken;
        notices
    }

    /// What a notice says on the wire.
    pub(crate) fn frame(&self, notice: &Notice) -> Utf8Bytes {
        match notice {
            Notice::Event(Delivery { number, event }) => event.frame(*number),
            Notice::Lagged(Lag { number, missed, seq }) => self.broker.lagged_frame(*number, *missed, *seq),
        }
    }

    /// The reply of `request` has been queued: the events of subscriptions that it made may follow.
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

    /// Forgets one subscription and everything queued for it.
    pub(crate) fn dismiss(&self, number: u32) -> Option<Arc<Subscriber>> {
        let mut state = self.state();
        let at = state.live.iter().position(|subscriber| subscriber.number == number)?;
        let subscriber = state.live.swap_remove(at);
        state.queue.retain(|delivery| delivery.number != number);
        state.held.retain(|held| held.number != number);
        state.lags.retain(|lag| lag.number != number);
        state.bytes = state.queue.iter().map(|d| d.event.len()).sum::<usize>()
            + state.held.iter().flat_map(|held| &held.queue).map(|d| d.event.len()).sum::<usize>();
        self.held.store(state.held.len(), Ordering::Release);
        Some(subscriber)
    }

    /// The connection is over: nothing is queued any more, and its subscriptions are given back for removal.
    pub(crate) fn close(&self) -> Vec<Arc<Subscriber>> {
        let mut state = self.state();
        let live = std::mem::take(&mut state.live);
        *state = Mailbox { closed: true, ..Mailbox::default() };
        self.held.store(0, Ordering::Release);
        live
    }
}
