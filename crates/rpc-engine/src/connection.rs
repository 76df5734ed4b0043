//! One WebSocket connection, driven on one task from its first frame to its goodbye.
//!
//! A turn reads what is there (up to a cap), polls the unfinished calls, writes what is ready with one flush, and
//! looks at the clock. Replies go before events, so the answer to a subscribing call always precedes its first event.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::calls::{Calls, Outbox};
use crate::engine::{Engine, Io, Shared};
use crate::error::RpcError;
use crate::limits::Limits;
use crate::mailbox::Peer;
use crate::meter::FrameMeter;
use crate::wire;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client said goodbye, with this code if any.
    ByClient(Option<u16>),
    /// The stream ended or failed without a goodbye.
    Lost,
    /// 1002: the client broke the WebSocket protocol.
    Protocol,
    /// 1003: a binary message.
    Binary,
    /// 1007: text that is not UTF-8.
    InvalidUtf8,
    /// 1008: a message in too many frames.
    TooManyFrames,
    /// 1009: a message or frame over its limit.
    TooLarge,
    /// 4008: silent for too long.
    Idle,
    /// 4013: it did not read what was written to it.
    Slow,
    /// 1001: the daemon is going away.
    Drained,
    /// The daemon's grace time ended first.
    Aborted,
}

impl Closed {
    /// The close code that was sent, or received from the client.
    pub fn code(self) -> Option<u16> {
        match self {
            Self::ByClient(code) => code,
            Self::Lost => None,
            Self::Protocol => Some(1002),
            Self::Binary => Some(1003),
            Self::InvalidUtf8 => Some(1007),
            Self::TooManyFrames => Some(1008),
            Self::TooLarge => Some(1009),
            Self::Idle => Some(4008),
            Self::Slow => Some(4013),
            Self::Drained | Self::Aborted => Some(1001),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByClient(_) => "closed by the client",
            Self::Lost => "connection lost",
            Self::Protocol => "protocol error",
            Self::Binary => "binary messages are not accepted",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::TooManyFrames => "too many frames in one message",
            Self::TooLarge => "message too large",
            Self::Idle => "idle",
            Self::Slow => "too slow",
            Self::Drained | Self::Aborted => "going away",
        })
    }
}

/// Idle connections are the common ones, and this buffer is most of what each of them costs.
const READ_BUFFER: usize = 4096;
/// Bytes fed before a flush; what is ready beyond it goes with the next one.
const WRITE_CHUNK: usize = 32 * 1024;

type Socket = WebSocketStream<FrameMeter<Box<dyn Io>>>;

pub(crate) struct Connection {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    socket: Socket,
    calls: Calls,
    out: Outbox,
    timer: Pin<Box<Sleep>>,
    last_ping: Instant,
    /// A flush that has begun and not ended, and when it first had to wait.
    flushing: bool,
    blocked_since: Option<Instant>,
}

impl Connection {
    pub(crate) async fn new(engine: &Engine, peer: Arc<Peer>, stream: Box<dyn Io>, leftover: Bytes) -> Self {
        let shared = engine.shared.clone();
        let limits = shared.limits();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(2 * WRITE_CHUNK)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        let stream = FrameMeter::new(stream, &leftover, limits.frames_per_message);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(now + limits.ping_every.min(limits.idle)));
        let calls = Calls::new(engine, Some(peer.clone()));
        let out = Outbox::default();
        Self { shared, peer, socket, calls, out, timer, last_ping: now, flushing: false, blocked_since: None }
    }

    /// Serves until the connection is over, then says why.
    pub(crate) async fn run(mut self) -> Closed {
        let closed = self.turns().await;
        self.peer.broker().forget(&self.peer);
        // Boxed, or a connection would carry all that its end needs for as long as it lives.
        Box::pin(self.end(closed)).await;
        closed
    }

    async fn turns(&mut self) -> Closed {
        let shared = self.shared.clone();
        let mut drain = std::pin::pin!(shared.drain.token.cancelled());
        let mut abort = std::pin::pin!(shared.abort.token.cancelled());
        let mut waker: Option<Waker> = None;
        std::future::poll_fn(|cx| {
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                // These only have to know whom to wake; the switches say what is on.
                let _ = (drain.as_mut().poll(cx), abort.as_mut().poll(cx));
                waker = Some(cx.waker().clone());
            }
            if shared.abort.is_on() {
                return Poll::Ready(Closed::Aborted);
            }
            self.poll_turn(cx, shared.drain.is_on())
        })
        .await
    }

    async fn end(self, closed: Closed) {
        let Self { shared, mut socket, calls, out, .. } = self;
        calls.abandon();
        // Nothing can be said to a client that has gone or does not listen, so the outcomes do not matter here.
        let deadline = Instant::now() + shared.limits().close_wait;
        let said = tokio::time::timeout_at(deadline, say_goodbye(&mut socket, out, closed)).await;
        if matches!(said, Ok(Ok(()))) {
            let listening = shared.abort.token.run_until_cancelled(last_words(socket.get_mut().inner()));
            let _ = tokio::time::timeout_at(deadline, listening).await;
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, draining: bool) -> Poll<Closed> {
        self.peer.waker.register(cx.waker());
        let was_full = self.out.is_full(self.limits());
        let more = match self.read_messages(cx, was_full) {
            Ok(more) => more,
            Err(closed) => return Poll::Ready(closed),
        };
        self.calls.poll_finished(cx, &mut self.out);
        if let Err(error) = self.poll_write(cx) {
            return Poll::Ready(why(&error, self.socket.get_ref().exceeded()));
        }
        if draining && self.calls.is_empty() && self.out.is_empty() && !self.flushing {
            return Poll::Ready(Closed::Drained);
        }
        if let Some(closed) = self.poll_clock(cx) {
            return Poll::Ready(closed);
        }
        let has_room_again = was_full && !self.out.is_full(self.limits());
        if more || has_room_again {
            // Others' sockets are looked at before the next turn of this connection: a wake-up alone would let it have
            // dozens of turns before that.
            let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }

    /// Takes messages until there are none or it is the others' turn; true when there may be more. A client that does
    /// not read its replies is not read from either.
    fn read_messages(&mut self, cx: &mut Context<'_>, is_full: bool) -> Result<bool, Closed> {
        if is_full {
            return Ok(false);
        }
        for _ in 0..self.limits().requests_per_turn {
            let message = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(None) => return Err(Closed::Lost),
                Poll::Ready(Some(Err(error))) => return Err(why(&error, self.socket.get_ref().exceeded())),
                Poll::Ready(Some(Ok(message))) => message,
            };
            match message {
                Message::Text(text) => self.calls.accept(&text, &mut self.out),
                Message::Binary(_) => return Err(Closed::Binary),
                Message::Close(frame) => return Err(Closed::ByClient(frame.map(|frame| frame.code.into()))),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
            if self.out.is_full(self.limits()) {
                // There may be more to read, and writing may make room for it within this turn.
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Feeds what is ready and flushes once for all of it. Nothing is fed while a flush waits, so what the socket
    /// holds is bounded.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), WsError> {
        loop {
            if self.flushing {
                match Pin::new(&mut self.socket).poll_flush(cx) {
                    Poll::Pending => {
                        self.blocked_since.get_or_insert_with(Instant::now);
                        return Ok(());
                    }
                    Poll::Ready(done) => done?,
                }
                self.flushing = false;
                self.blocked_since = None;
            }
            let mut fed = 0;
            while fed < WRITE_CHUNK
                && let Some(reply) = self.out.pop()
            {
                fed += reply.len();
                self.feed(Message::Text(reply))?;
            }
            for notice in self.peer.take(WRITE_CHUNK.saturating_sub(fed)) {
                self.feed(Message::Text(self.peer.frame(&notice)))?;
            }
            if !self.flushing {
                return Ok(());
            }
        }
    }

    fn feed(&mut self, message: Message) -> Result<(), WsError> {
        self.flushing = true;
        Pin::new(&mut self.socket).start_send(message)
    }

    /// Looks at the three deadlines when the timer fires, and sets it to the next one. It is not moved for every
    /// message; a timer that fires early finds nothing due and is set again.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Option<Closed> {
        let (idle, ping_every, write_timeout) =
            (self.limits().idle, self.limits().ping_every, self.limits().write_timeout);
        if let Some(since) = self.blocked_since
            && self.timer.deadline() > since + write_timeout
        {
            self.timer.as_mut().reset(since + write_timeout);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.blocked_since.is_some_and(|since| now >= since + write_timeout) {
                return Some(Closed::Slow);
            }
            let last_frame = self.socket.get_ref().last_frame();
            if now >= last_frame + idle {
                return Some(Closed::Idle);
            }
            if now >= last_frame.max(self.last_ping) + ping_every {
                self.last_ping = now;
                if !self.flushing && self.feed(Message::Ping(Bytes::new())).is_err() {
                    return Some(Closed::Lost);
                }
                cx.waker().wake_by_ref();
            }
            let ping_at = last_frame.max(self.last_ping) + ping_every;
            let blocked = self.blocked_since.map(|since| since + write_timeout);
            let next = ping_at.min(last_frame + idle);
            let next = blocked.map_or(next, |at| at.min(next));
            // Durations of zero must not turn this loop into a busy one.
            self.timer.as_mut().reset(next.max(now + Duration::from_millis(1)));
        }
        None
    }

    fn limits(&self) -> &Limits {
        self.shared.limits()
    }
}

/// What a failure of the socket means.
fn why(error: &WsError, too_many_frames: bool) -> Closed {
    match error {
        _ if too_many_frames => Closed::TooManyFrames,
        WsError::Capacity(_) => Closed::TooLarge,
        WsError::Utf8(_) => Closed::InvalidUtf8,
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Lost,
        WsError::Protocol(_) => Closed::Protocol,
        _ => Closed::Lost,
    }
}

/// Writes what is still owed, the close frame with its code, and the end of the stream, in this order.
async fn say_goodbye(socket: &mut Socket, mut out: Outbox, closed: Closed) -> Result<(), WsError> {
    match closed {
        Closed::Lost => return Err(WsError::ConnectionClosed),
        // The answer to the client's goodbye is queued already.
        Closed::ByClient(_) => socket.flush().await?,
        _ => {
            if closed == Closed::TooLarge {
                out.push(wire::error_reply(&RpcError::message_too_large(), None));
            }
            while let Some(reply) = out.pop() {
                socket.feed(Message::Text(reply)).await?;
            }
            let code = closed.code().unwrap_or(1011).into();
            let frame = CloseFrame { code, reason: closed.to_string().into() };
            socket.send(Message::Close(Some(frame))).await?;
        }
    }
    Ok(socket.get_mut().inner().shutdown().await?)
}

/// Reads on until the client has closed too: closing a TCP socket with unread bytes resets it, and then the client
/// loses what it was told.
async fn last_words(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
