//! Batches: events that were published together and are therefore queued and written together.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::wire::put_text_frame;

/// The maximum number of events in a batch. It limits the memory used by a connection's encoded frames.
pub(super) const MAX_BATCH_EVENTS: usize = 64;

/// An event whose notification is encoded once, except for the subscription id.
pub(super) struct Event {
    pub(super) seq: u64,
    pub(super) topic: String,
    pub(super) head: String,
}

impl Event {
    /// The approximate frame size in bytes, accurate enough to bound a queue.
    fn len(&self) -> usize {
        self.head.len() + 8
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        put_text_frame(out, &[self.head.as_bytes(), number.to_string().as_bytes(), b"\"}}"]);
    }
}

/// Events in order, shared by all subscriptions with the same topics.
pub(super) struct EventBatch {
    events: Vec<Arc<Event>>,
    bytes: usize,
    /// The encoded frames of the whole batch for the lowest subscription numbers, which most connections use.
    frames: [OnceLock<Bytes>; 2],
}

impl EventBatch {
    pub(super) fn new(events: Vec<Arc<Event>>) -> Arc<Self> {
        let bytes = events.iter().map(|event| event.len()).sum();
        Arc::new(Self { events, bytes, frames: Default::default() })
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The sequence number of the last event.
    pub(super) fn newest(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }

    /// The total size of the first `count` events, in bytes.
    pub(super) fn bytes(&self, count: usize) -> usize {
        self.events.iter().take(count).map(|event| event.len()).sum()
    }

    /// The number of leading events that fit into the given number of messages and bytes.
    pub(super) fn fitting(&self, messages: usize, bytes: usize) -> usize {
        let mut total = 0;
        let fits = |event: &&Arc<Event>| {
            total += event.len();
            total <= bytes
        };
        self.events.iter().take(messages).take_while(fits).count()
    }

    /// The frames of the first `count` events for a subscription number. Subscriptions with the same number share the
    /// frames of a whole batch.
    pub(super) fn frames(&self, number: u32, count: usize) -> Bytes {
        let encode = || {
            let mut frames = Vec::with_capacity(self.bytes);
            self.events.iter().take(count).for_each(|event| event.put(number, &mut frames));
            Bytes::from(frames)
        };
        let shared = usize::try_from(number).ok().and_then(|number| self.frames.get(number.wrapping_sub(1)));
        match shared {
            Some(frames) if count == self.events.len() => frames.get_or_init(encode).clone(),
            _ => encode(),
        }
    }
}
