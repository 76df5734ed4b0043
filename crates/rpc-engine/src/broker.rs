//! The event broker: topics, sequence numbers, a ring of recent events, and the subscribers of each topic.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::error::RpcError;
use crate::mailbox::{Peer, Subscriber};
use crate::method::{Cursor, Subscribed};
use crate::parcel::{Event, Parcel, TOGETHER};

/// The names of the two notifications that the engine sends.
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
    /// The name of this run. A sequence number is valid within its epoch only.
    pub epoch: String,
    /// The number of events kept for subscribers that reconnect.
    pub keep: usize,
    /// The names of the notifications.
    pub methods: EventMethods,
}

/// Delivers events to subscribers. Cheap to clone; every clone is the same broker.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    config: BrokerConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seq: u64,
    ring: VecDeque<Arc<Event>>,
    exact: HashMap<String, Vec<Arc<Subscriber>>>,
    prefixes: BTreeMap<String, Vec<Arc<Subscriber>>>,
}

/// An event that has no number yet: the text before the number and the text after it.
struct Draft {
    topic: String,
    front: String,
    back: String,
}

impl Broker {
    /// Creates a broker whose first event has the sequence number 1.
    pub fn new(config: BrokerConfig) -> Self {
        Self(Arc::new(Inner { config, state: Mutex::default() }))
    }

    /// The epoch of this run.
    pub fn epoch(&self) -> &str {
        &self.0.config.epoch
    }

    /// The sequence number of the newest event, or 0 before the first event.
    pub fn seq(&self) -> u64 {
        self.state().seq
    }

    /// Assigns a sequence number to an event, keeps the event and queues it for every subscriber. Returns the number.
    /// Never waits for a client: a subscriber whose queue is full is notified later of what it missed. `at_ms` is in
    /// Unix milliseconds. Every client that may subscribe receives `data`, so it must hold no secret.
    pub fn publish(&self, topic: &str, at_ms: i64, data: Option<Value>) -> u64 {
        self.publish_all(at_ms, [(topic.to_owned(), data)])
    }

    /// Publishes events that belong together, such as all changes of one transaction. Subscribers are woken after the
    /// last event is queued, so that each subscriber is written to once and not once for each event. Returns the newest
    /// number.
    pub fn publish_all(&self, at_ms: i64, events: impl IntoIterator<Item = (String, Option<Value>)>) -> u64 {
        let drafts: Vec<Draft> =
            events.into_iter().map(|(topic, data)| self.draft(topic, at_ms, data)).collect();
        let mut state = self.state();
        let published: Vec<Arc<Event>> =
            drafts.into_iter().map(|draft| state.publish(draft, self.0.config.keep)).collect();
        let mut told = Vec::new();
        for events in published.chunks(TOGETHER) {
            state.deliver(events, &mut told);
        }
        for peer in told {
            peer.waker.wake();
        }
        state.seq
    }

    fn draft(&self, topic: String, at_ms: i64, data: Option<Value>) -> Draft {
        let data = data.map_or_else(String::new, |data| format!(r#","data":{data}"#));
        Draft {
            front: format!(
                r#"{{"jsonrpc":"2.0","method":{},"params":{{"topic":{},"seq":"#,
                json_string(self.0.config.methods.event),
                json_string(&topic)
            ),
            back: format!(r#","at":{at_ms}{data},"subscriptionId":"s"#),
            topic,
        }
    }

    /// Registers a subscription, replays missed events and reads the newest number in one step, so that no event is
    /// lost or doubled between them.
    pub(crate) fn subscribe(
        &self,
        peer: &Arc<Peer>,
        request: u64,
        topics: Vec<String>,
        since: Option<Cursor>,
    ) -> Result<Subscribed, RpcError> {
        check_topics(&topics, peer)?;
        let mut state = self.state();
        let subscriber = peer.admit(request, topics)?;
        let replay = match since {
            None => Some(Vec::new()),
            Some(since) if since.epoch == self.0.config.epoch => state.missed(since.seq, &subscriber.topics),
            Some(_) => None,
        };
        let lagged = replay.is_none();
        for events in replay.unwrap_or_default().chunks(TOGETHER) {
            peer.push(subscriber.number, &Parcel::new(events.to_vec()));
        }
        state.register(&subscriber);
        Ok(Subscribed {
            subscription_id: format!("s{}", subscriber.number),
            epoch: self.0.config.epoch.clone(),
            seq: state.seq,
            lagged,
        })
    }

    /// Removes a subscription. Returns false when the connection has no subscription of that id.
    pub(crate) fn unsubscribe(&self, peer: &Peer, subscription_id: &str) -> bool {
        let number = subscription_id.strip_prefix('s').and_then(|number| number.parse().ok());
        number.is_some_and(|number| self.remove(peer, number))
    }

    /// Removes the subscriptions of a call that failed after making them.
    pub(crate) fn revoke(&self, peer: &Peer, request: u64) {
        for number in peer.held_by(request) {
            self.remove(peer, number);
        }
    }

    /// Removes all subscriptions of a connection that has ended.
    pub(crate) fn forget(&self, peer: &Peer) {
        for subscriber in peer.close() {
            self.state().unregister(&subscriber);
        }
    }

    fn remove(&self, peer: &Peer, number: u32) -> bool {
        let mut state = self.state();
        let Some(subscriber) = peer.dismiss(number) else { return false };
        state.unregister(&subscriber);
        true
    }

    pub(crate) fn lagged(&self, number: u32, missed: u64, seq: u64) -> String {
        let method = json_string(self.0.config.methods.lagged);
        format!(
            r#"{{"jsonrpc":"2.0","method":{method},"params":{{"subscriptionId":"s{number}","missed":{missed},"seq":{seq}}}}}"#
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Assigns a sequence number to an event and keeps the event.
    fn publish(&mut self, Draft { topic, front, back }: Draft, keep: usize) -> Arc<Event> {
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

    /// Queues events for every subscriber of their topics, and adds each peer that must be woken to `told`.
    fn deliver<'a>(&'a self, events: &[Arc<Event>], told: &mut Vec<&'a Peer>) {
        let newest = events.last().map_or(0, |event| event.seq);
        let topics: BTreeSet<&str> = events.iter().map(|event| event.topic.as_str()).collect();
        let exact = topics.iter().filter_map(|topic| self.exact.get(*topic));
        let covers =
            |prefix: &str| topics.range(prefix..).next().is_some_and(|topic| topic.starts_with(prefix));
        let prefixed =
            self.prefixes.iter().filter(|(prefix, _)| covers(prefix)).map(|(_, listeners)| listeners);
        let mut parcels: BTreeMap<&[String], Arc<Parcel>> = BTreeMap::new();
        for subscriber in exact.chain(prefixed).flatten() {
            if subscriber.last_seq.swap(newest, Ordering::Relaxed) == newest {
                continue;
            }
            let parcel = parcels.entry(&subscriber.topics).or_insert_with_key(|topics| {
                let wanted = |event: &&Arc<Event>| is_wanted(event, topics);
                Parcel::new(events.iter().filter(wanted).cloned().collect())
            });
            subscriber.peer.push(subscriber.number, parcel);
            told.push(&subscriber.peer);
        }
    }

    /// Returns the kept events after `seq` that match, oldest first, or `None` when some may be lost.
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

/// Returns whether a subscribed topic (exact, or a prefix ending in `*`) covers an event's topic.
fn matches(subscribed: &str, topic: &str) -> bool {
    subscribed.strip_suffix('*').map_or(subscribed == topic, |prefix| topic.starts_with(prefix))
}

fn is_wanted(event: &Event, topics: &[String]) -> bool {
    topics.iter().any(|topic| matches(topic, &event.topic))
}

fn check_topics(topics: &[String], peer: &Peer) -> Result<(), RpcError> {
    let limits = peer.limits();
    if topics.is_empty() {
        return Err(RpcError::invalid_params("at least one topic is needed", Some("topics")));
    }
    if topics.len() > limits.topics {
        let what = format!("at most {} topics in one subscription", limits.topics);
        return Err(RpcError::invalid_params(what, Some("topics")));
    }
    for (at, topic) in topics.iter().enumerate() {
        if topic.is_empty() || topic.len() > limits.topic_bytes {
            let what = format!("a topic has 1 to {} bytes", limits.topic_bytes);
            return Err(RpcError::invalid_params(what, Some(&format!("topics[{at}]"))));
        }
    }
    Ok(())
}

fn json_string(text: &str) -> String {
    Value::from(text).to_string()
}
