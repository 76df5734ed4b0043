//! A client: typed calls, and subscriptions that survive a reconnect.
//!
//! One task owns the socket and ends when the last handle is dropped. Handles send it commands over a bounded queue.
//!
//! The room may use `wire`, and of `events` and `methods` only the types that a client sends or receives. Everything that a
//! server alone needs must not be in it.

mod driver;
mod socket;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::methods::Params;
use crate::wire::{Limits, RpcError};
use driver::{Command, Driver, NewSubscription};
use socket::{Connector, Link, handshake};

/// The number of commands that wait for the client's task.
const COMMANDS: usize = 64;

/// A connection to a server. Cheap to clone; the connection closes when the last clone and subscription are gone.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    timeout: Duration,
    /// Tracks the task that owns the socket.
    task: TaskTracker,
}

/// A bearer token. `Debug` does not show it.
#[derive(Clone)]
pub struct BearerToken(String);

impl<T: Into<String>> From<T> for BearerToken {
    fn from(token: T) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// The options of a connection.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The `Host` header.
    pub host: String,
    /// The path of the upgrade request, with its leading slash.
    pub path: String,
    /// The bearer token, sent as `Authorization: Bearer`.
    pub bearer: Option<BearerToken>,
    /// The server's names for the event methods.
    pub events: EventNames,
    /// The limits of the client. `message_bytes` and `frame_bytes` bound the messages that are accepted.
    /// `outbound_messages` bounds the events that wait for their reader. `idle` is the silence after which the
    /// connection counts as lost.
    pub limits: Limits,
    /// Longest time that a call or the handshake may take.
    pub timeout: Duration,
    /// Longest time that a client with a connector tries to reconnect.
    pub reconnect_for: Duration,
}

impl ClientOptions {
    /// Creates options with 60 s for a call, 60 s for a reconnect, and messages of up to 16 MiB.
    pub fn new(host: impl Into<String>, path: impl Into<String>, events: EventNames) -> Self {
        let limits = Limits { message_bytes: 16 << 20, frame_bytes: 16 << 20, ..Limits::default() };
        let minute = Duration::from_mins(1);
        let (host, path) = (host.into(), path.into());
        Self { host, path, bearer: None, events, limits, timeout: minute, reconnect_for: minute }
    }
}

/// The names of the event methods and notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventNames {
    /// Notification that carries one event.
    pub event: &'static str,
    /// Notification that reports lost events.
    pub lagged: &'static str,
    /// Method that subscribes: `{topics, since?}`.
    pub subscribe: &'static str,
    /// Method that unsubscribes: `{subscriptionId}`.
    pub unsubscribe: &'static str,
}

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server refused the handshake with this HTTP status: 401 for the token, 403 for the host or origin.
    #[error("the server refused the connection with HTTP status {0}")]
    Refused(u16),
    /// The stream failed.
    #[error("the connection failed; check that the server is running")]
    Io(#[from] io::Error),
    /// The other side does not speak WebSocket, or the options cannot be written as HTTP.
    #[error("the WebSocket handshake failed: {0}")]
    Handshake(String),
    /// The handshake took too long.
    #[error("the server did not finish the WebSocket handshake in time")]
    Timeout,
}

/// The reason why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server answered with an error.
    #[error("{0}")]
    Rpc(RpcError),
    /// The connection ended before the answer was received. It is not known whether the call took effect.
    #[error("the connection closed before the answer was received")]
    Closed,
    /// The answer was not received in time. It is not known whether the call took effect.
    #[error("the server did not answer in time")]
    Timeout,
    /// The parameters are not JSON, or the answer does not have the type that the method promises.
    #[error("the server and the client do not agree on the method: {0}")]
    Protocol(String),
}

/// An item that a subscription delivers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// One event.
    Event {
        /// The topic of the event.
        topic: String,
        /// The sequence number within the epoch.
        seq: u64,
        /// The time of the event, in Unix milliseconds.
        at: i64,
        /// The data of the event, defined by the server.
        data: Option<Value>,
    },
    /// Events were lost in the queue of the server or of this client. The state has to be fetched again.
    Lagged {
        /// The number of lost events.
        missed: u64,
        /// The sequence number of the newest lost event.
        seq: u64,
    },
    /// The connection was lost and has been restored.
    Reconnected {
        /// True if events were lost meanwhile, so that the state has to be fetched again.
        lagged: bool,
    },
}

/// A connected stream, and the bearer token to use on it.
#[derive(Debug)]
pub struct Dialed<S> {
    /// The stream.
    pub stream: S,
    /// The token. A restarted server may have a new one.
    pub bearer: Option<BearerToken>,
}

/// A live subscription. Dropping it ends the subscription.
pub struct Subscription {
    events: mpsc::Receiver<ClientEvent>,
    commands: mpsc::Sender<Command>,
    number: u64,
}

impl Client {
    /// Does the handshake on a stream that is already connected. The client does not reconnect: it ends with the
    /// stream.
    ///
    /// # Errors
    /// [`ClientError`] when the server refuses the handshake, does not answer it in time, or the stream fails.
    pub async fn connect<S>(stream: S, options: ClientOptions) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let link = Link { stream: Box::new(stream), bearer: options.bearer.clone() };
        Self::start(link, None, options).await
    }

    /// Connects through `dial`, and reconnects whenever the connection is lost. Subscriptions continue where they
    /// stopped.
    ///
    /// # Errors
    /// As [`Self::connect`], and [`ClientError::Io`] when `dial` fails.
    pub async fn connect_with<F, Fut, S>(dial: F, options: ClientOptions) -> Result<Self, ClientError>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Dialed<S>>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connector: Connector = Arc::new(move || {
            let dialing = dial();
            Box::pin(async move {
                let Dialed { stream, bearer } = dialing.await?;
                Ok(Link { stream: Box::new(stream), bearer })
            })
        });
        let link =
            tokio::time::timeout(options.timeout, connector()).await.map_err(|_| ClientError::Timeout)??;
        Self::start(link, Some(connector), options).await
    }

    async fn start(
        link: Link,
        connector: Option<Connector>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let socket = handshake(link, &options).await?;
        let timeout = options.timeout;
        let (commands, inbox) = mpsc::channel(COMMANDS);
        // The task ends when the connection ends for good or the last sender of its inbox is dropped.
        let task = TaskTracker::new();
        task.spawn(Driver::new(socket, inbox, connector, options).run());
        task.close();
        Ok(Self { commands, timeout, task })
    }

    /// Calls a method by its request type.
    ///
    /// # Errors
    /// [`CallError`] when the server answers with an error or with another type, when the connection closes before the
    /// answer, or when there is no answer in time.
    pub async fn call<P>(&self, params: &P) -> Result<P::Result, CallError>
    where
        P: Params + Serialize,
        P::Result: DeserializeOwned,
    {
        self.request(P::METHOD, params).await
    }

    /// Calls a method by name.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_raw(&self, method: &str, params: &impl Serialize) -> Result<Value, CallError> {
        self.request(method, params).await
    }

    /// Subscribes to topics: exact names, or prefixes that end in `*`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn subscribe(
        &self,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Subscription, CallError> {
        let topics = topics.into_iter().map(Into::into).collect();
        let (answer, answered) = oneshot::channel();
        let command = Command::Subscribe { topics, answer };
        let NewSubscription { number, events } = self.exchange(command, answered).await?;
        Ok(Subscription { events, commands: self.commands.clone(), number })
    }

    /// Waits until the connection has ended for good and the client's task with it.
    pub async fn closed(&self) {
        self.task.wait().await;
    }

    async fn request<R: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<R, CallError> {
        let params = to_raw_value(params).map_err(|error| CallError::Protocol(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        let command = Command::Call { method: method.to_owned(), params, answer };
        let result: Box<RawValue> = self.exchange(command, answered).await?;
        // serde's messages quote values and a result may hold a secret, so only the position is reported.
        serde_json::from_str(result.get()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            CallError::Protocol(format!(
                "the result of {method} has another type at line {line} column {column}"
            ))
        })
    }

    async fn exchange<T>(
        &self,
        command: Command,
        answered: oneshot::Receiver<Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let exchange = async {
            self.commands.send(command).await.map_err(|_| CallError::Closed)?;
            answered.await.unwrap_or(Err(CallError::Closed))
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(CallError::Timeout))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("closed", &self.commands.is_closed()).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Returns the next event, or `None` when the connection has ended for good.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.events.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // If the queue is full, the driver notices the end at the next event, whose receiver is gone.
        let _ = self.commands.try_send(Command::Unsubscribe { number: self.number });
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("number", &self.number).finish_non_exhaustive()
    }
}
