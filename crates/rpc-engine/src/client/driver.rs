//! The task that owns a client's socket.

use std::borrow::Cow;
use std::collections::HashMap;
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::socket::{Connector, Socket, handshake};
use super::{CallError, ClientEvent, ClientOptions};
use crate::events::{Cursor, Subscribed};
use crate::wire::RpcError;

/// The number of pending requests at which abandoned entries are removed.
const PENDING: usize = 256;

type Answer<T> = oneshot::Sender<Result<T, CallError>>;

/// A request from a handle to the driver.
pub(super) enum Command {
    Call { method: String, params: Box<RawValue>, answer: Answer<Box<RawValue>> },
    Subscribe { topics: Vec<String>, answer: Answer<NewSubscription> },
    Unsubscribe { number: u64 },
}

/// A subscription accepted by the server.
pub(super) struct NewSubscription {
    pub(super) number: u64,
    pub(super) events: mpsc::Receiver<ClientEvent>,
}

/// The purpose of a request that is waiting for its reply.
enum Pending {
    Call(Answer<Box<RawValue>>),
    Subscribe { topics: Vec<String>, answer: Answer<NewSubscription> },
    Resume { number: u64 },
    Unsubscribe,
}

/// A client-side subscription. It outlives the connection.
struct Listener {
    topics: Vec<String>,
    server_id: String,
    cursor: Cursor,
    events: mpsc::Sender<ClientEvent>,
    missed: u64,
}

pub(super) struct Driver {
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    connector: Option<Connector>,
    options: ClientOptions,
    pending: HashMap<u64, Pending>,
    listeners: HashMap<u64, Listener>,
    last_number: u64,
    last_message: Instant,
    /// True once all handles have been dropped, so no further command can arrive.
    no_handles: bool,
}

enum Step {
    Message(Message),
    Command(Command),
    Lost,
    NoHandles,
}

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventParams {
    subscription_id: String,
    topic: String,
    seq: u64,
    at: i64,
    #[serde(default)]
    data: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LaggedParams {
    subscription_id: String,
    missed: u64,
    seq: u64,
}

#[derive(Serialize)]
struct SubscribeParams<'a> {
    topics: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<&'a Cursor>,
}

impl Driver {
    pub(super) fn new(
        socket: Socket,
        commands: mpsc::Receiver<Command>,
        connector: Option<Connector>,
        options: ClientOptions,
    ) -> Self {
        Self {
            socket,
            commands,
            connector,
            options,
            pending: HashMap::new(),
            listeners: HashMap::new(),
            last_number: 0,
            last_message: Instant::now(),
            no_handles: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.step().await {
                Step::Message(Message::Text(text)) => self.receive(&text),
                Step::Message(_) => {}
                Step::Command(command) => self.perform(command),
                Step::NoHandles => break,
                Step::Lost => {
                    self.pending.clear();
                    if !self.reconnect().await {
                        return;
                    }
                }
            }
        }
        let _ = self.socket.feed(Message::Close(None));
        let wait = self.options.limits.close_wait;
        let closing = async { while !matches!(self.step().await, Step::Lost) {} };
        let _ = tokio::time::timeout(wait, closing).await;
    }

    async fn step(&mut self) -> Step {
        let silence = tokio::time::sleep_until(self.last_message + self.options.limits.idle);
        let mut silence = std::pin::pin!(silence);
        let step = std::future::poll_fn(|cx| {
            if let Poll::Ready(next) = self.socket.poll_message(cx) {
                return Poll::Ready(next.map_or(Step::Lost, Step::Message));
            }
            // Commands are flushed one at a time: the next is taken only after the previous one has been written.
            if self.socket.is_flushed() && !self.no_handles {
                match self.commands.poll_recv(cx) {
                    Poll::Ready(Some(command)) => return Poll::Ready(Step::Command(command)),
                    Poll::Ready(None) => {
                        self.no_handles = true;
                        return Poll::Ready(Step::NoHandles);
                    }
                    Poll::Pending => {}
                }
            }
            silence.as_mut().poll(cx).map(|()| Step::Lost)
        });
        let step = step.await;
        self.last_message = if let Step::Message(_) = step { Instant::now() } else { self.last_message };
        step
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Call { method, params, answer } => self.send(&method, &params, Pending::Call(answer)),
            Command::Subscribe { topics, answer } => {
                let params = SubscribeParams { topics: &topics, since: None };
                match to_raw_value(&params) {
                    Ok(params) => {
                        let pending = Pending::Subscribe { topics, answer };
                        self.send(self.options.events.subscribe, &params, pending);
                    }
                    Err(error) => drop(answer.send(Err(CallError::Protocol(error.to_string())))),
                }
            }
            Command::Unsubscribe { number } => self.unsubscribe(number),
        }
    }

    fn send(&mut self, method: &str, params: &RawValue, pending: Pending) {
        #[derive(Serialize)]
        struct Request<'a> {
            jsonrpc: &'static str,
            id: u64,
            method: &'a str,
            params: &'a RawValue,
        }
        // Abandoned requests leave their entries behind. Remove them so that they do not accumulate if the server never
        // answers.
        if self.pending.len() >= PENDING {
            self.pending.retain(|_, pending| !matches!(pending, Pending::Call(answer) if answer.is_closed()));
        }
        self.last_number += 1;
        let id = self.last_number;
        if let Ok(text) = serde_json::to_string(&Request { jsonrpc: "2.0", id, method, params })
            && self.socket.feed(Message::Text(text.into())).is_ok()
        {
            self.pending.insert(id, pending);
        }
    }

    fn receive(&mut self, text: &str) {
        let Ok(incoming) = serde_json::from_str::<Incoming<'_>>(text) else { return };
        match (incoming.method.as_deref(), incoming.params, incoming.id) {
            (Some(method), Some(params), _) if method == self.options.events.event => self.event(params),
            (Some(method), Some(params), _) if method == self.options.events.lagged => self.lagged(params),
            (None, _, Some(Value::Number(id))) => {
                let pending = id.as_u64().and_then(|id| self.pending.remove(&id));
                let null = || to_raw_value(&()).map_err(|error| CallError::Protocol(error.to_string()));
                let result = match incoming.error {
                    Some(error) => Err(CallError::Rpc(error)),
                    None => incoming.result.map_or_else(null, |result| Ok(result.to_owned())),
                };
                if let Some(pending) = pending {
                    self.answer(pending, result);
                }
            }
            // An error without an id is about a message that the server could not parse, which may be any pending
            // request.
            (None, _, _) => {
                if let Some(error) = incoming.error {
                    for (_, pending) in std::mem::take(&mut self.pending) {
                        self.answer(pending, Err(CallError::Rpc(error.clone())));
                    }
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, pending: Pending, result: Result<Box<RawValue>, CallError>) {
        let subscribed = |result: Result<Box<RawValue>, CallError>| {
            serde_json::from_str::<Subscribed>(result?.get())
                .map_err(|_| CallError::Protocol("the result is not a subscription".to_owned()))
        };
        match pending {
            Pending::Call(answer) => drop(answer.send(result)),
            Pending::Subscribe { topics, answer } => match subscribed(result) {
                Err(error) => drop(answer.send(Err(error))),
                Ok(subscribed) => {
                    let (sender, events) = mpsc::channel(self.options.limits.outbound_messages.max(1));
                    self.last_number += 1;
                    let number = self.last_number;
                    let cursor = Cursor { epoch: subscribed.epoch, seq: subscribed.seq };
                    let server_id = subscribed.subscription_id;
                    let listener = Listener { topics, server_id, cursor, events: sender, missed: 0 };
                    self.listeners.insert(number, listener);
                    if answer.send(Ok(NewSubscription { number, events })).is_err() {
                        self.unsubscribe(number);
                    }
                }
            },
            Pending::Resume { number } => match (subscribed(result), self.listeners.get_mut(&number)) {
                (Ok(subscribed), Some(listener)) => listener.resume(subscribed),
                // The server no longer accepts this subscription. Dropping it lets its reader see the end.
                _ => drop(self.listeners.remove(&number)),
            },
            Pending::Unsubscribe => {}
        }
    }

    fn event(&mut self, params: &RawValue) {
        let Ok(event) = serde_json::from_str::<EventParams>(params.get()) else { return };
        let Some((number, listener)) = self.listener(&event.subscription_id) else { return };
        listener.cursor.seq = listener.cursor.seq.max(event.seq);
        let (topic, seq, at, data) = (event.topic, event.seq, event.at, event.data);
        let alive = listener.deliver(ClientEvent::Event { topic, seq, at, data }, seq, 1);
        if !alive {
            self.unsubscribe(number);
        }
    }

    fn lagged(&mut self, params: &RawValue) {
        let Ok(lagged) = serde_json::from_str::<LaggedParams>(params.get()) else { return };
        let Some((number, listener)) = self.listener(&lagged.subscription_id) else { return };
        let (missed, seq) = (lagged.missed, lagged.seq);
        listener.cursor.seq = listener.cursor.seq.max(seq);
        if !listener.deliver(ClientEvent::Lagged { missed, seq }, seq, missed) {
            self.unsubscribe(number);
        }
    }

    fn listener(&mut self, server_id: &str) -> Option<(u64, &mut Listener)> {
        let mut listeners = self.listeners.iter_mut();
        listeners.find(|(_, listener)| listener.server_id == server_id).map(|(number, l)| (*number, l))
    }

    fn unsubscribe(&mut self, number: u64) {
        if let Some(listener) = self.listeners.remove(&number)
            && let Ok(params) = to_raw_value(&serde_json::json!({"subscriptionId": listener.server_id}))
        {
            self.send(self.options.events.unsubscribe, &params, Pending::Unsubscribe);
        }
    }

    /// Reconnects, retrying until it succeeds or the time limit expires. Returns false if the client must stop.
    async fn reconnect(&mut self) -> bool {
        let Some(connector) = self.connector.clone() else { return false };
        let deadline = Instant::now() + self.options.reconnect_for;
        let mut pause = Duration::from_millis(50);
        while !self.commands.is_closed() {
            let attempt = async { handshake(connector().await?, &self.options).await };
            if let Ok(Ok(socket)) = tokio::time::timeout_at(deadline, attempt).await {
                self.socket = socket;
                self.last_message = Instant::now();
                self.resume_all();
                return true;
            }
            if Instant::now() + pause >= deadline {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        false
    }

    fn resume_all(&mut self) {
        let numbers: Vec<u64> = self.listeners.keys().copied().collect();
        for number in numbers {
            let Some(listener) = self.listeners.get_mut(&number) else { continue };
            listener.server_id.clear();
            let params = SubscribeParams { topics: &listener.topics, since: Some(&listener.cursor) };
            if let Ok(params) = to_raw_value(&params) {
                self.send(self.options.events.subscribe, &params, Pending::Resume { number });
            }
        }
    }
}

impl Listener {
    /// Delivers a notification that represents `events` events. Returns false if the receiver has been dropped. Events
    /// that do not fit are counted and reported later.
    fn deliver(&mut self, event: ClientEvent, seq: u64, events: u64) -> bool {
        if self.missed > 0 {
            let newest = seq.saturating_sub(1);
            match self.events.try_send(ClientEvent::Lagged { missed: self.missed, seq: newest }) {
                Ok(()) => self.missed = 0,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.missed += events;
                    return true;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            }
        }
        match self.events.try_send(event) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.missed += events;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Applies the reply to a renewed subscription. Replayed events follow and advance the cursor, so the cursor jumps
    /// to the newest event only if the epoch changed or events were lost.
    fn resume(&mut self, subscribed: Subscribed) {
        self.server_id = subscribed.subscription_id;
        if subscribed.lagged {
            self.cursor = Cursor { epoch: subscribed.epoch, seq: subscribed.seq };
        }
        let seq = subscribed.seq;
        self.deliver(
            ClientEvent::Reconnected { lagged: subscribed.lagged },
            seq,
            u64::from(subscribed.lagged),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::EventNames;

    #[tokio::test]
    async fn pending_requests_stay_bounded_when_the_server_never_answers() {
        let names = EventNames {
            event: "event",
            lagged: "lagged",
            subscribe: "subscribe",
            unsubscribe: "unsubscribe",
        };
        let (stream, _server) = tokio::io::duplex(64);
        let (_commands, inbox) = mpsc::channel(1);
        let options = ClientOptions::new("localhost", "/", names);
        let mut driver = Driver::new(Socket::upgraded(stream).await, inbox, None, options);
        for _ in 0..3 * PENDING {
            let (answer, _gave_up) = oneshot::channel();
            let params = to_raw_value(&()).unwrap();
            driver.perform(Command::Call { method: "method".to_owned(), params, answer });
        }
        assert!(driver.pending.len() <= PENDING, "{}", driver.pending.len());
    }
}
