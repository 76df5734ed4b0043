//! The event broker: topics, sequence numbers, a ring buffer of recent events, and the subscribers to each topic.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;

use super::batch::{Event, EventBatch, MAX_BATCH_EVENTS};
use super::mailbox::{Gap, Mailbox, Subscriber};
use super::subscriptions::Cursor;
use crate::wire::{RpcError, put_text_frame};

/// The names of the two notifications sent by the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMethods {
    /// The notification that carries one event.
    pub event: &'static str,
    /// The notification that reports lost events.
    pub lagged: &'static str,
}

/// The configuration of a [`Broker`].
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The name of this run. A sequence number is valid only within its epoch.
    pub epoch: String,
    /// The number of events retained for subscribers that reconnect.
    pub keep: usize,
    /// The names of the notifications.
    pub methods: EventMethods,
}

/// An event to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The topic of the event.
    pub topic: String,
    /// The event data. It must not contain a secret, because every client allowed to subscribe receives it.
    pub data: Option<Value>,
}

/// A registered subscription.
pub(super) struct Registration {
    pub(super) number: u32,
    /// The sequence number of the newest event.
    pub(super) seq: u64,
    /// True if events after the cursor have been lost.
    pub(super) lagged: bool,
}

/// Delivers events to subscribers. Cheap to clone; all clones are handles to the same broker.
#[derive(Clone)]
pub struct Broker(Arc<SharedBroker>);

struct SharedBroker {
    config: BrokerConfig,
    state: Mutex<BrokerState>,
}

#[derive(Default)]
struct BrokerState {
    seq: u64,
    ring: VecDeque<Arc<Event>>,
    exact: HashMap<String, Vec<Arc<Subscriber>>>,
    prefixes: BTreeMap<String, Vec<Arc<Subscriber>>>,
}

/// The encoded text of an event that has no sequence number yet, split at the position of the number.
struct UnnumberedEvent {
    topic: String,
    front: String,
    back: String,
}

impl Broker {
    /// Creates a broker whose first event has the sequence number 1.
    pub fn new(config: BrokerConfig) -> Self {
        Self(Arc::new(SharedBroker { config, state: Mutex::default() }))
    }

    /// The epoch of this run.
    pub fn epoch(&self) -> &str {
        &self.0.config.epoch
    }

    /// The sequence number of the newest event, or 0 before the first event.
    pub fn seq(&self) -> u64 {
        self.state().seq
    }

    /// Assigns a sequence number to an event, retains the event, queues it for every subscriber, and returns the
    /// number. Never waits for a client: a subscriber whose queue is full is later told how many events it missed.
    /// `at_ms` is in Unix milliseconds. `data` must not contain a secret, because every client allowed to subscribe
    /// receives it.
    pub fn publish(&self, topic: &str, at_ms: i64, data: Option<Value>) -> u64 {
        self.publish_all(at_ms, [NewEvent { topic: topic.to_owned(), data }])
    }

    /// Publishes events that belong together, such as all changes of one transaction. Subscribers are woken once, after
    /// the last event is queued, so each of them is written to once rather than once per event. Returns the newest
    /// sequence number.
    pub fn publish_all(&self, at_ms: i64, events: impl IntoIterator<Item = NewEvent>) -> u64 {
        let encoded: Vec<_> = events.into_iter().map(|event| self.encode(event, at_ms)).collect();
        let mut state = self.state();
        let events: Vec<Arc<Event>> =
            encoded.into_iter().map(|event| state.publish(event, self.0.config.keep)).collect();
        let mut reached = Vec::new();
        for events in events.chunks(MAX_BATCH_EVENTS) {
            state.deliver(events, &mut reached);
        }
        for mailbox in reached {
            mailbox.waker.wake();
        }
        state.seq
    }

    fn encode(&self, NewEvent { topic, data }: NewEvent, at_ms: i64) -> UnnumberedEvent {
        let data = data.map_or_else(String::new, |data| format!(r#","data":{data}"#));
        UnnumberedEvent {
            front: format!(
                r#"{{"jsonrpc":"2.0","method":{},"params":{{"topic":{},"seq":"#,
                json_string(self.0.config.methods.event),
                json_string(&topic)
            ),
            back: format!(r#","at":{at_ms}{data},"subscriptionId":"s"#),
            topic,
        }
    }

    /// Returns whether any connection is subscribed to a topic, by its name or by a prefix of it.
    pub fn has_subscriber(&self, topic: &str) -> bool {
        let state = self.state();
        state.exact.contains_key(topic)
            || state.prefixes.keys().any(|prefix| topic.starts_with(prefix.as_str()))
    }

    /// Registers a subscription, replays missed events and reads the newest sequence number in one step, so no event is
    /// lost or duplicated in between.
    pub(super) fn subscribe(
        &self,
        mailbox: &Arc<Mailbox>,
        request: u64,
        topics: Vec<String>,
        since: Option<Cursor>,
    ) -> Result<Registration, RpcError> {
        let mut state = self.state();
        let subscriber = mailbox.add(request, topics)?;
        let replay = match since {
            None => Some(Vec::new()),
            Some(since) if since.epoch == self.0.config.epoch => state.missed(since.seq, &subscriber.topics),
            Some(_) => None,
        };
        let lagged = replay.is_none();
        for events in replay.unwrap_or_default().chunks(MAX_BATCH_EVENTS) {
            mailbox.push(subscriber.number, &EventBatch::new(events.to_vec()));
        }
        state.register(&subscriber);
        Ok(Registration { number: subscriber.number, seq: state.seq, lagged })
    }

    /// Removes a subscription. Returns false if the connection has no subscription with that number.
    pub(super) fn unsubscribe(&self, mailbox: &Mailbox, number: u32) -> bool {
        let mut state = self.state();
        let Some(subscriber) = mailbox.remove(number) else { return false };
        state.unregister(&subscriber);
        true
    }

    /// Removes all subscriptions of a connection that has ended.
    pub(super) fn unsubscribe_all(&self, mailbox: &Mailbox) {
        for subscriber in mailbox.close() {
            self.state().unregister(&subscriber);
        }
    }

    /// Encodes the notification of lost events as a frame.
    pub(super) fn lagged_frame(&self, Gap { number, missed, seq }: &Gap) -> Bytes {
        let method = json_string(self.0.config.methods.lagged);
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":{method},"params":{{"subscriptionId":"s{number}","missed":{missed},"seq":{seq}}}}}"#
        );
        let mut frame = Vec::new();
        put_text_frame(&mut frame, &[text.as_bytes()]);
        frame.into()
    }

    fn state(&self) -> MutexGuard<'_, BrokerState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Broker")
            .field("config", &self.0.config)
            .field("seq", &state.seq)
            .field("subscribed_topics", &(state.exact.len() + state.prefixes.len()))
            .finish_non_exhaustive()
    }
}

impl BrokerState {
    /// Assigns a sequence number to an event and retains the event.
    fn publish(&mut self, event: UnnumberedEvent, keep: usize) -> Arc<Event> {
        let UnnumberedEvent { topic, front, back } = event;
        self.seq += 1;
        let seq = self.seq;
        let event = Arc::new(Event { seq, topic, head: format!("{front}{seq}{back}") });
        if keep > 0 {
            if self.ring.len() >= keep {
                self.ring.pop_front();
            }
            self.ring.push_back(event.clone());
        }
        event
    }

    /// Queues events for every subscriber to their topics, and adds each mailbox that received some to `reached`.
    fn deliver<'a>(&'a self, events: &[Arc<Event>], reached: &mut Vec<&'a Mailbox>) {
        let newest = events.last().map_or(0, |event| event.seq);
        let topics: BTreeSet<&str> = events.iter().map(|event| event.topic.as_str()).collect();
        let exact = topics.iter().filter_map(|topic| self.exact.get(*topic));
        let covers =
            |prefix: &str| topics.range(prefix..).next().is_some_and(|topic| topic.starts_with(prefix));
        let prefixed =
            self.prefixes.iter().filter(|(prefix, _)| covers(prefix)).map(|(_, listeners)| listeners);
        let mut batches: BTreeMap<&[String], Arc<EventBatch>> = BTreeMap::new();
        for subscriber in exact.chain(prefixed).flatten() {
            if subscriber.last_seq.swap(newest, Ordering::Relaxed) == newest {
                continue;
            }
            let batch = batches.entry(&subscriber.topics).or_insert_with_key(|topics| {
                let wanted = |event: &&Arc<Event>| is_wanted(event, topics);
                EventBatch::new(events.iter().filter(wanted).cloned().collect())
            });
            subscriber.mailbox.push(subscriber.number, batch);
            reached.push(&subscriber.mailbox);
        }
    }

    /// Returns the retained events after `seq` that match, oldest first, or `None` if some may have been lost.
    fn missed(&self, seq: u64, topics: &[String]) -> Option<Vec<Arc<Event>>> {
        if seq > self.seq {
            return None;
        }
        let oldest = self.ring.front().map_or(self.seq + 1, |event| event.seq);
        if seq + 1 < oldest {
            return None;
        }
        let wanted = |event: &&Arc<Event>| event.seq > seq && is_wanted(event, topics);
        Some(self.ring.iter().filter(wanted).cloned().collect())
    }

    fn register(&mut self, subscriber: &Arc<Subscriber>) {
        for topic in &subscriber.topics {
            let listeners = match topic.strip_suffix('*') {
                Some(prefix) => self.prefixes.entry(prefix.to_owned()).or_default(),
                None => self.exact.entry(topic.clone()).or_default(),
            };
            listeners.push(subscriber.clone());
        }
    }

    fn unregister(&mut self, gone: &Arc<Subscriber>) {
        let is_empty_without = |listeners: &mut Vec<Arc<Subscriber>>| {
            listeners.retain(|subscriber| !Arc::ptr_eq(subscriber, gone));
            listeners.is_empty()
        };
        for topic in &gone.topics {
            match topic.strip_suffix('*') {
                Some(prefix) if self.prefixes.get_mut(prefix).is_some_and(is_empty_without) => {
                    self.prefixes.remove(prefix);
                }
                None if self.exact.get_mut(topic).is_some_and(is_empty_without) => {
                    self.exact.remove(topic);
                }
                _ => {}
            }
        }
    }
}

/// Returns whether a subscribed topic (an exact name, or a prefix ending in `*`) matches an event's topic.
fn matches(subscribed: &str, topic: &str) -> bool {
    subscribed.strip_suffix('*').map_or(subscribed == topic, |prefix| topic.starts_with(prefix))
}

fn is_wanted(event: &Event, topics: &[String]) -> bool {
    topics.iter().any(|topic| matches(topic, &event.topic))
}

fn json_string(text: &str) -> String {
    Value::from(text).to_string()
}
