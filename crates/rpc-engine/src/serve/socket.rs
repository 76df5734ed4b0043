//! A connection's stream, separated from the WebSocket protocol. The protocol reads from and writes to memory, so that
//! received bytes need one read system call and pending bytes one write.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::closed::Closed;
use super::frame_counter::FrameCounter;
use crate::wire::{Limits, put_text_frame};

/// The number of bytes to read at once. The buffer exists only during the read, because most connections are idle.
const READ_BYTES: usize = 4096;
/// The size of the protocol's read buffer, which exists for as long as the connection.
const PROTOCOL_BYTES: usize = 1024;

/// A stream that a connection reads from and writes to.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

pub(super) struct Socket {
    stream: Box<dyn Io>,
    protocol: WebSocketContext,
    frame_counter: FrameCounter,
    too_many_frames: bool,
    last_frame: Instant,
    /// Bytes received but not yet consumed.
    received: Bytes,
    /// Frames that are written first and may be shared with other connections. `pending_out` contains this connection's
    /// own frames.
    pending_events: Bytes,
    pending_out: BytesMut,
    flushing: bool,
}

/// The in-memory stream used by the protocol.
struct Memory<'a> {
    received: &'a mut Bytes,
    pending_out: &'a mut BytesMut,
}

impl Socket {
    /// Creates a socket. `leftover` contains the bytes already read from the stream. They are copied because they may
    /// be a small slice of a large buffer, which would otherwise stay in memory as long as the connection.
    pub(super) fn new(stream: Box<dyn Io>, leftover: &[u8], limits: &Limits) -> Self {
        // The protocol writes to memory immediately. This type decides when to flush that memory.
        let config = WebSocketConfig::default()
            .read_buffer_size(PROTOCOL_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        let mut socket = Self {
            stream,
            protocol: WebSocketContext::new(Role::Server, Some(config)),
            frame_counter: FrameCounter::new(limits.frames_per_message),
            too_many_frames: false,
            last_frame: Instant::now(),
            received: Bytes::new(),
            pending_events: Bytes::new(),
            pending_out: BytesMut::new(),
            flushing: false,
        };
        socket.receive(leftover);
        socket
    }

    /// The time when the last frame header was completed.
    pub(super) fn last_frame(&self) -> Instant {
        self.last_frame
    }

    /// The number of bytes waiting to be written.
    pub(super) fn pending(&self) -> usize {
        self.pending_events.len() + self.pending_out.len()
    }

    /// Returns whether there is nothing for [`Self::poll_flush`] to write.
    pub(super) fn is_flushed(&self) -> bool {
        self.pending() == 0 && !self.flushing
    }

    /// Returns the next message. Pings are answered, but the answer is not flushed.
    pub(super) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        loop {
            let Self { protocol, received, pending_out, .. } = self;
            match protocol.read(&mut Memory { received, pending_out }) {
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_read(cx))?;
                }
                read => return Poll::Ready(read.map_err(|error| closed_by(&error))),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.too_many_frames {
            return Poll::Ready(Err(Closed::TooManyFrames));
        }
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(Err(Closed::Lost));
        }
        self.receive(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// Stores received bytes. If a message has too many frames, the bytes before the excess frame are stored, and that
    /// frame is never completed.
    fn receive(&mut self, bytes: &[u8]) {
        let counted = self.frame_counter.count(bytes);
        if counted.headers > 0 {
            self.last_frame = Instant::now();
        }
        self.too_many_frames = counted.exceeded_at.is_some();
        let until = counted.exceeded_at.unwrap_or(bytes.len());
        self.received = Bytes::copy_from_slice(bytes.get(..until).unwrap_or_default());
    }

    /// Queues a text message.
    pub(super) fn queue_text(&mut self, text: &[u8]) {
        put_text_frame(&mut self.pending_out, &[text]);
    }

    /// Queues whole frames. They are not copied if no other output is pending.
    pub(super) fn queue_frames(&mut self, frames: Bytes) {
        if self.pending() == 0 {
            self.pending_events = frames;
        } else {
            self.pending_out.extend_from_slice(&frames);
        }
    }

    pub(super) fn ping(&mut self) -> Result<(), WsError> {
        self.write(Message::Ping(Bytes::new()))
    }

    /// Queues the close frame and any pending protocol answer.
    pub(super) fn close(&mut self, frame: CloseFrame) -> Result<(), WsError> {
        self.write(Message::Close(Some(frame)))
    }

    fn write(&mut self, message: Message) -> Result<(), WsError> {
        let Self { protocol, received, pending_out, .. } = self;
        protocol.write(&mut Memory { received, pending_out }, message)
    }

    /// Queues the answer to the client's close frame.
    pub(super) fn answer_close(&mut self) -> Result<(), WsError> {
        let Self { protocol, received, pending_out, .. } = self;
        match protocol.flush(&mut Memory { received, pending_out }) {
            // The connection is already closed, so there is nothing to send.
            Err(WsError::ConnectionClosed) => Ok(()),
            flushed => flushed,
        }
    }

    /// Writes all pending bytes.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushing = true;
        while self.pending() > 0 {
            let next: &mut dyn Buf =
                if self.pending_events.is_empty() { &mut self.pending_out } else { &mut self.pending_events };
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, next.chunk()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            next.advance(written);
        }
        // Release the memory of the written bytes.
        (self.pending_events, self.pending_out) = (Bytes::new(), BytesMut::new());
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    /// Writes all pending bytes, then shuts down the stream.
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        self.stream.shutdown().await
    }

    /// Reads until the client has closed its side. Closing a TCP socket with unread bytes resets the connection, and
    /// the client would lose data already sent to it.
    pub(super) async fn discard_until_end(&mut self) -> io::Result<()> {
        let mut ignored = [0; 1024];
        while self.stream.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() {
            // Release the memory of the consumed bytes.
            *self.received = Bytes::new();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.received.len().min(buffer.len());
        self.received.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending_out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Converts a protocol error into a close reason.
fn closed_by(error: &WsError) -> Closed {
    match error {
        WsError::Capacity(_) => Closed::TooLarge,
        WsError::Utf8(_) => Closed::InvalidUtf8,
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Lost,
        WsError::Protocol(_) => Closed::Protocol,
        _ => Closed::Lost,
    }
}
