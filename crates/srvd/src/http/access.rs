//! Checks on a request head before anything is served, in this order: HTTP version, Host, Origin, path, WebSocket
//! version, token. The checks are pure functions of the head.
//!
//! The limits on connections and on the size of the head apply earlier (in `listen` and in the HTTP library).
//!
//! A session cookie gives access only to `/me` and `/login/<name>`, and only with a loopback `Host`. For a sign-in by
//! cookie, the browser must state that the request was not made by another site.

use hyper::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use secrecy::SecretString;

use super::console;
use super::handshake::handshake;
use super::headers::{is_loopback, only};
pub(crate) use super::route::{Caller, Route};
use super::token::{TokenCheck, presented};
use crate::base::origin;
use crate::console::{Attached, Consoles};
use crate::forge::oauth::callback;
use crate::forge::operator::session;
use crate::pairing::{Client, Grant, Known};

/// The browser's statement about how the response will be used (Fetch Metadata).
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// The browser's statement about which site made the request (Fetch Metadata).
pub(super) const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The path of the operator's sign-ins, without the forge's name.
const LOGIN: &str = "/login/";
/// The maximum length of a forge's name, in bytes.
const FORGE_NAME: usize = 64;
/// The path of the figures for Prometheus.
const METRICS: &str = "/metrics";
/// The path at which a code is exchanged for a token.
pub(super) const PAIR: &str = "/pair";

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
    token: TokenCheck,
    hosts: Vec<String>,
    origins: Vec<String>,
    clients: Known,
    /// The sessions of the console; `None` if it is off.
    consoles: Option<Consoles>,
}

impl AccessCheck {
    /// Creates the checks with this token and those of the paired clients. They accept these `Host`s and `Origin`s in
    /// addition to the loopback names.
    pub(crate) fn new(token: SecretString, hosts: Vec<String>, origins: Vec<String>, clients: Known) -> Self {
        Self { token: TokenCheck::new(token), hosts, origins, clients, consoles: None }
    }

    /// Serves the console with these sessions.
    #[must_use]
    pub(crate) fn with_consoles(self, consoles: Option<Consoles>) -> Self {
        Self { consoles, ..self }
    }

    /// Returns the permissions of a caller other than the owner. Those of a console session count a connection.
    pub(super) fn grant(&self, transport: Transport, head: &Parts) -> (Option<Grant>, Option<Attached>) {
        let Transport::Tcp { .. } = transport else { return (None, None) };
        if let Some(consoles) = self.consoles.as_ref().filter(|_| console::is_handshake(head)) {
            let admitted =
                console::secrets(&head.headers).and_then(|(cookie, secret)| consoles.admit(&cookie, &secret));
            return admitted.map_or((None, None), |(grant, attached)| (Some(grant), Some(attached)));
        }
        (self.client(transport, &head.headers).map(Grant::from), None)
    }

    /// Returns the paired client whose token the request presents. A peer on the Unix socket is the owner.
    pub(super) fn client(&self, transport: Transport, headers: &HeaderMap) -> Option<Client> {
        let token = presented(headers).filter(|_| matches!(transport, Transport::Tcp { .. }))?;
        self.clients.with_token(token)
    }

    /// Returns the origin of a page that may read the response.
    pub(super) fn readable_by(&self, transport: Transport, headers: &HeaderMap) -> Option<HeaderValue> {
        let is_page = matches!(transport, Transport::Tcp { .. }) && headers.contains_key(&ORIGIN);
        let origin =
            headers.get(&ORIGIN).filter(|_| is_page && self.check_origin(transport, headers).is_ok());
        origin.cloned()
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
        if let Some(consoles) = &self.consoles {
            if console::owns(head.uri.path()) {
                return console::check(transport, head);
            }
            if console::is_handshake(head) {
                return console::check_handshake(consoles, transport, head);
            }
        }
        self.check_origin(transport, &head.headers)?;
        if let Some(route) = probe {
            let reads = head.method == Method::GET || head.method == Method::HEAD;
            return if reads { Ok(route) } else { refuse(StatusCode::METHOD_NOT_ALLOWED, "method") };
        }
        if head.method == Method::OPTIONS {
            return preflight(transport, head);
        }
        let returns = match head.uri.path() {
            callback::PATH => Some(Route::Callback),
            callback::LOGIN_PATH => Some(Route::LoginCallback),
            _ => None,
        };
        if let Some(route) = returns {
            return check_callback(transport, head, route);
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
            PAIR if head.method == Method::POST => {
                return if matches!(transport, Transport::Tcp { .. }) {
                    post(&head.headers).map(|_| Route::Pair)
                } else {
                    refuse(StatusCode::NOT_FOUND, "path")
                };
            }
            "/openrpc.json" | METRICS if is_get => {}
            "/rpc" | "/openrpc.json" | METRICS | PAIR => {
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
        let is_known = only(&head.headers, &ORIGIN).is_some_and(|origin| self.is_configured(origin));
        let own = match head.headers.get(FETCH_SITE) {
            Some(site) if site == "none" || site == "same-origin" => true,
            // A configured Origin has already been checked.
            Some(_) if forge.is_some() || !is_known => {
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

    fn is_configured(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| origin::matches(known, origin))
    }

    /// Checks the token, and that it may be used from the request's origin: one that only a pairing allowed is bound to
    /// the token of that pairing.
    fn check_token(&self, transport: Transport, headers: &HeaderMap) -> Result<(), AccessRefusal> {
        if matches!(transport, Transport::Unix { .. }) {
            return Ok(());
        }
        let client = self.client(transport, headers);
        if client.is_none() {
            self.token.check(headers)?;
        }
        let Some(origin) = only(headers, &ORIGIN).filter(|origin| !self.is_configured(origin)) else {
            return Ok(());
        };
        let own = client.and_then(|client| client.origin);
        if own.is_some_and(|own| origin::matches(&own, origin)) {
            return Ok(());
        }
        refuse(StatusCode::FORBIDDEN, "Origin")
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
            Some(origin) if self.is_configured(origin) => Ok(()),
            // Its token is bound to the origin, and the pairing is open only for a minute.
            Some(origin) if self.clients.any_origin(|known| origin::matches(known, origin)) => Ok(()),
            _ => refuse(StatusCode::FORBIDDEN, "Origin"),
        }
    }
}

pub(super) fn refuse<T>(status: StatusCode, reason: &'static str) -> Result<T, AccessRefusal> {
    Err(AccessRefusal { status, reason })
}

/// Returns the route of a path that anyone on this machine may ask for, whatever its query is.
fn probe(path: &str) -> Option<Route> {
    match path {
        "/healthz" => Some(Route::Health),
        "/readyz" => Some(Route::Ready),
        _ => None,
    }
}

/// Checks a browser's question before a request of another origin. `Host` and `Origin` have been checked, and a browser
/// sends no token with it.
fn preflight(transport: Transport, head: &Parts) -> Result<Route, AccessRefusal> {
    let asks = head.headers.contains_key(ORIGIN) && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let is_served = matches!(head.uri.path(), "/rpc" | "/openrpc.json" | "/me" | PAIR);
    match transport {
        Transport::Tcp { .. } if asks && is_served => Ok(Route::Preflight),
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "method"),
    }
}

/// Checks a request to the redirect URL. Only a navigation of the user's browser to the loopback address is allowed.
/// Requests through a configured `Host`, through the socket, or for an image or frame in a page are rejected.
fn check_callback(transport: Transport, head: &Parts, route: Route) -> Result<Route, AccessRefusal> {
    let Transport::Tcp { port } = transport else { return refuse(StatusCode::NOT_FOUND, "path") };
    if !only(&head.headers, &HOST).is_some_and(|host| is_loopback(host, port)) {
        return refuse(StatusCode::FORBIDDEN, "Host");
    }
    if head.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
    }
    match head.headers.get(FETCH_DEST) {
        Some(destination) if destination != "document" => refuse(StatusCode::FORBIDDEN, "not a navigation"),
        _ => Ok(route),
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
