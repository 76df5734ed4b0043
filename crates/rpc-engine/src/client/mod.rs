//! A client: typed calls, and subscriptions that survive a reconnect.
//!
//! One task owns the socket and ends when the last handle is dropped. Handles send it commands over a bounded queue.
//!
//! The room may use `wire`, and only those types of `events` and `methods` that a client sends or receives. It must not
//! contain anything that only a server needs.

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

/// The capacity of the command queue to the client's task.
const COMMANDS: usize = 64;

/// A connection to a server. Cheap to clone. The connection closes when the last clone and the last subscription are
/// dropped.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    timeout: Duration,
    /// Tracks the task that owns the socket.
    task: TaskTracker,
}

/// A bearer token. Its `Debug` output hides the token.
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

/// Connection options.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The `Host` header.
    pub host: String,
    /// The path of the upgrade request, with its leading slash.
    pub path: String,
    /// The bearer token, sent as `Authorization: Bearer`.
    pub bearer: Option<BearerToken>,
    /// The names that the server uses for its event methods and notifications.
    pub events: EventNames,
    /// The client's limits. `message_bytes` and `frame_bytes` limit incoming messages, `outbound_messages` limits the
    /// events queued for each reader, and `idle` is how long the server may stay silent before the connection is
    /// considered lost.
    pub limits: Limits,
    /// The maximum duration of a call or of the handshake.
    pub timeout: Duration,
    /// The maximum time for which a client with a connector keeps trying to reconnect.
    pub reconnect_for: Duration,
}

impl ClientOptions {
    /// Creates options with a call timeout of 60 s, a reconnect limit of 60 s, and a message limit of 16 MiB.
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
    /// The notification that carries one event.
    pub event: &'static str,
    /// The notification that reports lost events.
    pub lagged: &'static str,
    /// The method that subscribes: `{topics, since?}`.
    pub subscribe: &'static str,
    /// The method that unsubscribes: `{subscriptionId}`.
    pub unsubscribe: &'static str,
}

/// An error from connecting to a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server rejected the handshake with this HTTP status: 401 for a bad token, 403 for a bad host or origin.
    #[error("the server rejected the connection with HTTP status {0}")]
    Refused(u16),
    /// The underlying stream failed.
    #[error("the connection failed; check that the server is running")]
    Io(#[from] io::Error),
    /// The peer does not speak WebSocket, or the options do not form a valid HTTP request.
    #[error("the WebSocket handshake failed: {0}")]
    Handshake(String),
    /// The handshake timed out.
    #[error("the WebSocket handshake timed out")]
    Timeout,
}

/// An error from a call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server returned an error.
    #[error("{0}")]
    Rpc(RpcError),
    /// The connection closed before the reply arrived. The call may or may not have taken effect.
    #[error("the connection closed before the reply arrived")]
    Closed,
    /// The call timed out. It may or may not have taken effect.
    #[error("the server did not answer in time")]
    Timeout,
    /// The parameters could not be encoded as JSON, or the result does not match the method's result type.
    #[error("the client and the server disagree about the method: {0}")]
    Protocol(String),
}

/// An item delivered by a subscription.
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
        /// The event data, defined by the server.
        data: Option<Value>,
    },
    /// Events were lost because the server's queue or this client's queue was full. Fetch the state again.
    Lagged {
        /// The number of lost events.
        missed: u64,
        /// The sequence number of the newest lost event.
        seq: u64,
    },
    /// The connection was lost and has been re-established.
    Reconnected {
        /// True if events were lost in the meantime, in which case the state must be fetched again.
        lagged: bool,
    },
}

/// A connected stream, and the bearer token to use on it.
#[derive(Debug)]
pub struct Dialed<S> {
    /// The stream.
    pub stream: S,
    /// The token. It may change when the server restarts.
    pub bearer: Option<BearerToken>,
}

/// A live subscription. Dropping it ends the subscription.
pub struct Subscription {
    events: mpsc::Receiver<ClientEvent>,
    commands: mpsc::Sender<Command>,
    number: u64,
}

impl Client {
    /// Performs the handshake on a connected stream. The client does not reconnect: it ends when the stream ends.
    ///
    /// # Errors
    /// [`ClientError`] if the server rejects the handshake, the handshake times out, or the stream fails.
    pub async fn connect<S>(stream: S, options: ClientOptions) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let link = Link { stream: Box::new(stream), bearer: options.bearer.clone() };
        Self::start(link, None, options).await
    }

    /// Connects by calling `dial`, and reconnects whenever the connection is lost. Subscriptions resume where they left
    /// off.
    ///
    /// # Errors
    /// As for [`Self::connect`], and [`ClientError::Io`] if `dial` fails.
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
        // The task ends when the connection ends for good or when the last sender of its command queue is dropped.
        let task = TaskTracker::new();
        task.spawn(Driver::new(socket, inbox, connector, options).run());
        task.close();
        Ok(Self { commands, timeout, task })
    }

    /// Calls a method, identified by its request type.
    ///
    /// # Errors
    /// [`CallError`] if the server returns an error, the result has the wrong type, the connection closes before the
    /// reply arrives, or the call times out.
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
    /// As for [`Self::call`].
    pub async fn call_raw(&self, method: &str, params: &impl Serialize) -> Result<Value, CallError> {
        self.request(method, params).await
    }

    /// Subscribes to topics. A topic is an exact name, or a prefix ending in `*`.
    ///
    /// # Errors
    /// As for [`Self::call`].
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

    /// Waits until the connection has ended for good and the client's task has finished.
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
        // serde's messages quote values and the result may contain a secret, so report only the position.
        serde_json::from_str(result.get()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            CallError::Protocol(format!(
                "the result of {method} has an unexpected type at line {line} column {column}"
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
        // If the queue is full, the driver notices the dropped receiver when it delivers the next event.
        let _ = self.commands.try_send(Command::Unsubscribe { number: self.number });
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("number", &self.number).finish_non_exhaustive()
    }
}
