//! Events on their way to subscribers. Events that were published together are queued and written together.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::socket::put_text;

/// The largest number of events in one parcel, so that a long burst is written in pieces.
pub(crate) const TOGETHER: usize = 64;

/// An event with its notification encoded once, up to the subscription id.
pub(crate) struct Event {
    pub(crate) seq: u64,
    pub(crate) topic: String,
    pub(crate) head: String,
}

/// Events in order, for all subscriptions to the same topics.
pub(crate) struct Parcel {
    events: Vec<Arc<Event>>,
    bytes: usize,
    /// All frames for the smallest subscription numbers, which most connections use.
    frames: [OnceLock<Bytes>; 2],
}

impl Event {
    /// The approximate size of a frame in bytes, precise enough to bound a queue.
    fn len(&self) -> usize {
        self.head.len() + 8
    }

    fn put(&self, number: u32, out: &mut Vec<u8>) {
        put_text(out, &[self.head.as_bytes(), number.to_string().as_bytes(), b"\"}}"]);
    }
}

impl Parcel {
    pub(crate) fn new(events: Vec<Arc<Event>>) -> Arc<Self> {
        let bytes = events.iter().map(|event| event.len()).sum();
        Arc::new(Self { events, bytes, frames: Default::default() })
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The sequence number of the last event.
    pub(crate) fn newest(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }

    /// The size of the first `count` events in bytes.
    pub(crate) fn bytes(&self, count: usize) -> usize {
        if count >= self.events.len() {
            return self.bytes;
        }
        self.events.iter().take(count).map(|event| event.len()).sum()
    }

    /// The number of leading events that fit into this many messages and bytes.
    pub(crate) fn fitting(&self, messages: usize, bytes: usize) -> usize {
        if self.events.len() <= messages && self.bytes <= bytes {
            return self.events.len();
        }
        let mut taken = 0;
        let fits = |event: &&Arc<Event>| {
            taken += event.len();
            taken <= bytes
        };
        self.events.iter().take(messages).take_while(fits).count()
    }

    /// The frames of the first `count` events, for the subscription of this number.
    pub(crate) fn frames(&self, number: u32, count: usize) -> Bytes {
        let made = || {
            let mut frames = Vec::with_capacity(self.bytes);
            self.events.iter().take(count).for_each(|event| event.put(number, &mut frames));
            Bytes::from(frames)
        };
        let shared = usize::try_from(number).ok().and_then(|number| self.frames.get(number.wrapping_sub(1)));
        match shared {
            Some(frames) if count == self.events.len() => frames.get_or_init(made).clone(),
            _ => made(),
        }
    }
}
