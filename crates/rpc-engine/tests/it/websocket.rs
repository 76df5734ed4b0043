//! Tests of RFC 6455 with raw frames: which frames are accepted, and the close codes for the others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rpc_engine::{Closed, Limits, NewEvent, accept_key};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Peer, Server, frame, soon, text};

/// Sends raw bytes and expects a close frame with this code.
async fn check(name: &str, bytes: &[u8], code: u16, closed: Closed) {
    let server = Server::new(Limits::default());
    let mut peer = server.connect_with(4 << 20, &[]);
    peer.raw(bytes).await;
    assert_eq!(peer.closing().await.0, code, "{name}");
    assert_eq!(peer.ended().await, closed, "{name}");
    assert_eq!(server.engine.connections(), 0);
}

#[tokio::test]
async fn websocket_closes_with_the_matching_code_on_an_invalid_frame() {
    let unmasked = [&[0x81, 2][..], b"{}"].concat();
    check("unmasked", &unmasked, 1002, Closed::Protocol).await;
    check("RSV1", &frame(0xc1, b"{}"), 1002, Closed::Protocol).await;
    check("opcode 3", &frame(0x83, b"{}"), 1002, Closed::Protocol).await;
    check("opcode 11", &frame(0x8b, b""), 1002, Closed::Protocol).await;
    check("long ping", &frame(0x89, &[b'p'; 126]), 1002, Closed::Protocol).await;
    check("fragmented ping", &frame(0x09, b"p"), 1002, Closed::Protocol).await;
    check("continuation of nothing", &frame(0x80, b"x"), 1002, Closed::Protocol).await;
    let restarted = [frame(0x01, b"{"), frame(0x81, b"}")].concat();
    check("text inside a message", &restarted, 1002, Closed::Protocol).await;
    check("close of one byte", &frame(0x88, &[3]), 1002, Closed::Protocol).await;
    check("invalid UTF-8", &frame(0x81, b"\"\xff\""), 1007, Closed::InvalidUtf8).await;
    let cut_short = [frame(0x01, b"\"\xc3"), frame(0x80, b"\"")].concat();
    check("invalid UTF-8 over fragments", &cut_short, 1007, Closed::InvalidUtf8).await;
    check("close reason that is not UTF-8", &frame(0x88, b"\x03\xe8\xff"), 1007, Closed::InvalidUtf8).await;
    check("binary", &frame(0x82, b"{}"), 1003, Closed::Binary).await;
    check("close 1005", &frame(0x88, &1005_u16.to_be_bytes()), 1002, Closed::ByClient(Some(1002))).await;
    check("close 1000", &frame(0x88, &1000_u16.to_be_bytes()), 1000, Closed::ByClient(Some(1000))).await;
}

#[tokio::test]
async fn websocket_answers_a_close_without_code_and_ignores_later_frames() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    let publish = text(r#"{"jsonrpc":"2.0","method":"publish","params":{"topic":"a"},"id":1}"#);
    peer.raw(&[frame(0x88, b""), publish].concat()).await;
    assert_eq!(peer.frame().await, Some((0x88, Vec::new())));
    assert_eq!(peer.frame().await, None);
    assert_eq!(peer.ended().await, Closed::ByClient(None));
    assert_eq!(server.app.broker.seq(), 0);
}

#[tokio::test]
async fn websocket_accepts_split_fragmented_and_control_frames() {
    let request = r#"{"jsonrpc":"2.0","method":"echo","params":{"text":"é"},"id":1}"#;
    let reply = json!({"jsonrpc": "2.0", "result": "é", "id": 1});
    let server = Server::new(Limits::default());

    // The bytes that arrived with the HTTP head stop in the middle of a frame.
    let bytes = text(request);
    let mut peer = server.connect_with(1 << 20, &bytes[..9]);
    peer.raw(&bytes[9..]).await;
    assert_eq!(peer.next().await, reply);

    // Two fragments, split within a code point, with a ping in between.
    let cut = request.find('é').unwrap() + 1;
    let (head, tail) = request.as_bytes().split_at(cut);
    peer.raw(&[frame(0x01, head), frame(0x89, b"p"), frame(0x80, tail)].concat()).await;
    assert_eq!(peer.frame().await, Some((0x8a, b"p".to_vec())));
    assert_eq!(peer.next().await, reply);

    // An unsolicited pong, then a request sent one byte at a time.
    peer.raw(&frame(0x8a, b"x")).await;
    for byte in text(request) {
        peer.raw(&[byte]).await;
    }
    assert_eq!(peer.next().await, reply);
    peer.raw(&frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(peer.closing().await.0, 1000);
}

#[tokio::test]
async fn websocket_writes_ready_replies_before_closing() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    let request = text(r#"{"jsonrpc":"2.0","method":"sum","params":[1],"id":1}"#);
    peer.raw(&[request, frame(0x83, b"")].concat()).await;
    assert_eq!(peer.next().await, json!({"jsonrpc": "2.0", "result": 1, "id": 1}));
    assert_eq!(peer.closing().await, (1002, "the client violated the WebSocket protocol".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn websocket_pings_a_silent_client_and_then_closes() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    assert_eq!(peer.frame().await, Some((0x89, Vec::new())));
    assert_eq!(peer.frame().await, Some((0x89, Vec::new())));
    assert_eq!(peer.closing().await, (4008, "the client sent nothing for too long".to_owned()));
    assert_eq!(peer.ended().await, Closed::Idle);
}

#[tokio::test(start_paused = true)]
async fn websocket_stays_open_when_the_client_answers_pings() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    for _ in 0..20 {
        assert_eq!(peer.frame().await, Some((0x89, Vec::new())));
        peer.raw(&frame(0x8a, b"")).await;
    }
    assert_eq!(peer.call("sum", &json!([1])).await, 1);
}

#[tokio::test(start_paused = true)]
async fn websocket_closes_as_idle_when_a_message_is_never_completed() {
    let server = Server::new(Limits::default());
    let mut peer = server.connect();
    // The header announces a thousand bytes, which are then sent one at a time.
    let bytes = frame(0x81, &[b' '; 1000]);
    let mut rest = bytes.into_iter();
    let closed = soon(async {
        loop {
            if let Ok(closed) = tokio::time::timeout(Duration::from_secs(1), &mut peer.served).await {
                return closed.unwrap();
            }
            // A write error is expected once the engine has closed, which is what this loop waits for.
            let _ = peer.stream.write_all(&[rest.next().unwrap()]).await;
        }
    })
    .await;
    assert_eq!(closed, Closed::Idle);
}

#[test]
fn accept_key_matches_the_rfc_example() {
    assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/// Counts the writes, and the reads that returned data.
struct Counting {
    stream: DuplexStream,
    calls: Arc<[AtomicUsize; 2]>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.calls[0].fetch_add(1, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.calls[1].fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn websocket_handles_a_batch_of_frames_with_one_read_and_one_write() {
    let server = Server::new(Limits::default());
    let (stream, far) = tokio::io::duplex(1 << 20);
    let calls = Arc::<[AtomicUsize; 2]>::default();
    let counting = Counting { stream: far, calls: calls.clone() };
    let mut peer = Peer { stream, served: server.serve(counting, &[]) };
    let counted = || calls.each_ref().map(|calls| calls.swap(0, Ordering::Relaxed));
    let sum =
        |id: usize| text(&json!({"jsonrpc": "2.0", "id": id, "method": "sum", "params": [id]}).to_string());
    let ids = 0..20;
    for _ in 0..3 {
        let requests: Vec<u8> = ids.clone().flat_map(sum).chain(frame(0x89, b"p")).collect();
        peer.raw(&requests).await;
        assert_eq!(peer.frame().await, Some((0x8a, b"p".to_vec())));
        for id in ids.clone() {
            assert_eq!(peer.next().await["result"], id);
        }
        assert_eq!(counted(), [1, 1]);
    }
    peer.call("events.subscribe", &json!({"topics": ["*"]})).await;
    counted();
    server.app.broker.publish_all(5, ids.clone().map(|id| NewEvent { topic: format!("t{id}"), data: None }));
    for id in ids {
        assert_eq!(peer.next().await["params"]["topic"], format!("t{id}"));
    }
    assert_eq!(counted(), [0, 1]);
}

/// Rejects writes while `closed` is set, and records the address of the data to be written.
struct Blocked {
    stream: DuplexStream,
    closed: Arc<AtomicBool>,
    address: Arc<AtomicUsize>,
}

impl AsyncRead for Blocked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Blocked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.closed.load(Ordering::Relaxed) {
            self.address.store(buf.as_ptr().addr(), Ordering::Relaxed);
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn event_is_written_to_all_subscribers_from_the_same_memory() {
    let server = Server::new(Limits::default());
    let closed = Arc::<AtomicBool>::default();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let (stream, far) = tokio::io::duplex(1 << 16);
        let address = Arc::<AtomicUsize>::default();
        let blocked = Blocked { stream: far, closed: closed.clone(), address: address.clone() };
        let mut peer = Peer { stream, served: server.serve(blocked, &[]) };
        peer.call("events.subscribe", &json!({"topics": ["a"]})).await;
        peers.push((peer, address));
    }
    closed.store(true, Ordering::Relaxed);
    server.app.broker.publish("a", 5, None);
    let addresses = soon(async {
        loop {
            let addresses: Vec<usize> =
                peers.iter().map(|(_, address)| address.load(Ordering::Relaxed)).collect();
            if !addresses.contains(&0) {
                return addresses;
            }
            tokio::task::yield_now().await;
        }
    });
    // All three connections now hold their frames, so equal addresses mean shared memory.
    let addresses = addresses.await;
    assert_eq!(addresses, vec![addresses[0]; 3]);
}

#[tokio::test]
async fn closed_connection_is_not_reset_while_the_client_still_writes() {
    let server = Server::new(Limits { close_wait: Duration::from_mins(1), ..Limits::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let mut peer = Peer { stream, served: server.serve(accepted, &[]) };
    peer.raw(&[frame(0x83, b""), vec![0; 200_000]].concat()).await;
    let (first, _) = peer.frame().await.unwrap();
    assert_eq!(first, 0x88);
    // Closing a socket with unread bytes resets the connection, and further writes would then fail.
    for _ in 0..100 {
        peer.raw(&[0]).await;
        tokio::task::yield_now().await;
    }
    peer.stream.shutdown().await.unwrap();
    assert_eq!(soon(&mut peer.served).await.unwrap(), Closed::Protocol);
    assert_eq!(soon(peer.stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn idle_connection_uses_little_memory() {
    let server = Server::new(Limits::default());
    let (_near, far) = tokio::io::duplex(64);
    let serving = server.engine.serve(far, bytes::Bytes::new());
    assert!(size_of_val(&serving) < 2000, "{}", size_of_val(&serving));
}
