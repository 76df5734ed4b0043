//! A connection's stream, with the WebSocket protocol kept apart from it. The protocol reads from memory and writes to
//! memory, so that received bytes are read with one system call and pending bytes are written with one.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::connection::Closed;
use crate::engine::Io;
use crate::frames::Frames;
use crate::limits::Limits;

/// Bytes read at once. The buffer lives for the read only, because most connections are idle.
const READ: usize = 4096;
/// Bytes that the protocol takes at once. Its buffer lives as long as the connection.
const TAKEN: usize = 1024;

pub(crate) struct Socket {
    stream: Box<dyn Io>,
    protocol: WebSocketContext,
    frames: Frames,
    too_many_frames: bool,
    last_frame: Instant,
    /// Bytes received but not yet consumed.
    came: Bytes,
    /// Frames that are written first and may be shared with other connections. `owed` holds this connection's own
    /// frames.
    shared: Bytes,
    owed: BytesMut,
    flushing: bool,
}

/// The in-memory stream that the protocol reads from and writes to.
struct Memory<'a> {
    came: &'a mut Bytes,
    owed: &'a mut BytesMut,
}

impl Socket {
    /// Creates a socket. `leftover` holds the bytes that were already read from the stream. They are copied, because
    /// they may be the small end of a large buffer, which the connection would keep for its whole life.
    #[expect(clippy::needless_pass_by_value, reason = "it is not to be kept by whoever calls this")]
    pub(crate) fn new(stream: Box<dyn Io>, leftover: Bytes, limits: &Limits) -> Self {
        // The protocol writes to memory at once. This type decides when that memory is flushed.
        let config = WebSocketConfig::default()
            .read_buffer_size(TAKEN)
            .write_buffer_size(0)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        let mut socket = Self {
            stream,
            protocol: WebSocketContext::new(Role::Server, Some(config)),
            frames: Frames::new(limits.frames_per_message),
            too_many_frames: false,
            last_frame: Instant::now(),
            came: Bytes::new(),
            shared: Bytes::new(),
            owed: BytesMut::new(),
            flushing: false,
        };
        socket.arrived(&leftover);
        socket
    }

    /// The time when a frame header was last complete.
    pub(crate) fn last_frame(&self) -> Instant {
        self.last_frame
    }

    /// The number of bytes that wait to be written.
    pub(crate) fn owed(&self) -> usize {
        self.shared.len() + self.owed.len()
    }

    /// Returns whether [`Self::poll_flush`] has nothing to do.
    pub(crate) fn is_flushed(&self) -> bool {
        self.owed() == 0 && !self.flushing
    }

    /// Returns the next message. A ping is answered, but the answer is not flushed.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        loop {
            let Self { protocol, came, owed, .. } = self;
            match protocol.read(&mut Memory { came, owed }) {
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_read(cx))?;
                }
                read => return Poll::Ready(read.map_err(|error| why(&error))),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.too_many_frames {
            return Poll::Ready(Err(Closed::TooManyFrames));
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(Err(Closed::Lost));
        }
        self.arrived(buffer.filled());
        Poll::Ready(Ok(()))
    }

    /// Keeps received bytes. If a message has too many frames, the bytes before the excess frame are kept, and that
    /// frame is never completed.
    fn arrived(&mut self, bytes: &[u8]) {
        let passed = self.frames.pass(bytes);
        if passed.headers > 0 {
            self.last_frame = Instant::now();
        }
        self.too_many_frames = passed.exceeded_after.is_some();
        let until = passed.exceeded_after.unwrap_or(bytes.len());
        self.came = Bytes::copy_from_slice(bytes.get(..until).unwrap_or_default());
    }

    /// Queues a text message.
    pub(crate) fn text(&mut self, text: &[u8]) {
        put_text(&mut self.owed, &[text]);
    }

    /// Queues whole frames, made by [`put_text`].
    pub(crate) fn frames(&mut self, frames: Bytes) {
        if self.owed() == 0 {
            self.shared = frames;
        } else {
            self.owed.extend_from_slice(&frames);
        }
    }

    pub(crate) fn ping(&mut self) -> Result<(), WsError> {
        self.write(Message::Ping(Bytes::new()))
    }

    /// Queues the close frame, and any answer that the protocol has pending.
    pub(crate) fn close(&mut self, frame: CloseFrame) -> Result<(), WsError> {
        self.write(Message::Close(Some(frame)))
    }

    fn write(&mut self, message: Message) -> Result<(), WsError> {
        let Self { protocol, came, owed, .. } = self;
        protocol.write(&mut Memory { came, owed }, message)
    }

    /// Queues the answer to the client's close frame.
    pub(crate) fn answer_goodbye(&mut self) -> Result<(), WsError> {
        let Self { protocol, came, owed, .. } = self;
        match protocol.flush(&mut Memory { came, owed }) {
            // The connection is closed, so nothing more can be sent.
            Err(WsError::ConnectionClosed) => Ok(()),
            flushed => flushed,
        }
    }

    /// Writes all pending bytes.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushing = true;
        while self.owed() > 0 {
            let next: &mut dyn Buf = if self.shared.is_empty() { &mut self.owed } else { &mut self.shared };
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, next.chunk()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            next.advance(written);
        }
        // Releases the memory of what has been written.
        (self.shared, self.owed) = (Bytes::new(), BytesMut::new());
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    /// Writes all pending bytes, then ends the stream.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        self.stream.shutdown().await
    }

    /// Reads until the client has closed, too. Closing a TCP socket with unread bytes resets it, and the client would
    /// then lose what was sent to it.
    pub(crate) async fn last_words(&mut self) -> io::Result<()> {
        let mut ignored = [0; 1024];
        while self.stream.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.came.is_empty() {
            // Releases the memory of what has been consumed.
            *self.came = Bytes::new();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.came.len().min(buffer.len());
        self.came.copy_to_slice(buffer.get_mut(..taken).unwrap_or_default());
        Ok(taken)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.owed.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Converts an error of the protocol into the reason of the close.
fn why(error: &WsError) -> Closed {
    match error {
        WsError::Capacity(_) => Closed::TooLarge,
        WsError::Utf8(_) => Closed::InvalidUtf8,
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Lost,
        WsError::Protocol(_) => Closed::Protocol,
        _ => Closed::Lost,
    }
}

/// Encodes a text message, given in parts, as one frame (RFC 6455, 5.2). A server's frames are not masked, so one frame
/// can be sent to many connections.
pub(crate) fn put_text(out: &mut impl BufMut, parts: &[&[u8]]) {
    const WHOLE_TEXT: u8 = 0x81;
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.put_u8(WHOLE_TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.put_u8(short),
        (_, Ok(length)) => {
            out.put_u8(126);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    for part in parts {
        out.put_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::FrameSocket;

    use super::*;

    #[test]
    fn frame_is_readable_by_websocket_library() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let text = "x".repeat(length);
            let (front, back) = text.as_bytes().split_at(length / 3);
            let mut frame = Vec::new();
            put_text(&mut frame, &[front, back]);
            let mut reader = FrameSocket::new(io::Cursor::new(frame));
            let read = reader.read(None).unwrap().unwrap();
            assert!(read.header().is_final && read.header().mask.is_none());
            assert_eq!(read.into_text().unwrap(), text);
            assert!(reader.read(None).unwrap().is_none());
        }
    }
}
