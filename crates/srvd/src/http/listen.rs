//! The listeners: a Unix socket, which checks the peer's uid, and TCP on a loopback address, which checks the bearer
//! token.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use identity_store::Store;
use rpc_engine::{Engine, RpcError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{AccessCheck, Route, Transport};
use super::operator;
use super::respond::{self, HttpResponse};
use crate::forge::oauth::Flows;
use crate::forge::operator::session::BrowserSessions;

/// Limits on the request head: bytes, headers, and the time that a client may take to send it.
const HEAD_BYTES: usize = 8 * 1024;
const HEAD_HEADERS: usize = 64;
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The maximum size of a POST body, in bytes.
const BODY_BYTES: usize = 1024 * 1024;
/// The maximum time for a client to send the body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// The pause after a failed accept. Retrying immediately would only waste CPU time when there are no file descriptors
/// left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The bound sockets, not yet being served.
pub(crate) struct Listeners {
    unix: UnixListener,
    socket: PathBuf,
    tcp: Option<TcpListener>,
}

impl Listeners {
    /// Binds both sockets. The socket file is created in a directory that only this user may enter, with a umask that
    /// denies other users access to the file. A socket left by a crashed daemon is replaced, which is safe because the
    /// caller holds the lock of the data directory.
    ///
    /// # Errors
    /// The I/O error, including the address.
    pub(crate) async fn bind(socket: &Path, tcp: Option<SocketAddr>) -> io::Result<Self> {
        let named =
            |what: String| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
        match tokio::fs::symlink_metadata(socket).await {
            Ok(found) => {
                use std::os::unix::fs::FileTypeExt as _;
                if !found.file_type().is_socket() {
                    let text = format!("{} is not a socket, so it is kept; move it away", socket.display());
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
                }
                if UnixStream::connect(socket).await.is_ok() {
                    let text = format!("{}: another process is serving this socket", socket.display());
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
                }
                tokio::fs::remove_file(socket).await.map_err(named(socket.display().to_string()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(socket.display().to_string())(error)),
        }
        let unix = UnixListener::bind(socket).map_err(named(socket.display().to_string()))?;
        let tcp = match tcp {
            Some(address) => Some(TcpListener::bind(address).await.map_err(named(address.to_string()))?),
            None => None,
        };
        Ok(Self { unix, socket: socket.to_owned(), tcp })
    }

    /// The TCP address that was bound.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }
}

/// The tasks of all connections, and the token that ends them.
struct ConnectionTasks {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The state shared by all connections.
pub(crate) struct HttpServer {
    /// Checks the head of each request.
    pub access: AccessCheck,
    /// Answers the calls.
    pub engine: Engine,
    /// The sign-ins in progress, to which browser callbacks belong.
    pub flows: Flows,
    /// The browser sessions in which the operator has signed in.
    pub sessions: BrowserSessions,
    /// The store, which `/readyz` checks.
    pub store: Store,
    /// False until startup is complete, and again during shutdown.
    pub ready: AtomicBool,
    /// The maximum number of connections that each listener serves at once.
    pub connections: usize,
    /// The number of open `WebSocket`s.
    pub open: Arc<AtomicUsize>,
}

impl HttpServer {
    /// Accepts connections until `stop` is cancelled, then waits for them to end. The caller drains the engine.
    pub(crate) async fn serve(self: Arc<Self>, listeners: Listeners, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        // Each listener has a separate quota, so that strangers who can reach the port cannot lock the owner out of the
        // socket.
        let [unix_quota, tcp_quota] = [(); 2].map(|()| Arc::new(Semaphore::new(self.connections)));
        let port = listeners.tcp_address().map(|address| address.port()).unwrap_or_default();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listeners.unix.accept() => accepted.map(|(stream, _)| Accepted::Unix(stream)),
                accepted = accept_tcp(listeners.tcp.as_ref()) => accepted.map(Accepted::Tcp),
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let quota = if matches!(accepted, Accepted::Unix(_)) { &unix_quota } else { &tcp_quota };
            let permit = quota.clone().try_acquire_owned().ok();
            let server = self.clone();
            let lifetime = ConnectionTasks { tasks: tasks.clone(), stop: stop.clone() };
            tasks.spawn(async move {
                match accepted {
                    Accepted::Unix(stream) => {
                        let Some(uid) = our_uid(&stream) else {
                            return tracing::warn!("closed a connection from another user");
                        };
                        server.connection(stream, Transport::Unix { uid }, permit, lifetime).await;
                    }
                    Accepted::Tcp(stream) => {
                        // Replies are small and complete, so waiting for more data would only delay them.
                        let _ = stream.set_nodelay(true);
                        server.connection(stream, Transport::Tcp { port }, permit, lifetime).await;
                    }
                }
            });
        }
        drop(listeners.tcp);
        drop(listeners.unix);
        // The next start replaces a leftover socket file, so failing to remove it does no harm.
        let _ = tokio::fs::remove_file(&listeners.socket).await;
        tasks.close();
        tasks.wait().await;
    }

    async fn connection<S>(
        self: Arc<Self>,
        mut stream: S,
        transport: Transport,
        permit: Option<OwnedSemaphorePermit>,
        lifetime: ConnectionTasks,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ConnectionTasks { tasks, stop } = lifetime;
        let Some(permit) = permit else {
            tracing::warn!(limit = self.connections, "a connection was rejected because too many are open");
            let busy = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            // The client may already have disconnected; the connection is rejected in any case.
            let _ = tokio::time::timeout(HEAD_TIME, stream.write_all(busy)).await;
            return;
        };
        let permit = Arc::new(std::sync::Mutex::new(Some(permit)));
        let server = self.clone();
        let service = service_fn(move |request| {
            let (server, tasks, permit) = (server.clone(), tasks.clone(), permit.clone());
            async move { Ok::<_, Infallible>(server.answer::<S>(request, transport, &tasks, &permit).await) }
        });
        let connection =
            http_builder(HEAD_TIME).serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection failed");
        }
    }

    async fn answer<S>(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        transport: Transport,
        tasks: &TaskTracker,
        permit: &std::sync::Mutex<Option<OwnedSemaphorePermit>>,
    ) -> HttpResponse
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        match self.access.check(transport, &head) {
            Err(refusal) => {
                tracing::warn!(
                    status = refusal.status.as_u16(),
                    reason = refusal.reason,
                    "a request was rejected"
                );
                operator::refused(&head, refusal)
            }
            Ok(Route::Health) => respond::status(true),
            Ok(Route::Ready) => {
                respond::status(self.ready.load(Ordering::Relaxed) && self.store.ping().await.is_ok())
            }
            Ok(Route::OpenRpc) => respond::json(StatusCode::OK, self.engine.openrpc().clone()),
            Ok(Route::Callback) => {
                let query = head.uri.query().unwrap_or_default();
                operator::callback(&self.flows, &self.sessions, query, &head.headers).await
            }
            Ok(Route::Me(caller)) => {
                if operator::is_signed_in(&self.sessions, caller, &head.headers) {
                    operator::me(&self.store).await
                } else {
                    respond::signed_out(None)
                }
            }
            Ok(Route::Login { forge, caller }) => {
                if operator::is_signed_in(&self.sessions, caller, &head.headers) {
                    operator::login(&self.flows, &forge, caller, &head.headers)
                } else {
                    respond::signed_out(Some(&forge))
                }
            }
            Ok(Route::Post) => self.post(transport, body).await,
            Ok(Route::Socket { accept, subprotocol }) => {
                let permit = permit.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                tasks.spawn(self.socket::<S>(transport, upgrade, permit));
                respond::switching(&accept, subprotocol)
            }
        }
    }

    async fn post(&self, transport: Transport, body: Incoming) -> HttpResponse {
        match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
            Err(_) => respond::json(StatusCode::REQUEST_TIMEOUT, r#"{"error":"Request Timeout"}"#),
            Ok(Err(_)) => respond::json(StatusCode::PAYLOAD_TOO_LARGE, too_large()),
            Ok(Ok(body)) => {
                match self.engine.on_behalf_of(transport.to_string()).post(&body.to_bytes()).await {
                    Some(reply) => respond::json(StatusCode::OK, reply),
                    None => respond::nothing(),
                }
            }
        }
    }

    /// Serves a WebSocket until it ends. It counts towards the quota during that time.
    async fn socket<S>(
        self: Arc<Self>,
        transport: Transport,
        upgrade: OnUpgrade,
        permit: Option<OwnedSemaphorePermit>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "a client disconnected during the handshake"),
        };
        // The plain stream, without the HTTP library's layers and buffers.
        let Ok(parts) = upgraded.downcast::<TokioIo<S>>() else {
            return tracing::error!("an upgraded connection has a different type than the accepted one");
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        let engine = self.engine.on_behalf_of(transport.to_string());
        let closed = engine.serve(parts.io.into_inner(), parts.read_buf).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        tracing::debug!(?closed, "a client disconnected");
        drop(permit);
    }
}

/// Returns an HTTP server with limits on the request head, which the client may take `head_time` to send.
fn http_builder(head_time: Duration) -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_time);
    server.max_buf_size(HEAD_BYTES).max_headers(HEAD_HEADERS);
    server
}

/// Returns the engine's error for a message that is too large. Its id is null because the message was not read.
fn too_large() -> String {
    serde_json::json!({"jsonrpc": "2.0", "error": RpcError::message_too_large(), "id": null}).to_string()
}

enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

async fn accept_tcp(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Returns the peer's uid if it is this user or root.
fn our_uid(stream: &UnixStream) -> Option<u32> {
    let ours = rustix::process::geteuid().as_raw();
    let uid = stream.peer_cred().ok()?.uid();
    (uid == ours || uid == 0).then_some(uid)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Shorter than the HTTP library's default limit of 30 seconds.
    const OWN_LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn connection_with_a_slow_request_head_is_closed() {
        let (mut client, stream) = tokio::io::duplex(1024);
        let service = service_fn(|_| async { Ok::<_, Infallible>(respond::status(true)) });
        let served = tokio::spawn(
            http_builder(Duration::from_millis(50)).serve_connection(TokioIo::new(stream), service),
        );
        client.write_all(b"GET /healthz HTTP/1.1\r\nHos").await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(OWN_LIMIT, client.read_to_end(&mut answer)).await;
        assert_eq!((read.unwrap().unwrap(), answer), (0, Vec::new()));
        assert!(served.await.unwrap().unwrap_err().is_timeout());
    }
}
