//! The listeners: a Unix socket, which checks the peer's uid, and TCP on a loopback address, which checks the bearer
//! token.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use identity_store::Store;
use rpc_engine::Engine;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::{AccessCheck, Route, Transport};
use super::bind::Listeners;
use super::body::read_body;
use super::headers::only;
use super::metrics::{self, Served};
use super::places::{Place, Places};
use super::readiness::Readiness;
use super::refusals::{self, Refusals};
use super::respond::{self, HttpResponse};
use super::{console, cors, operator, pair};
use crate::console::{Attached, Consoles};
use crate::forge::oauth::Flows;
use crate::forge::oauth::callback::Page;
use crate::forge::operator::session::BrowserSessions;
use crate::hint::Step;
use crate::pairing::{Clients, Grant};

/// Limits on the request head: bytes, headers, and the time that a client may take to send it.
const HEAD_BYTES: usize = 8 * 1024;
const HEAD_HEADERS: usize = 64;
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The pause after a failed accept. Retrying immediately would only waste CPU time when there are no file descriptors
/// left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The tasks of all connections, the token that ends them, and the place of one connection.
struct ConnectionTasks {
    tasks: TaskTracker,
    stop: CancellationToken,
    place: Arc<Place>,
}

/// Handles the query with which a browser returns from a provider.
pub(crate) type LoginCallback = Arc<dyn Fn(String) -> BoxFuture<'static, Page> + Send + Sync>;

/// The state shared by all connections.
pub(crate) struct HttpServer {
    /// Checks the head of each request.
    pub access: AccessCheck,
    /// Answers the calls.
    pub engine: Engine,
    /// The paired clients.
    pub clients: Clients,
    /// The sessions of the console; `None` if it is off.
    pub consoles: Option<Consoles>,
    /// The sign-ins in progress, to which browser callbacks belong.
    pub flows: Flows,
    /// Handles the return of a browser from a provider, with the query.
    pub logins: LoginCallback,
    /// The browser sessions in which the operator has signed in.
    pub sessions: BrowserSessions,
    /// The store, which `/readyz` checks.
    pub store: Store,
    /// False until startup is complete, and again during shutdown.
    pub ready: AtomicBool,
    /// The state of the database, as `/readyz` reports it.
    pub readiness: Readiness,
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
        let readable_by = self.access.readable_by(transport, &head.headers);
        let answer = self.admitted::<S>(head, body, upgrade, transport, tasks, place).await;
        cors::readable(answer, readable_by)
    }

    async fn admitted<S>(
        self: Arc<Self>,
        head: Parts,
        body: Incoming,
        upgrade: OnUpgrade,
        transport: Transport,
        tasks: &TaskTracker,
        place: &Place,
    ) -> HttpResponse
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let route = self.access.check(transport, &head);
        let (grant, attached) = match &route {
            Ok(_) => self.access.grant(transport, &head),
            Err(_) => (None, None),
        };
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
            Ok(Route::Login { .. }) if grant.as_ref().is_some_and(|grant| !grant.may_log_in()) => {
                let step = Step::PairWithScope { scope: "login".to_owned() };
                respond::failure(StatusCode::FORBIDDEN, "forbidden", step)
            }
            Ok(Route::Post) => self.post(transport, grant, body).await,
            Ok(Route::Pair) => match read_body(body).await {
                Ok(body) => {
                    let origin = only(&head.headers, &ORIGIN).map(str::to_owned);
                    pair::exchange(&self.clients, &body, origin).await
                }
                Err(refusal) => refusal,
            },
            Ok(Route::Socket { accept, subprotocol }) => {
                let caller = Admitted { grant, _attached: attached, _permit: place.take() };
                tasks.spawn(self.socket::<S>(transport, caller, upgrade));
                respond::switching(&accept, subprotocol)
            }
            Ok(Route::ConsoleSession) => match &self.consoles {
                Some(consoles) => console::exchange(consoles, &head.headers, body).await,
                None => respond::status(false),
            },
            Ok(route) => self.read(route, &head).await,
        }
    }

    /// Answers a request that has no body and stays one.
    async fn read(&self, route: Route, head: &Parts) -> HttpResponse {
        match route {
            Route::Health => respond::status(true),
            Route::Ready => {
                respond::status(self.ready.load(Ordering::Relaxed) && self.readiness.check(&self.store).await)
            }
            Route::Metrics => respond::text(metrics::MEDIA, metrics::text(&self.store, self.served()).await),
            Route::OpenRpc => respond::json(StatusCode::OK, self.engine.openrpc().clone()),
            Route::Callback => {
                let query = head.uri.query().unwrap_or_default();
                operator::callback(&self.flows, &self.sessions, query, &head.headers).await
            }
            Route::LoginCallback => {
                let query = head.uri.query().unwrap_or_default().to_owned();
                respond::page(&(self.logins)(query).await)
            }
            Route::Me(caller) => {
                if operator::is_signed_in(&self.sessions, caller, &head.headers) {
                    operator::me(&self.store).await
                } else {
                    respond::signed_out(None)
                }
            }
            Route::Login { forge, caller } => {
                if operator::is_signed_in(&self.sessions, caller, &head.headers) {
                    operator::login(&self.flows, &forge, caller, &head.headers)
                } else {
                    respond::signed_out(Some(&forge))
                }
            }
            Route::Preflight => cors::preflight(),
            Route::ConsoleRoot => console::root(),
            Route::ConsoleFile(file) => console::file(file, &head.headers),
            // Answered before.
            Route::Post | Route::Pair | Route::ConsoleSession | Route::Socket { .. } => {
                respond::status(false)
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

    async fn post(&self, transport: Transport, grant: Option<Grant>, body: Incoming) -> HttpResponse {
        match read_body(body).await {
            Err(refusal) => refusal,
            Ok(body) => match self.engine_for(transport, grant.as_ref()).post(&body).await {
                Some(reply) => respond::json(StatusCode::OK, reply),
                None => respond::nothing(),
            },
        }
    }

    /// Returns the engine for a caller. A caller other than the owner has its own name in the audit log, and only its scopes.
    fn engine_for(&self, transport: Transport, grant: Option<&Grant>) -> Engine {
        match grant {
            Some(grant) => self.engine.on_behalf_of(grant.caller.clone()).granted(grant.scopes.to_string()),
            None => self.engine.on_behalf_of(transport.to_string()),
        }
    }

    /// Serves a WebSocket until it ends. It counts towards the quota during that time.
    async fn socket<S>(self: Arc<Self>, transport: Transport, caller: Admitted, upgrade: OnUpgrade)
    where
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
        let engine = self.engine_for(transport, caller.grant.as_ref());
        let (revoked, until) = match &caller.grant {
            Some(grant) => (grant.revoked.clone(), grant.until),
            None => (CancellationToken::new(), None),
        };
        let served = engine.serve_until(parts.io.into_inner(), parts.read_buf, revoked.clone());
        let closed = cancelled_at(until, &revoked, served).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        tracing::debug!(?closed, "a client disconnected");
    }
}

/// The caller of a WebSocket, and its place.
struct Admitted {
    /// The permissions of a caller other than the owner.
    grant: Option<Grant>,
    _attached: Option<Attached>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Completes `served`, and cancels the token at the given time.
async fn cancelled_at<T>(
    until: Option<Instant>,
    token: &CancellationToken,
    served: impl Future<Output = T>,
) -> T {
    let mut served = std::pin::pin!(served);
    if let Some(until) = until {
        tokio::select! {
            served = served.as_mut() => return served,
            () = tokio::time::sleep_until(until.into()) => token.cancel(),
        }
    }
    served.await
}

/// Returns an HTTP server with limits on the request head, which the client may take `head_time` to send.
fn http_builder(head_time: Duration) -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_time);
    server.max_buf_size(HEAD_BYTES).max_headers(HEAD_HEADERS);
    server
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
