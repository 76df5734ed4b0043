//! One WebSocket connection, driven on one task from its first frame to its close.
//!
//! A turn reads the received messages (up to a cap), polls the unfinished calls, writes what is ready with one flush,
//! and checks the deadlines. Replies go before events, so the answer to a subscribing call always precedes its first
//! event.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::calls::{Calls, Outbox};
use crate::engine::{Engine, Io, Shared};
use crate::error::RpcError;
use crate::limits::Limits;
use crate::mailbox::Peer;
use crate::socket::Socket;
use crate::wire;

/// The reason why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The client closed the connection, with this code if any.
    ByClient(Option<u16>),
    /// The stream ended or failed without a close frame.
    Lost,
    /// 1002: the client broke the WebSocket protocol.
    Protocol,
    /// 1003: the client sent a binary message.
    Binary,
    /// 1007: the client sent text that is not UTF-8.
    InvalidUtf8,
    /// 1008: the client sent a message in too many frames.
    TooManyFrames,
    /// 1009: a message or frame exceeded its limit.
    TooLarge,
    /// 4008: the client was silent for too long.
    Idle,
    /// 4013: the client did not read what was written to it.
    Slow,
    /// 1001: the daemon is shutting down.
    Drained,
    /// 1001: the daemon's grace time ended before the connection did.
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

/// Bytes queued before a flush. Anything beyond them is written with the next flush.
const WRITE_CHUNK: usize = 32 * 1024;

pub(crate) struct Connection {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    socket: Socket,
    calls: Calls,
    out: Outbox,
    timer: Pin<Box<Sleep>>,
    last_ping: Instant,
    /// The time when the flush in progress first had to wait.
    blocked_since: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(engine: &Engine, peer: Arc<Peer>, stream: Box<dyn Io>, leftover: Bytes) -> Self {
        let shared = engine.shared.clone();
        let limits = shared.limits();
        let socket = Socket::new(stream, leftover, limits);
        let now = Instant::now();
        let timer = Box::pin(tokio::time::sleep_until(now + limits.ping_every.min(limits.idle)));
        let calls = Calls::new(engine, Some(peer.clone()));
        let out = Outbox::default();
        Self { shared, peer, socket, calls, out, timer, last_ping: now, blocked_since: None }
    }

    /// Serves until the connection has ended. Returns the reason.
    pub(crate) async fn run(mut self) -> Closed {
        let closed = self.turns().await;
        self.peer.broker().forget(&self.peer);
        // Boxed: otherwise a connection would reserve the memory that its end needs for its whole life.
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
                // These futures only register the waker. The switches and the clock tell what has happened.
                let _ = (drain.as_mut().poll(cx), abort.as_mut().poll(cx), self.timer.as_mut().poll(cx));
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
        // The client may be gone or may not read, so the outcomes do not matter here.
        let deadline = Instant::now() + shared.limits().close_wait;
        let said = tokio::time::timeout_at(deadline, say_goodbye(&mut socket, out, closed)).await;
        if matches!(said, Ok(Ok(()))) {
            let listening = shared.abort.token.run_until_cancelled(socket.last_words());
            let _ = tokio::time::timeout_at(deadline, listening).await;
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, draining: bool) -> Poll<Closed> {
        self.peer.waker.register(cx.waker());
        let was_full = self.is_full();
        let more = match self.read_messages(cx, was_full) {
            Ok(more) => more,
            Err(closed) => return Poll::Ready(closed),
        };
        self.calls.poll_finished(cx, &mut self.out);
        if self.poll_write(cx).is_err() {
            return Poll::Ready(Closed::Lost);
        }
        if draining && self.calls.is_empty() && self.out.is_empty() && self.socket.is_flushed() {
            return Poll::Ready(Closed::Drained);
        }
        let is_due = self.timer.is_elapsed() || self.blocked_since.is_some();
        if is_due && let Some(closed) = self.poll_clock(cx) {
            return Poll::Ready(closed);
        }
        let has_room_again = was_full && !self.is_full();
        if more || has_room_again {
            // Other sockets are polled before the next turn of this connection. A wake-up alone would give this
            // connection dozens of turns before that.
            let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }

    /// Takes messages until none is left or other connections get their turn. Returns true when there may be more. A
    /// client that does not read its replies is not read from either.
    fn read_messages(&mut self, cx: &mut Context<'_>, is_full: bool) -> Result<bool, Closed> {
        if is_full {
            return Ok(false);
        }
        for _ in 0..self.limits().requests_per_turn {
            let Poll::Ready(message) = self.socket.poll_message(cx)? else { return Ok(false) };
            match message {
                Message::Text(text) => self.calls.accept(&text, &mut self.out),
                Message::Binary(_) => return Err(Closed::Binary),
                Message::Close(frame) => return Err(Closed::ByClient(frame.map(|frame| frame.code.into()))),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
            if self.is_full() {
                // There may be more to read, and writing may make room for it within this turn.
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Queues what is ready and flushes once for all of it. Nothing is queued while a flush waits, so the pending
    /// output of the socket is bounded.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let mut queued = 0;
            if self.blocked_since.is_none() {
                queued = self.queue();
            }
            if self.socket.is_flushed() {
                return Ok(());
            }
            match self.socket.poll_flush(cx) {
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                Poll::Ready(done) => done?,
            }
            let may_be_more = self.blocked_since.take().is_some() || queued >= WRITE_CHUNK;
            if !may_be_more {
                return Ok(());
            }
        }
    }

    /// Queues about as much as is written at once. Returns the number of bytes queued.
    fn queue(&mut self) -> usize {
        let before = self.socket.owed();
        let queued = |socket: &Socket| socket.owed() - before;
        while queued(&self.socket) < WRITE_CHUNK
            && let Some(reply) = self.out.pop()
        {
            self.socket.text(&reply);
        }
        for notice in self.peer.take(WRITE_CHUNK.saturating_sub(queued(&self.socket))) {
            self.socket.frames(self.peer.frames(&notice));
        }
        queued(&self.socket)
    }

    /// Returns whether the reading of requests must pause until something has been written.
    fn is_full(&self) -> bool {
        self.out.is_full(self.limits()) || self.socket.owed() >= self.limits().outbound_bytes
    }

    /// Checks the three deadlines when the timer has fired or a flush waits, and sets the timer to the next one. The
    /// timer is not moved for every message: a timer that fires early finds nothing due and is set again.
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
            let last_frame = self.socket.last_frame();
            if now >= last_frame + idle {
                return Some(Closed::Idle);
            }
            if now >= last_frame.max(self.last_ping) + ping_every {
                self.last_ping = now;
                if self.socket.is_flushed() && self.socket.ping().is_err() {
                    return Some(Closed::Lost);
                }
                cx.waker().wake_by_ref();
            }
            let ping_at = last_frame.max(self.last_ping) + ping_every;
            let blocked = self.blocked_since.map(|since| since + write_timeout);
            let next = ping_at.min(last_frame + idle);
            let next = blocked.map_or(next, |at| at.min(next));
            // Durations of zero must not make this loop spin.
            self.timer.as_mut().reset(next.max(now + Duration::from_millis(1)));
        }
        None
    }

    fn limits(&self) -> &Limits {
        self.shared.limits()
    }
}

/// Writes the pending replies, the close frame with its code, and the end of the stream, in this order.
async fn say_goodbye(socket: &mut Socket, mut out: Outbox, closed: Closed) -> Result<(), WsError> {
    match closed {
        Closed::Lost => return Err(WsError::ConnectionClosed),
        Closed::ByClient(_) => socket.answer_goodbye()?,
        _ => {
            if closed == Closed::TooLarge {
                out.push(wire::error_reply(&RpcError::message_too_large(), None));
            }
            while let Some(reply) = out.pop() {
                socket.text(&reply);
            }
            let code = closed.code().unwrap_or(1011).into();
            socket.close(CloseFrame { code, reason: closed.to_string().into() })?;
        }
    }
    Ok(socket.shutdown().await?)
}
