//! The client side of a WebSocket: the handshake, and a combined read and write step.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{BearerToken, ClientError, ClientOptions};

pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// A connected stream and the token to use on it.
pub(super) struct Link {
    pub(super) stream: Box<dyn Io>,
    pub(super) bearer: Option<BearerToken>,
}

/// A function that opens a new connection.
pub(super) type Connector =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<Link>> + Send>> + Send + Sync>;

/// A WebSocket that keeps reading while a flush is pending. Otherwise, a server that stops reading until its replies
/// are read could deadlock with a client that stops reading until its requests are written.
pub(super) struct Socket {
    inner: WebSocketStream<Box<dyn Io>>,
    flushing: bool,
}

impl Socket {
    /// Queues a message. [`Socket::poll_message`] writes it.
    pub(super) fn feed(&mut self, message: Message) -> Result<(), WsError> {
        self.flushing = true;
        Pin::new(&mut self.inner).start_send(message)
    }

    /// Returns whether all queued messages have been written.
    pub(super) fn is_flushed(&self) -> bool {
        !self.flushing
    }

    /// Writes the queued messages and returns the next received message, or `None` if the connection has ended.
    pub(super) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.flushing {
            match Pin::new(&mut self.inner).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushing = false,
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => {}
            }
        }
        // A read error and a clean close are the same to the caller: no more messages will arrive.
        Pin::new(&mut self.inner).poll_next(cx).map(|next| next.and_then(Result::ok))
    }
}

/// Upgrades a stream to a WebSocket, subject to the configured timeout.
pub(super) async fn handshake(link: Link, options: &ClientOptions) -> Result<Socket, ClientError> {
    let mut request = Request::builder()
        .uri(format!("ws://{}{}", options.host, options.path))
        .header("Host", &options.host)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    if let Some(BearerToken(token)) = &link.bearer {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let request = request.body(()).map_err(|error| ClientError::Handshake(error.to_string()))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(64 * 1024)
        .max_message_size(Some(options.limits.message_bytes))
        .max_frame_size(Some(options.limits.frame_bytes));
    let upgrade = tokio_tungstenite::client_async_with_config(request, link.stream, Some(config));
    match tokio::time::timeout(options.timeout, upgrade).await {
        Err(_) => Err(ClientError::Timeout),
        Ok(Ok((inner, _))) => Ok(Socket { inner, flushing: false }),
        Ok(Err(WsError::Http(response))) => Err(ClientError::Refused(response.status().as_u16())),
        Ok(Err(WsError::Io(error))) => Err(ClientError::Io(error)),
        Ok(Err(error)) => Err(ClientError::Handshake(error.to_string())),
    }
}

#[cfg(test)]
impl Socket {
    /// Returns a socket that skips the handshake.
    pub(super) async fn upgraded(stream: tokio::io::DuplexStream) -> Self {
        let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
        let stream: Box<dyn Io> = Box::new(stream);
        Self { inner: WebSocketStream::from_raw_socket(stream, role, None).await, flushing: false }
    }
}
