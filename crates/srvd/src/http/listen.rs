//! The listeners: a Unix socket, which checks the peer's uid, and TCP on a loopback address, which checks the bearer
//! token.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use identity_store::Store;
use rpc_engine::{Engine, RpcError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{AccessCheck, Route, Transport};
use super::metrics::{self, Served};
use super::operator;
use super::places::{Place, Places};
use super::refusals::{self, Refusals};
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
        check_length(socket)?;
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

/// The longest path that a socket's address can hold, in bytes, without the zero byte at its end.
const SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Checks that the system accepts the path of a socket.
///
/// # Errors
/// `InvalidInput` with the setting that makes the path shorter.
pub(crate) fn check_length(socket: &Path) -> io::Result<()> {
    let length = socket.as_os_str().len();
    if length <= SOCKET_PATH {
        return Ok(());
    }
    let text = format!(
        "{}: the path of the socket has {length} bytes, and this system allows {SOCKET_PATH}; set SRVD_RUNTIME_DIR to a directory with a shorter path",
        socket.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// The tasks of all connections, the token that ends them, and the place of one connection.
struct ConnectionTasks {
    tasks: TaskTracker,
    stop: CancellationToken,
    place: Arc<Place>,
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
    /// The maximum number of authenticated connections that each listener serves at once.
    pub connections: usize,
    /// The number of open `WebSocket`s.
    pub open: Arc<AtomicUsize>,
    /// Refused connections and requests.
    pub refusals: Refusals,
    /// The time at which this run began.
    pub started: Instant,
}

impl HttpServer {
    /// Accepts connections until `stop` is cancelled, then waits for them to end. The caller drains the engine.
    pub(crate) async fn serve(self: Arc<Self>, listeners: Listeners, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        // Each listener has separate places, so that strangers who can reach the port cannot lock the owner out of the
        // socket.
        let [unix, tcp] = [(); 2].map(|()| Places::new(self.connections));
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
            let places = if matches!(accepted, Accepted::Unix(_)) { &unix } else { &tcp };
            let (place, evicts) = places.enter();
            if evicts {
                self.refusals.connection(refusals::UNFINISHED, None);
            }
            let lifetime =
                ConnectionTasks { tasks: tasks.clone(), stop: stop.clone(), place: Arc::new(place) };
            tasks.spawn(self.clone().accepted(accepted, port, lifetime));
        }
        drop(listeners.tcp);
        drop(listeners.unix);
        // The next start replaces a leftover socket file, so failing to remove it does no harm.
        let _ = tokio::fs::remove_file(&listeners.socket).await;
        tasks.close();
        tasks.wait().await;
    }

    async fn accepted(self: Arc<Self>, accepted: Accepted, port: u16, lifetime: ConnectionTasks) {
        match accepted {
            Accepted::Unix(stream) => match our_uid(&stream) {
                Some(uid) => self.connection(stream, Transport::Unix { uid }, lifetime).await,
                None => self.refusals.connection(refusals::OTHER_USER, None),
            },
            Accepted::Tcp(stream) => {
                // Replies are small and complete, so waiting for more data would only delay them.
                let _ = stream.set_nodelay(true);
                self.connection(stream, Transport::Tcp { port }, lifetime).await;
            }
        }
    }

    async fn connection<S>(self: Arc<Self>, stream: S, transport: Transport, lifetime: ConnectionTasks)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ConnectionTasks { tasks, stop, place } = lifetime;
        let closed = place.closed.clone();
        let (server, own) = (self.clone(), place.clone());
        let service = service_fn(move |request| {
            let (server, tasks, place) = (server.clone(), tasks.clone(), own.clone());
            async move { Ok::<_, Infallible>(server.answer::<S>(request, transport, &tasks, &place).await) }
        });
        let connection =
            http_builder(HEAD_TIME).serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = closed.cancelled() => return,
            () = stop.cancelled() => {
                if place.is_unfinished() {
                    return;
                }
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
        place: &Place,
    ) -> HttpResponse
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let route = self.access.check(transport, &head);
        match &route {
            Ok(route) if route.is_authenticated() => {
                if !place.authenticate() {
                    self.refusals.connection(refusals::NO_PLACE, Some(self.connections));
                    return respond::no_place();
                }
            }
            // These wait for the database, so they keep their place among the unfinished.
            Ok(Route::Health | Route::Ready) => {}
            _ => place.complete(),
        }
        match route {
            Err(refusal) => {
                self.refusals.request(&head, refusal);
                operator::refused(&head, refusal)
            }
            Ok(Route::Health) => respond::status(true),
            Ok(Route::Ready) => {
                respond::status(self.ready.load(Ordering::Relaxed) && self.store.ping().await.is_ok())
            }
            Ok(Route::Metrics) => {
                respond::text(metrics::MEDIA, metrics::text(&self.store, self.served()).await)
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
                tasks.spawn(self.socket::<S>(transport, upgrade, place.take()));
                respond::switching(&accept, subprotocol)
            }
        }
    }

    fn served(&self) -> Served {
        Served {
            uptime: self.started.elapsed(),
            connections: self.open.load(Ordering::Relaxed),
            calls: self.engine.outcomes(),
            refused: self.refusals.totals(),
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Shorter than the HTTP library's default limit of 30 seconds.
    const OWN_LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn socket_path_that_is_too_long_is_rejected_with_the_setting_that_shortens_it() {
        let dir = tempfile::tempdir().unwrap();
        let left = SOCKET_PATH - dir.path().as_os_str().len() - 1;
        assert!(check_length(&dir.path().join("s".repeat(left))).is_ok());
        let long = dir.path().join("s".repeat(left + 1));
        let error = Listeners::bind(&long, None).await.err().unwrap().to_string();
        assert!(error.contains("SRVD_RUNTIME_DIR") && error.contains(&long.display().to_string()), "{error}");
    }

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
