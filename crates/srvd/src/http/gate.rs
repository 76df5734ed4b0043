//! The checks before anything is served, in their order: Host, Origin, path, version, token. Pure: head in, verdict out.
//!
//! The quota and the size of the head are checked before there is a head (`listen`, and the HTTP library's limits).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use crate::oauth::callback;
use crate::operator::session;

const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
/// What a browser says that the answer is for (Fetch Metadata).
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Which page a browser's request comes from (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The path of the operator's sign-ins, before the forge's name.
const LOGIN: &str = "/login/";
/// The longest name of a forge.
const FORGE_NAME: usize = 64;
const SUBPROTOCOL: &str = "srvd.v1";
const BEARER_SUBPROTOCOL: &str = "srvd.bearer.";

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The Unix socket, from a process of this user by the kernel's word.
    Unix {
        /// The user: the daemon's own, or root.
        uid: u32,
    },
    /// TCP on this port of a loopback address.
    Tcp {
        /// The port that is listened on, which a `Host` must name.
        port: u16,
    },
}

impl std::fmt::Display for Door {
    /// As the audit log names who came through it: there is one token, so all who bring it are one caller.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { uid } => write!(f, "unix:{uid}"),
            Self::Tcp { .. } => f.write_str("tcp"),
        }
    }
}

/// What a request that passed is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `GET /rpc`, to become a WebSocket.
    Socket {
        /// What to answer the handshake with.
        accept: String,
        /// Whether the client offered `srvd.v1`, which is then chosen.
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
    /// `GET /oauth/callback`, from a browser that a forge sent back. It carries no token: what its query holds is
    /// judged by the logins.
    Callback,
    /// `GET /me`.
    Me(Caller),
    /// `GET /login/<name>`, from a browser that the operator uses.
    Login {
        /// The forge's name in `srvd.toml`, in its alphabet.
        forge: String,
        /// Who asks.
        caller: Caller,
    },
}

/// On what word a request is the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// It came through the socket or brought the token.
    Trusted,
    /// It carries a session's cookie, which has still to be looked up.
    Browser,
}

/// Why a request is not served. The body is a fixed text; why exactly is told to the log only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// For the log.
    pub reason: &'static str,
}

/// What is served to whom.
pub struct Gate {
    token: SecretString,
    hosts: Vec<String>,
    origins: Vec<String>,
    failures: Mutex<Failures>,
}

/// Wrong tokens within the minute that began at `since`.
struct Failures {
    since: Instant,
    count: u32,
}

/// How many wrong tokens a minute are answered 401; the others are answered 429.
const FAILURES_A_MINUTE: u32 = 10;

impl Gate {
    /// A gate for this token, which serves these `Host`s and `Origin`s beside the loopback names.
    pub fn new(token: SecretString, hosts: Vec<String>, origins: Vec<String>) -> Self {
        Self { token, hosts, origins, failures: Mutex::new(Failures { since: Instant::now(), count: 0 }) }
    }

    /// Judges the head of a request.
    ///
    /// # Errors
    /// The [`Refusal`] of the first check that fails.
    pub fn check(&self, door: Door, head: &Parts) -> Result<Route, Refusal> {
        if head.version != Version::HTTP_11 {
            return refuse(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "version of HTTP");
        }
        self.check_host(door, &head.headers)?;
        self.check_origin(door, &head.headers)?;
        if head.uri.path() == callback::PATH {
            return check_callback(door, head);
        }
        if head.uri.query().is_some() {
            return refuse(StatusCode::BAD_REQUEST, "query string");
        }
        let is_get = head.method == Method::GET;
        if head.uri.path() == "/me" || head.uri.path().starts_with(LOGIN) {
            return self.check_operator(door, head);
        }
        match head.uri.path() {
            "/healthz" if is_get => return Ok(Route::Health),
            "/readyz" if is_get => return Ok(Route::Ready),
            "/rpc" if is_get || head.method == Method::POST => {}
            "/openrpc.json" if is_get => {}
            "/rpc" | "/openrpc.json" | "/healthz" | "/readyz" => {
                return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
            }
            _ => return refuse(StatusCode::NOT_FOUND, "path"),
        }
        let route = match head.uri.path() {
            "/openrpc.json" => Route::OpenRpc,
            _ if is_get => handshake(&head.headers)?,
            _ => post(&head.headers)?,
        };
        self.check_token(door, &head.headers)?;
        Ok(route)
    }

    /// What a session's cookie opens as well. A cookie goes along with whatever makes the browser ask, so that a request
    /// that another site caused is refused, and a sign-in begins by the person's own navigation only.
    fn check_operator(&self, door: Door, head: &Parts) -> Result<Route, Refusal> {
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
            // A configured Origin has been compared already.
            Some(_) if forge.is_some() || !head.headers.contains_key(&ORIGIN) => {
                return refuse(StatusCode::FORBIDDEN, "asked by another site");
            }
            _ => false,
        };
        if forge.is_some() && head.headers.get(FETCH_DEST).is_some_and(|what| what != "document") {
            return refuse(StatusCode::FORBIDDEN, "not a navigation");
        }
        let caller = match door {
            Door::Tcp { port } if !head.headers.contains_key(AUTHORIZATION) => {
                check_session(port, &head.headers)?;
                // A browser says where its navigation comes from; without that word the cookie may be abused.
                if forge.is_some() && !own {
                    return refuse(StatusCode::FORBIDDEN, "no word on which site asks");
                }
                Caller::Browser
            }
            _ => {
                self.check_token(door, &head.headers)?;
                Caller::Trusted
            }
        };
        Ok(match forge {
            Some(forge) => Route::Login { forge: forge.to_owned(), caller },
            None => Route::Me(caller),
        })
    }

    fn check_host(&self, door: Door, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(host) = only(headers, &HOST) else {
            return refuse(StatusCode::BAD_REQUEST, "not exactly one Host");
        };
        let served = match door {
            Door::Unix { .. } => matches!(host, "srvd.sock" | "localhost" | "127.0.0.1" | "[::1]"),
            Door::Tcp { port } => is_loopback(host, port),
        };
        if served || self.hosts.iter().any(|known| known == host) {
            return Ok(());
        }
        refuse(StatusCode::FORBIDDEN, "Host")
    }

    fn check_origin(&self, door: Door, headers: &HeaderMap) -> Result<(), Refusal> {
        // No program that dials a Unix socket sends these; a browser that was tricked into it would.
        if matches!(door, Door::Unix { .. })
            && (headers.contains_key(&ORIGIN) || headers.contains_key(&REFERER))
        {
            return refuse(StatusCode::FORBIDDEN, "Origin or Referer on the socket");
        }
        if !headers.contains_key(&ORIGIN) {
            return Ok(());
        }
        match only(headers, &ORIGIN) {
            Some(origin) if self.origins.iter().any(|known| known == origin) => Ok(()),
            _ => refuse(StatusCode::FORBIDDEN, "Origin"),
        }
    }

    fn check_token(&self, door: Door, headers: &HeaderMap) -> Result<(), Refusal> {
        if matches!(door, Door::Unix { .. }) {
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

fn refuse<T>(status: StatusCode, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, reason })
}

/// The header's value when it is there exactly once, as text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// The parts of a header that is a list.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| HeaderValue::to_str(value).ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn offered_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &PROTOCOL)
}

/// A `Host` that names this machine and the listener's port.
fn is_loopback(host: &str, port: u16) -> bool {
    host.rsplit_once(':').is_some_and(|(name, digits)| {
        matches!(name, "127.0.0.1" | "localhost" | "[::1]") && digits == port.to_string()
    })
}

/// Only the person's browser comes here, by a navigation to the redirect address, which is a loopback one: not through
/// a configured `Host`, not on the socket, and not as an image or a frame of some page.
fn check_callback(door: Door, head: &Parts) -> Result<Route, Refusal> {
    let Door::Tcp { port } = door else { return refuse(StatusCode::NOT_FOUND, "path") };
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

/// The cookie belongs to the loopback address that the forges send browsers back to.
fn check_session(port: u16, headers: &HeaderMap) -> Result<(), Refusal> {
    if session::presented(headers).is_none() {
        return refuse(StatusCode::UNAUTHORIZED, "no session");
    }
    if !only(headers, &HOST).is_some_and(|host| is_loopback(host, port)) {
        return refuse(StatusCode::FORBIDDEN, "Host");
    }
    Ok(())
}

/// RFC 6455, 4.2.1.
fn handshake(headers: &HeaderMap) -> Result<Route, Refusal> {
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

/// Sixteen bytes in base64.
fn is_nonce(key: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn post(headers: &HeaderMap) -> Result<Route, Refusal> {
    // A page can make a browser send text/plain without asking; this type it cannot.
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
