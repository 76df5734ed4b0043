//! The subscriptions of one connection, as used by its calls and its task.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::broker::Broker;
use super::mailbox::{Mailbox, Notice};
use crate::wire::{Limits, RpcError};

/// A position in the event stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cursor {
    /// The epoch of the daemon that numbered the event. Each start of the daemon begins a new epoch.
    pub epoch: String,
    /// The sequence number of the last event that the client has seen.
    pub seq: u64,
}

/// The start of a new subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed {
    /// The id of the subscription within the connection.
    pub subscription_id: String,
    /// The epoch of the broker.
    pub epoch: String,
    /// The newest sequence number at the time of subscribing. Replayed events are never newer.
    pub seq: u64,
    /// True if events after the given cursor have been lost, in which case the client must fetch everything again.
    pub lagged: bool,
}

/// A connection's mailbox and the broker that fills it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Subscriptions {
    broker: Broker,
    mailbox: Arc<Mailbox>,
    closed: CancellationToken,
}

impl Subscriptions {
    pub(crate) fn new(broker: Broker, limits: Arc<Limits>) -> Self {
        Self { broker, mailbox: Mailbox::new(limits), closed: CancellationToken::new() }
    }

    /// Adds a subscription and holds its events until the reply to `request` is queued.
    pub(crate) fn subscribe(
        &self,
        request: u64,
        topics: Vec<String>,
        since: Option<Cursor>,
    ) -> Result<Subscribed, RpcError> {
        check_topics(&topics, self.mailbox.limits())?;
        let subscription = self.broker.subscribe(&self.mailbox, request, topics, since)?;
        Ok(Subscribed {
            subscription_id: format!("s{}", subscription.number),
            epoch: self.broker.epoch().to_owned(),
            seq: subscription.seq,
            lagged: subscription.lagged,
        })
    }

    /// Removes a subscription. Returns false if the connection has no subscription with that id.
    pub(crate) fn unsubscribe(&self, subscription_id: &str) -> bool {
        let number = subscription_id.strip_prefix('s').and_then(|number| number.parse().ok());
        number.is_some_and(|number| self.broker.unsubscribe(&self.mailbox, number))
    }

    /// Releases the held events of subscriptions made by `request`.
    pub(crate) fn reply_queued(&self, request: u64) {
        self.mailbox.release(request);
    }

    /// Removes the subscriptions made by `request`, which failed.
    pub(crate) fn call_failed(&self, request: u64) {
        for number in self.mailbox.held_by(request) {
            self.broker.unsubscribe(&self.mailbox, number);
        }
    }

    /// Registers the waker to call when frames are available.
    pub(crate) fn register(&self, waker: &Waker) {
        self.mailbox.waker.register(waker);
    }

    /// Takes the next frames to write, until `bytes` is reached or none is left.
    pub(crate) fn take_frames(&self, bytes: usize) -> Vec<Bytes> {
        let encode = |notice: Notice| match notice {
            Notice::Events(delivery) => delivery.batch.frames(delivery.number, delivery.count),
            Notice::Lagged(gap) => self.broker.lagged_frame(&gap),
        };
        self.mailbox.take(bytes).into_iter().map(encode).collect()
    }

    /// Removes all subscriptions because the connection has ended.
    pub(crate) fn close(&self) {
        self.broker.unsubscribe_all(&self.mailbox);
        self.closed.cancel();
    }

    /// Returns the token that is cancelled when the connection has ended.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }
}

fn check_topics(topics: &[String], limits: &Limits) -> Result<(), RpcError> {
    if topics.is_empty() {
        return Err(RpcError::invalid_params("at least one topic is required", Some("topics")));
    }
    if topics.len() > limits.topics {
        let reason = format!("a subscription can have at most {} topics", limits.topics);
        return Err(RpcError::invalid_params(reason, Some("topics")));
    }
    for (at, topic) in topics.iter().enumerate() {
        if topic.is_empty() || topic.len() > limits.topic_bytes {
            let reason = format!("a topic must be 1 to {} bytes long", limits.topic_bytes);
            return Err(RpcError::invalid_params(reason, Some(&format!("topics[{at}]"))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{BrokerConfig, EventMethods, NewEvent};

    fn broker() -> Broker {
        let methods = EventMethods { event: "event", lagged: "lagged" };
        Broker::new(BrokerConfig { epoch: "e1".to_owned(), keep: 0, methods })
    }

    fn subscribed(broker: &Broker) -> Subscriptions {
        let subscriptions = Subscriptions::new(broker.clone(), Arc::new(Limits::default()));
        subscriptions.subscribe(1, vec!["a".to_owned()], None).unwrap();
        subscriptions.reply_queued(1);
        subscriptions
    }

    #[test]
    fn event_frames_are_encoded_once_for_all_subscribers() {
        let broker = broker();
        let subscribers = [(); 3].map(|()| subscribed(&broker));
        broker.publish("a", 5, None);
        let frames = subscribers.map(|subscriber| subscriber.take_frames(1));
        let [first, rest @ ..] = frames.each_ref().map(|frames| frames.first().unwrap());
        for other in rest {
            assert_eq!(first.as_ptr(), other.as_ptr());
        }
    }

    #[test]
    fn long_burst_is_encoded_in_several_batches() {
        let broker = broker();
        let subscriber = subscribed(&broker);
        broker.publish_all(5, (0..100).map(|_| NewEvent { topic: "a".to_owned(), data: None }));
        let pieces: Vec<usize> = std::iter::from_fn(|| subscriber.take_frames(1).pop())
            .map(|frames| frames.windows(9).filter(|bytes| bytes == b"\"jsonrpc\"").count())
            .collect();
        assert_eq!(pieces, [64, 36]);
    }
}
