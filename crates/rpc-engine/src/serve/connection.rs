//! One WebSocket connection, driven by one task from its first frame to its close.
//!
//! A turn reads the received messages (up to a limit), polls the unfinished calls, writes everything that is ready with
//! one flush, and checks the deadlines. Replies are written before events, so the reply to a subscribing call always
//! precedes its first event.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::calls::Calls;
use super::closed::Closed;
use super::outbox::Outbox;
use super::socket::Socket;
use super::state::EngineState;
use crate::events::Subscriptions;
use crate::wire::{Limits, RpcError, error_reply};

/// The number of bytes to queue before a flush. Further output is written with the next flush.
const WRITE_CHUNK: usize = 32 * 1024;

pub(super) struct Connection {
    state: Arc<EngineState>,
    subscriptions: Subscriptions,
    socket: Socket,
    calls: Calls,
    outbox: Outbox,
    timer: Pin<Box<Sleep>>,
    last_ping: Instant,
    /// The time when the current flush first had to wait.
    blocked_since: Option<Instant>,
    /// Ready when the caller's permission ends. Boxed because it belongs to the memory of an idle connection.
    dismissed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    pub(super) fn new(
        state: Arc<EngineState>,
        subscriptions: Subscriptions,
        socket: Socket,
        calls: Calls,
        dismissal: CancellationToken,
    ) -> Self {
        let (now, limits) = (Instant::now(), state.limits());
        let timer = Box::pin(tokio::time::sleep_until(now + limits.ping_every.min(limits.idle)));
        let outbox = Outbox::default();
        Self {
            state,
            subscriptions,
            socket,
            calls,
            outbox,
            timer,
            last_ping: now,
            blocked_since: None,
            dismissed: Box::pin(dismissal.cancelled_owned()),
        }
    }

    /// Serves the connection until it ends. Returns the reason.
    pub(super) async fn run(mut self) -> Closed {
        let closed = self.serve().await;
        // Boxed because a connection would otherwise reserve the memory for closing during its whole life.
        Box::pin(self.close(closed)).await;
        closed
    }

    async fn serve(&mut self) -> Closed {
        let state = self.state.clone();
        let (mut drain, mut abort) = (pin!(state.drain.cancelled()), pin!(state.abort.cancelled()));
        std::future::poll_fn(|cx| {
            if abort.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Closed::Aborted);
            }
            if self.dismissed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Closed::Dismissed);
            }
            if !self.calls.is_draining() && drain.as_mut().poll(cx).is_ready() {
                self.calls.drain();
            }
            self.poll_turn(cx)
        })
        .await
    }

    /// Sends the close reason to the client and shuts down the stream.
    async fn close(self, closed: Closed) {
        let Self { state, mut socket, calls, outbox, .. } = self;
        calls.detach();
        // The client may have disconnected or stopped reading, so errors are ignored here.
        let deadline = Instant::now() + state.limits().close_wait;
        let sent = tokio::time::timeout_at(deadline, send_close(&mut socket, outbox, closed)).await;
        if matches!(sent, Ok(Ok(()))) {
            let discarding = state.abort.run_until_cancelled(socket.discard_until_end());
            let _ = tokio::time::timeout_at(deadline, discarding).await;
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.subscriptions.register(cx.waker());
        let was_full = self.is_full();
        let more = match self.read_messages(cx, was_full) {
            Ok(more) => more,
            Err(closed) => return Poll::Ready(closed),
        };
        self.calls.poll_finished(cx, &mut self.outbox);
        if self.poll_write(cx).is_err() {
            return Poll::Ready(Closed::Lost);
        }
        let is_idle = self.calls.is_empty() && self.outbox.is_empty() && self.socket.is_flushed();
        if is_idle && self.calls.is_draining() {
            return Poll::Ready(Closed::Drained);
        }
        if let Some(closed) = self.poll_deadlines(cx) {
            return Poll::Ready(closed);
        }
        let has_room_again = was_full && !self.is_full();
        if more || has_room_again {
            // Yield, so that the runtime polls other sockets before this connection's next turn. With only a wake-up,
            // this connection would get dozens of turns before that.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }

    /// Reads messages until none is left or other connections must get their turn. Returns true if there may be more.
    /// Reads nothing while the client does not read its replies.
    fn read_messages(&mut self, cx: &mut Context<'_>, is_full: bool) -> Result<bool, Closed> {
        if is_full {
            return Ok(false);
        }
        for _ in 0..self.limits().requests_per_turn {
            let Poll::Ready(message) = self.socket.poll_message(cx)? else { return Ok(false) };
            match message {
                Message::Text(text) => self.calls.accept(&text, &mut self.outbox),
                Message::Binary(_) => return Err(Closed::Binary),
                Message::Close(frame) => return Err(Closed::ByClient(frame.map(|frame| frame.code.into()))),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
            if self.is_full() {
                // There may be more to read, and writing may make room for it in the same turn.
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Queues what is ready and flushes it all at once. Nothing is queued while a flush is pending, so the socket's
    /// pending output is bounded.
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

    /// Queues about one flush worth of output. Returns the number of bytes queued.
    fn queue(&mut self) -> usize {
        let before = self.socket.pending();
        let queued = |socket: &Socket| socket.pending() - before;
        while queued(&self.socket) < WRITE_CHUNK
            && let Some(reply) = self.outbox.pop()
        {
            self.socket.queue_text(&reply);
        }
        for frames in self.subscriptions.take_frames(WRITE_CHUNK.saturating_sub(queued(&self.socket))) {
            self.socket.queue_frames(frames);
        }
        queued(&self.socket)
    }

    /// Returns whether reading requests must pause until some output has been written.
    fn is_full(&self) -> bool {
        self.outbox.is_full(self.limits()) || self.socket.pending() >= self.limits().outbound_bytes
    }

    /// When the timer fires, checks the three deadlines and sets the timer to the next one. The timer is not moved for
    /// every message: a timer that fires early finds nothing due and is set again.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Option<Closed> {
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
            // Prevents a busy loop when a duration is zero.
            self.timer.as_mut().reset(next.max(now + Duration::from_millis(1)));
        }
        None
    }

    fn limits(&self) -> &Limits {
        self.state.limits()
    }
}

/// Writes the pending replies, the close frame with its code, and the end of the stream, in this order.
async fn send_close(socket: &mut Socket, mut outbox: Outbox, closed: Closed) -> Result<(), WsError> {
    match closed {
        Closed::Lost => return Err(WsError::ConnectionClosed),
        Closed::ByClient(_) => socket.answer_close()?,
        _ => {
            if closed == Closed::TooLarge {
                outbox.push(error_reply(&RpcError::message_too_large(), None));
            }
            while let Some(reply) = outbox.pop() {
                socket.queue_text(&reply);
            }
            let code = closed.code().unwrap_or(1011).into();
            socket.close(CloseFrame { code, reason: closed.to_string().into() })?;
        }
    }
    Ok(socket.shutdown().await?)
}
