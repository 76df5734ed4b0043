//! A stream that watches the frames passing through it.
//!
//! tungstenite joins fragments without showing them, so two things can only be seen here: when a frame last came, and
//! how many frames one message has been cut into (ten thousand empty ones would cost the reader its time and never
//! reach a size limit).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Counts frame headers on the way in; the way out is untouched.
pub(crate) struct FrameMeter<S> {
    inner: S,
    leftover: Bytes,
    last_frame: Instant,
    frames: Frames,
    exceeded: bool,
}

impl<S> FrameMeter<S> {
    /// `leftover` are bytes that belong before the stream's own. They are copied: they may be the small end of a large
    /// buffer, which a connection would keep for as long as it lives.
    pub(crate) fn new(inner: S, leftover: &[u8], frames_per_message: u32) -> Self {
        let leftover = Bytes::copy_from_slice(leftover);
        let frames = Frames { limit: frames_per_message, ..Frames::default() };
        Self { inner, leftover, last_frame: Instant::now(), frames, exceeded: false }
    }

    /// When a frame header was last complete.
    pub(crate) fn last_frame(&self) -> Instant {
        self.last_frame
    }

    /// Whether a message had too many frames; reading fails from then on.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// The stream itself.
    pub(crate) fn inner(&mut self) -> &mut S {
        &mut self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FrameMeter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.exceeded {
            return Poll::Ready(Err(io::Error::other("too many frames in one message")));
        }
        let before = buf.filled().len();
        if this.leftover.is_empty() {
            std::task::ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        } else {
            let take = this.leftover.len().min(buf.remaining());
            buf.put_slice(this.leftover.get(..take).unwrap_or_default());
            this.leftover.advance(take);
        }
        let passed = this.frames.pass(buf.filled().get(before..).unwrap_or_default());
        if passed.headers > 0 {
            this.last_frame = Instant::now();
        }
        if let Some(bytes) = passed.exceeded_after {
            // What came before still counts; the frame too many never becomes whole.
            this.exceeded = true;
            buf.set_filled(before + bytes);
            if bytes == 0 {
                return Poll::Ready(Err(io::Error::other("too many frames in one message")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameMeter<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Finds frame headers in a byte stream (RFC 6455, 5.2) that is cut anywhere.
#[derive(Default)]
struct Frames {
    limit: u32,
    header: [u8; 14],
    have: usize,
    payload: u64,
    in_message: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Passed {
    headers: usize,
    /// How many bytes came before the last byte of the header that was one too many.
    exceeded_after: Option<usize>,
}

impl Frames {
    fn pass(&mut self, bytes: &[u8]) -> Passed {
        let mut passed = Passed::default();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.payload > 0 {
                let left = (bytes.len() - at) as u64;
                let skip = self.payload.min(left);
                self.payload -= skip;
                at += usize::try_from(skip).unwrap_or(bytes.len());
                continue;
            }
            if let Some(slot) = self.header.get_mut(self.have) {
                *slot = *byte;
                self.have += 1;
            }
            if self.header_is_complete() {
                passed.headers += 1;
                if !self.count() {
                    passed.exceeded_after = Some(at);
                    return passed;
                }
            }
            at += 1;
        }
        passed
    }

    /// Reads the payload's length when the header is whole.
    fn header_is_complete(&mut self) -> bool {
        let [_, second, ext @ ..] = self.header;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (size, payload) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes([ext[0], ext[1]]))),
            127 => {
                let long = ext.first_chunk().map_or(0, |long| u64::from_be_bytes(*long));
                (10, long)
            }
            short => (2, u64::from(short)),
        };
        if self.have < 2 || self.have < size + mask {
            return false;
        }
        self.payload = payload;
        self.have = 0;
        true
    }

    /// Counts the frame whose header has just ended; false when its message has too many.
    fn count(&mut self) -> bool {
        let [first, ..] = self.header;
        let is_control = first & 0x08 != 0;
        if is_control {
            return true;
        }
        self.in_message += 1;
        let allowed = self.in_message <= self.limit;
        if first & 0x80 != 0 {
            self.in_message = 0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three masked fragments of one message, a ping between them, then another message with a 16-bit length.
    fn stream() -> Vec<u8> {
        let mut bytes = vec![0x01, 0x82, 1, 2, 3, 4, b'a', b'b'];
        bytes.extend([0x00, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x89, 0x81, 1, 2, 3, 4, b'p']);
        bytes.extend([0x80, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x81, 0xfe, 0, 126, 1, 2, 3, 4]);
        bytes.extend([0; 126]);
        bytes
    }

    fn check(limit: u32, cut: usize, headers: usize, exceeded: bool) {
        let mut frames = Frames { limit, ..Frames::default() };
        let mut seen = Passed::default();
        for piece in stream().chunks(cut) {
            let passed = frames.pass(piece);
            seen.headers += passed.headers;
            seen.exceeded_after = seen.exceeded_after.or(passed.exceeded_after);
            if seen.exceeded_after.is_some() {
                break;
            }
        }
        assert_eq!((seen.headers, seen.exceeded_after.is_some()), (headers, exceeded), "cut {cut}");
    }

    #[test]
    fn headers_are_found_however_the_stream_is_cut() {
        for cut in 1..=stream().len() {
            check(3, cut, 5, false);
            check(2, cut, 4, true);
        }
    }
}
