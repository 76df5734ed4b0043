//! A connection's stream, and the WebSocket protocol apart from it: the protocol reads from memory and writes to memory,
//! so that what has come is read with one system call, and what is owed is written with one.

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

/// Read at once, into a buffer that lives for the reading only: idle connections are the common ones.
const READ: usize = 4096;
/// What the protocol takes of it at once, and holds for as long as the connection lives.
const TAKEN: usize = 1024;

pub(crate) struct Socket {
    stream: Box<dyn Io>,
    protocol: WebSocketContext,
    frames: Frames,
    too_many_frames: bool,
    last_frame: Instant,
    /// Has come, and was not taken yet.
    came: Bytes,
    /// Frames that are to be written: first those that other connections are to be told, too, then this one's own.
    shared: Bytes,
    owed: BytesMut,
    flushing: bool,
}

/// What the protocol has for a stream.
struct Memory<'a> {
    came: &'a mut Bytes,
    owed: &'a mut BytesMut,
}

impl Socket {
    /// `leftover` is what has been read of the stream already. It is copied: it may be the small end of a large buffer, which
    /// a connection would keep for as long as it lives.
    #[expect(clippy::needless_pass_by_value, reason = "it is not to be kept by whoever calls this")]
    pub(crate) fn new(stream: Box<dyn Io>, leftover: Bytes, limits: &Limits) -> Self {
        // Whatever it writes goes to memory at once; when that is flushed is decided here.
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

    /// When a frame header was last complete.
    pub(crate) fn last_frame(&self) -> Instant {
        self.last_frame
    }

    /// Bytes that wait to be written.
    pub(crate) fn owed(&self) -> usize {
        self.shared.len() + self.owed.len()
    }

    /// Whether [`Self::poll_flush`] has nothing to do.
    pub(crate) fn is_flushed(&self) -> bool {
        self.owed() == 0 && !self.flushing
    }

    /// The next message; a ping is answered, but not flushed.
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

    /// What came before a frame too many still counts; that frame never becomes whole.
    fn arrived(&mut self, bytes: &[u8]) {
        let passed = self.frames.pass(bytes);
        if passed.headers > 0 {
            self.last_frame = Instant::now();
        }
        self.too_many_frames = passed.exceeded_after.is_some();
        let until = passed.exceeded_after.unwrap_or(bytes.len());
        self.came = Bytes::copy_from_slice(bytes.get(..until).unwrap_or_default());
    }

    /// Queues a message.
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

    /// Queues the goodbye, and whatever answer the protocol owes.
    pub(crate) fn close(&mut self, frame: CloseFrame) -> Result<(), WsError> {
        self.write(Message::Close(Some(frame)))
    }

    fn write(&mut self, message: Message) -> Result<(), WsError> {
        let Self { protocol, came, owed, .. } = self;
        protocol.write(&mut Memory { came, owed }, message)
    }

    /// Queues the answer to the client's goodbye.
    pub(crate) fn answer_goodbye(&mut self) -> Result<(), WsError> {
        let Self { protocol, came, owed, .. } = self;
        match protocol.flush(&mut Memory { came, owed }) {
            // There is nothing more to be said on it.
            Err(WsError::ConnectionClosed) => Ok(()),
            flushed => flushed,
        }
    }

    /// Writes what is owed.
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
        // So that what has been written is not held.
        (self.shared, self.owed) = (Bytes::new(), BytesMut::new());
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }

    /// Writes what is owed, then the end of the stream.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
        self.stream.shutdown().await
    }

    /// Reads on until the client has closed too: closing a TCP socket with unread bytes resets it, and then the client
    /// loses what it was told.
    pub(crate) async fn last_words(&mut self) -> io::Result<()> {
        let mut ignored = [0; 1024];
        while self.stream.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.came.is_empty() {
            // So that what has been taken is not held.
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

/// What a failure of the protocol means.
fn why(error: &WsError) -> Closed {
    match error {
        WsError::Capacity(_) => Closed::TooLarge,
        WsError::Utf8(_) => Closed::InvalidUtf8,
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Lost,
        WsError::Protocol(_) => Closed::Protocol,
        _ => Closed::Lost,
    }
}

/// Puts a text message, given in parts, as one frame (RFC 6455, 5.2). Texts can be framed once for many connections this
/// way, because a server's frames are not masked.
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
    fn frames_are_what_the_library_reads() {
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
