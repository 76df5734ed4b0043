//! Checks on a request head before anything is served, in this order: HTTP version, Host, Origin, path, WebSocket
//! version, token. The checks are pure functions of the head.
//!
//! The limits on connections and on the size of the head apply earlier (in `listen` and in the HTTP library).
//!
//! A session cookie gives access only to `/me` and `/login/<name>`, and only with a loopback `Host`. For a sign-in by
//! cookie, the browser must state that the request was not made by another site.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, ORIGIN, REFERER, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use super::headers::{is_loopback, is_origin, list, only};
use crate::forge::oauth::callback;
use crate::forge::operator::session;

const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
/// The browser's statement about how the response will be used (Fetch Metadata).
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// The browser's statement about which site made the request (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The path of the operator's sign-ins, without the forge's name.
const LOGIN: &str = "/login/";
/// The maximum length of a forge's name, in bytes.
const FORGE_NAME: usize = 64;
/// The path of the figures for Prometheus.
const METRICS: &str = "/metrics";
const SUBPROTOCOL: &str = "srvd.v1";
const BEARER_SUBPROTOCOL: &str = "srvd.bearer.";

/// The listener through which a request was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The Unix socket. The kernel confirms that the peer is this user or root.
    Unix {
        /// The uid of the peer: the daemon's own user, or root.
        uid: u32,
    },
    /// A TCP port on a loopback address.
    Tcp {
        /// The listener's port, which a `Host` header must name.
        port: u16,
    },
}

impl std::fmt::Display for Transport {
    /// Writes the caller's name for the audit log. There is only one token, so all TCP callers share one name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { uid } => write!(f, "unix:{uid}"),
            Self::Tcp { .. } => f.write_str("tcp"),
        }
    }
}

/// The purpose of a request that has passed the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /rpc`, to be upgraded to a WebSocket.
    Socket {
        /// The value of the `Sec-WebSocket-Accept` header.
        accept: String,
        /// True if the client offered the subprotocol `srvd.v1`, which is then selected.
        subprotocol: bool,
    },
    /// `POST /rpc`.
    Post,
    /// `GET /healthz`.
    Health,
    /// `GET /readyz`.
    Ready,
    /// `GET /openrpc.json`.
    OpenRpc,
    /// `GET /metrics`.
    Metrics,
    /// `GET /oauth/callback`, from a browser that was redirected by a forge. It has no token: the login flows check its
    /// query.
    Callback,
    /// `GET /me`.
    Me(Caller),
    /// `GET /login/<name>`, from the operator's browser.
    Login {
        /// The forge's name in `srvd.toml`. Its characters have been checked.
        forge: String,
        /// The authentication of the request.
        caller: Caller,
    },
}

impl Route {
    /// Returns whether the request carries its own proof: the token, or the peer's uid.
    pub(super) fn is_authenticated(&self) -> bool {
        match self {
            Self::Socket { .. } | Self::Post | Self::OpenRpc | Self::Metrics => true,
            Self::Me(caller) | Self::Login { caller, .. } => *caller == Caller::Trusted,
            Self::Health | Self::Ready | Self::Callback => false,
        }
    }
}

/// The means by which a request was authenticated as the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The request arrived through the Unix socket or contains the token.
    Trusted,
    /// The request contains a session cookie, which has not been looked up yet.
    Browser,
}

/// The reason why a request is rejected. The response body is a fixed text; the exact reason is only logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccessRefusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The failed check, for the log.
    pub reason: &'static str,
}

/// The checks on a request head, with the configured token, hosts and origins.
pub(crate) struct AccessCheck {
    token: SecretString,
    hosts: Vec<String>,
    origins: Vec<String>,
    failures: Mutex<Failures>,
}

/// The number of wrong tokens in the minute that started at `since`.
struct Failures {
    since: Instant,
    count: u32,
}

/// The number of wrong tokens per minute that are answered with 401. Further ones are answered with 429.
const FAILURES_A_MINUTE: u32 = 10;

impl AccessCheck {
    /// Creates the checks with this token. They accept these `Host`s and `Origin`s in addition to the loopback names.
    pub(crate) fn new(token: SecretString, hosts: Vec<String>, origins: Vec<String>) -> Self {
        Self { token, hosts, origins, failures: Mutex::new(Failures { since: Instant::now(), count: 0 }) }
    }

    /// Checks the head of a request.
    ///
    /// # Errors
    /// The [`AccessRefusal`] of the first check that fails.
    pub(crate) fn check(&self, transport: Transport, head: &Parts) -> Result<Route, AccessRefusal> {
        let probe = probe(head.uri.path());
        let is_old = head.version == Version::HTTP_10 && probe.is_some();
        if head.version != Version::HTTP_11 && !is_old {
            return refuse(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "unsupported HTTP version");
        }
        // HTTP/1.0 does not require a Host, and no browser speaks it.
        if !is_old || head.headers.contains_key(&HOST) {
            self.check_host(transport, &head.headers)?;
        }
        self.check_origin(transport, &head.headers)?;
        if let Some(route) = probe {
            let reads = head.method == Method::GET || head.method == Method::HEAD;
            return if reads { Ok(route) } else { refuse(StatusCode::METHOD_NOT_ALLOWED, "method") };
        }
        if head.uri.path() == callback::PATH {
            return check_callback(transport, head);
        }
        if head.uri.query().is_some() {
            return refuse(StatusCode::BAD_REQUEST, "query string");
        }
        let is_get = head.method == Method::GET;
        if head.uri.path() == "/me" || head.uri.path().starts_with(LOGIN) {
            return self.check_operator(transport, head);
        }
        match head.uri.path() {
            "/rpc" if is_get || head.method == Method::POST => {}
            "/openrpc.json" | METRICS if is_get => {}
            "/rpc" | "/openrpc.json" | METRICS => {
                return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
            }
            _ => return refuse(StatusCode::NOT_FOUND, "path"),
        }
        let route = match head.uri.path() {
            "/openrpc.json" => Route::OpenRpc,
            METRICS => Route::Metrics,
            _ if is_get => handshake(&head.headers)?,
            _ => post(&head.headers)?,
        };
        self.check_token(transport, &head.headers)?;
        Ok(route)
    }

    /// Checks a request to a path that also accepts a session cookie. A browser attaches the cookie to every request,
    /// including those triggered by another site, so such requests are rejected. A sign-in must be a navigation by the
    /// user.
    fn check_operator(&self, transport: Transport, head: &Parts) -> Result<Route, AccessRefusal> {
        let forge = head.uri.path().strip_prefix(LOGIN);
        let in_alphabet =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if forge.is_some_and(|name| !(1..=FORGE_NAME).contains(&name.len()) || !name.bytes().all(in_alphabet))
        {
            return refuse(StatusCode::NOT_FOUND, "path");
        }
        if head.method != Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
        }
        let own = match head.headers.get(FETCH_SITE) {
            Some(site) if site == "none" || site == "same-origin" => true,
            // A configured Origin has already been checked.
            Some(_) if forge.is_some() || !head.headers.contains_key(&ORIGIN) => {
                return refuse(StatusCode::FORBIDDEN, "request from another site");
            }
            _ => false,
        };
        if forge.is_some() && head.headers.get(FETCH_DEST).is_some_and(|what| what != "document") {
            return refuse(StatusCode::FORBIDDEN, "not a navigation");
        }
        let caller = match transport {
            Transport::Tcp { port } if !head.headers.contains_key(AUTHORIZATION) => {
                check_session(port, &head.headers)?;
                // A browser states which site started the navigation. Without that statement, the cookie may have been
                // misused.
                if forge.is_some() && !own {
                    return refuse(StatusCode::FORBIDDEN, "no Sec-Fetch-Site header");
                }
                Caller::Browser
            }
            _ => {
                self.check_token(transport, &head.headers)?;
                Caller::Trusted
            }
        };
        Ok(match forge {
            Some(forge) => Route::Login { forge: forge.to_owned(), caller },
            None => Route::Me(caller),
        })
    }

    fn check_host(&self, transport: Transport, headers: &HeaderMap) -> Result<(), AccessRefusal> {
        let Some(host) = only(headers, &HOST) else {
            return refuse(StatusCode::BAD_REQUEST, "not exactly one Host");
        };
        let served = match transport {
            Transport::Unix { .. } => ["srvd.sock", "localhost", "127.0.0.1", "[::1]"]
                .iter()
                .any(|name| host.eq_ignore_ascii_case(name)),
            Transport::Tcp { port } => is_loopback(host, port),
        };
        if served || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        refuse(StatusCode::FORBIDDEN, "Host")
    }

    fn check_origin(&self, transport: Transport, headers: &HeaderMap) -> Result<(), AccessRefusal> {
        // A client of a Unix socket never sends these headers, but a browser tricked into connecting would.
        if matches!(transport, Transport::Unix { .. })
            && (headers.contains_key(&ORIGIN) || headers.contains_key(&REFERER))
        {
            return refuse(StatusCode::FORBIDDEN, "Origin or Referer on the socket");
        }
        if !headers.contains_key(&ORIGIN) {
            return Ok(());
        }
        match only(headers, &ORIGIN) {
            Some(origin) if self.origins.iter().any(|known| is_origin(known, origin)) => Ok(()),
            _ => refuse(StatusCode::FORBIDDEN, "Origin"),
        }
    }

    fn check_token(&self, transport: Transport, headers: &HeaderMap) -> Result<(), AccessRefusal> {
        if matches!(transport, Transport::Unix { .. }) {
            return Ok(());
        }
        let bearer = only(headers, &AUTHORIZATION)
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let offered = offered_protocols(headers).find_map(|name| name.strip_prefix(BEARER_SUBPROTOCOL));
        let right = |token: &str| bool::from(token.as_bytes().ct_eq(self.token.expose_secret().as_bytes()));
        if bearer.or(offered).is_some_and(right) {
            return Ok(());
        }
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failures.since.elapsed() > Duration::from_mins(1) {
            *failures = Failures { since: Instant::now(), count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
        if failures.count > FAILURES_A_MINUTE {
            return refuse(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens");
        }
        refuse(StatusCode::UNAUTHORIZED, "token")
    }
}

fn refuse<T>(status: StatusCode, reason: &'static str) -> Result<T, AccessRefusal> {
    Err(AccessRefusal { status, reason })
}

fn offered_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &PROTOCOL)
}

/// Returns the route of a path that anyone on this machine may ask for, whatever its query is.
fn probe(path: &str) -> Option<Route> {
    match path {
        "/healthz" => Some(Route::Health),
        "/readyz" => Some(Route::Ready),
        _ => None,
    }
}

/// Checks a request to the redirect URL. Only a navigation of the user's browser to the loopback address is allowed.
/// Requests through a configured `Host`, through the socket, or for an image or frame in a page are rejected.
fn check_callback(transport: Transport, head: &Parts) -> Result<Route, AccessRefusal> {
    let Transport::Tcp { port } = transport else { return refuse(StatusCode::NOT_FOUND, "path") };
    if !only(&head.headers, &HOST).is_some_and(|host| is_loopback(host, port)) {
        return refuse(StatusCode::FORBIDDEN, "Host");
    }
    if head.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
    }
    match head.headers.get(FETCH_DEST) {
        Some(destination) if destination != "document" => refuse(StatusCode::FORBIDDEN, "not a navigation"),
        _ => Ok(Route::Callback),
    }
}

/// Checks for a session cookie. The cookie belongs to the loopback address to which forges redirect browsers.
fn check_session(port: u16, headers: &HeaderMap) -> Result<(), AccessRefusal> {
    if session::presented(headers).is_none() {
        return refuse(StatusCode::UNAUTHORIZED, "no session");
    }
    if !only(headers, &HOST).is_some_and(|host| is_loopback(host, port)) {
        return refuse(StatusCode::FORBIDDEN, "Host");
    }
    Ok(())
}

/// Checks a WebSocket handshake (RFC 6455, section 4.2.1).
fn handshake(headers: &HeaderMap) -> Result<Route, AccessRefusal> {
    let upgrades = list(headers, &UPGRADE).any(|value| value.eq_ignore_ascii_case("websocket"))
        && list(headers, &CONNECTION).any(|value| value.eq_ignore_ascii_case("upgrade"));
    if !upgrades || only(headers, &VERSION) != Some("13") {
        return refuse(StatusCode::UPGRADE_REQUIRED, "not a WebSocket handshake of version 13");
    }
    let Some(key) = only(headers, &KEY).filter(|key| is_nonce(key)) else {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key");
    };
    let subprotocol = offered_protocols(headers).any(|name| name == SUBPROTOCOL);
    Ok(Route::Socket { accept: rpc_engine::accept_key(key.as_bytes()), subprotocol })
}

/// Returns whether the key is 16 bytes in base64.
fn is_nonce(key: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn post(headers: &HeaderMap) -> Result<Route, AccessRefusal> {
    // A page can make a browser send text/plain without a preflight request, but not this type.
    let is_json = only(headers, &hyper::header::CONTENT_TYPE).is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if is_json {
        return Ok(Route::Post);
    }
    refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type")
}

#[cfg(test)]
mod tests;
