//! The generator's side of a WebSocket. Requests are encoded once, and the reader finds frames and ids without parsing
//! JSON, so that the generator does not distort the measurement. Each wait has a deadline.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::deadline::{ANSWER, within};
use crate::servers::Address;

/// Any kind of connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open WebSocket.
pub(crate) struct Socket {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// The number of buffer bytes in use.
    filled: usize,
}

impl Socket {
    /// Connects over TCP and upgrades.
    pub(crate) async fn open(address: &Address) -> Result<Self> {
        let stream = connect(address.socket).await?;
        let host = address.socket.to_string();
        Self::upgrade(Box::new(stream), address.path, &host, &address.headers).await
    }

    /// Connects to the daemon's Unix socket and upgrades.
    pub(crate) async fn open_unix(path: &Path) -> Result<Self> {
        let stream = within(ANSWER, async { Ok(UnixStream::connect(path).await?) }).await;
        Self::upgrade(Box::new(stream.with_context(|| path.display().to_string())?), "/rpc", "srvd.sock", &[])
            .await
    }

    async fn upgrade(
        stream: Box<dyn Stream>,
        path: &str,
        host: &str,
        headers: &[(&str, String)],
    ) -> Result<Self> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            request.extend([name, ": ", value.as_str(), "\r\n"]);
        }
        request.push_str("\r\n");
        let mut socket = Self { stream, buffer: vec![0; 64 * 1024], filled: 0 };
        socket.send(request.as_bytes()).await?;
        let head = loop {
            socket.fill().await?;
            let so_far = socket.buffer.get(..socket.filled).unwrap_or_default();
            if let Some(end) = so_far.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let answer = socket.buffer.get(..head).unwrap_or_default();
        ensure!(answer.starts_with(b"HTTP/1.1 101"), "no upgrade: {}", String::from_utf8_lossy(answer));
        socket.consume(head);
        Ok(socket)
    }

    /// Writes frames that are already encoded.
    pub(crate) async fn send(&mut self, frames: &[u8]) -> Result<()> {
        within(ANSWER, async { Ok(self.stream.write_all(frames).await?) })
            .await
            .context("the server stopped reading")
    }

    /// Waits for bytes and passes each complete text frame among them to `see`. Returns the number of these frames.
    pub(crate) async fn receive(&mut self, mut see: impl FnMut(&[u8])) -> Result<usize> {
        self.fill().await?;
        let (mut seen, mut at) = (0, 0);
        while let Some(frame) = self.buffer.get(at..self.filled).and_then(frame) {
            let Frame { opcode, start, end } = frame?;
            match opcode {
                1 => {
                    see(self.buffer.get(at + start..at + end).unwrap_or_default());
                    seen += 1;
                }
                8 => bail!("the server closed the connection"),
                // Pings need no answer, because no run is longer than a server's timeout.
                _ => {}
            }
            at += end;
        }
        self.consume(at);
        Ok(seen)
    }

    async fn fill(&mut self) -> Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = within(ANSWER, async { Ok(self.stream.read(room).await?) }).await.context("no answer")?;
        ensure!(read > 0, "the server closed the connection");
        self.filled += read;
        Ok(())
    }

    fn consume(&mut self, count: usize) {
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }
}

/// Connects over TCP.
pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = within(ANSWER, async { Ok(TcpStream::connect(address).await?) }).await;
    let stream = stream.with_context(|| address.to_string())?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct Frame {
    opcode: u8,
    /// The offset of the payload. `end` is the offset after its last byte.
    start: usize,
    end: usize,
}

/// Returns the complete frame at the start of `bytes`, if there is one.
fn frame(bytes: &[u8]) -> Option<Result<Frame>> {
    let &[first, second, ..] = bytes else { return None };
    if second & 0x80 != 0 {
        return Some(Err(anyhow::anyhow!("a server does not mask its frames")));
    }
    let (start, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let end = start + length;
    (bytes.len() >= end).then_some(Ok(Frame { opcode: first & 0x0f, start, end }))
}

/// Encodes a text frame as a client would send it. Its mask is zero, which the protocol allows and which does not
/// change the server's cost.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short @ ..=125), _) => frame.push(0x80 | short),
        (_, Ok(long)) => {
            frame.push(0x80 | 0x7e);
            frame.extend(long.to_be_bytes());
        }
        _ => unreachable!("benchmark requests are small"),
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// Returns the number after `"id":`.
pub(crate) fn id_of(reply: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\"id\":";
    let at = reply.windows(NAME.len()).rposition(|window| window == NAME)? + NAME.len();
    let digits = reply.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_found_only_when_complete() {
        let bytes = b"\x81\x02ok\x81\x7e\x00\x03abc";
        let first = frame(bytes).unwrap().unwrap();
        assert_eq!((first.opcode, &bytes[first.start..first.end]), (1, &b"ok"[..]));
        let second = frame(&bytes[first.end..]).unwrap().unwrap();
        assert_eq!((second.start, second.end), (4, 7));
        assert!(frame(&bytes[..3]).is_none());
    }

    #[test]
    fn last_id_in_a_reply_is_used() {
        assert_eq!(id_of(br#"{"result":{"id":7},"id":15}"#), Some(15));
        assert_eq!(id_of(br#"{"method":"event"}"#), None);
    }
}
