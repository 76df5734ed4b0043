//! The console: its page and files, the exchange of a code for a session, and the checks that only its requests pass.
//!
//! `Host` must be a loopback name with the listener's port, and `Origin` must be the page's own: two checks that do not
//! depend on each other, so a rebound name fails both.

use hyper::body::Incoming;
use hyper::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    ORIGIN, REFERRER_POLICY, SET_COOKIE, USER_AGENT, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::access::{AccessRefusal, FETCH_SITE, Route, Transport, refuse};
use super::body::read_body;
use super::handshake::handshake;
use super::headers::{is_loopback, only};
use super::respond::{self, HttpResponse};
use super::token::offered;
use crate::console::{Consoles, Started};
use crate::hint::Step;

/// The path of the page. Everything of the console is below it.
const ROOT: &str = "/console";
const EXCHANGE: &str = "/console/session";
const COOKIE_NAME: &str = "srvd_console";
const SUBPROTOCOL: &str = "srvd.console.";
/// The lifetime of the cookie, in seconds. The session may end earlier.
const COOKIE_SECONDS: u32 = 12 * 60 * 60;
/// The length of a secret: 32 bytes in base64url.
const SECRET: usize = 43;

/// A file of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    Page,
    Script,
    Style,
}

impl File {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/console/" => Some(Self::Page),
            "/console/app.js" => Some(Self::Script),
            "/console/app.css" => Some(Self::Style),
            _ => None,
        }
    }

    fn content(self) -> (&'static str, &'static str) {
        match self {
            Self::Page => ("text/html; charset=utf-8", include_str!("../../console/index.html")),
            Self::Script => ("text/javascript; charset=utf-8", include_str!("../../console/app.js")),
            Self::Style => ("text/css; charset=utf-8", include_str!("../../console/app.css")),
        }
    }
}

/// Returns whether a path belongs to the console.
pub(super) fn owns(path: &str) -> bool {
    path == ROOT || path.starts_with("/console/")
}

/// Returns whether a handshake presents the secret of a console session.
pub(super) fn is_handshake(head: &Parts) -> bool {
    head.uri.path() == "/rpc" && offered(&head.headers).any(|name| name.starts_with(SUBPROTOCOL))
}

/// Checks a request for the console's files, or for the exchange of a code.
///
/// # Errors
/// The failed check.
pub(super) fn check(transport: Transport, head: &Parts) -> Result<Route, AccessRefusal> {
    let host = own_host(transport, &head.headers)?;
    let path = head.uri.path();
    if head.uri.query().is_some() {
        return refuse(StatusCode::BAD_REQUEST, "query string");
    }
    if path == EXCHANGE {
        if head.method != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
        }
        check_own_origin(host, &head.headers)?;
        return match head.headers.get(FETCH_SITE) {
            Some(site) if site == "same-origin" => Ok(Route::ConsoleSession),
            _ => refuse(StatusCode::FORBIDDEN, "request from another site"),
        };
    }
    if head.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
    }
    if head.headers.contains_key(&ORIGIN) {
        check_own_origin(host, &head.headers)?;
    }
    match File::of(path) {
        Some(file) => Ok(Route::ConsoleFile(file)),
        None if path == ROOT => Ok(Route::ConsoleRoot),
        None => refuse(StatusCode::NOT_FOUND, "path"),
    }
}

/// Checks the handshake of a page of the console.
///
/// # Errors
/// The failed check.
pub(super) fn check_handshake(
    consoles: &Consoles,
    transport: Transport,
    head: &Parts,
) -> Result<Route, AccessRefusal> {
    let host = own_host(transport, &head.headers)?;
    check_own_origin(host, &head.headers)?;
    if head.method != Method::GET || head.uri.query().is_some() {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "method");
    }
    let route = handshake(&head.headers)?;
    match secrets(&head.headers) {
        Some((cookie, secret)) if consoles.knows(&cookie, &secret) => Ok(route),
        _ => refuse(StatusCode::UNAUTHORIZED, "console session"),
    }
}

/// Returns the two secrets of a handshake. Several cookies of the name count as none, because another server on this machine
/// can add cookies.
pub(super) fn secrets(headers: &HeaderMap) -> Option<(SecretString, SecretString)> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME);
    let (_, cookie) = cookies.next()?;
    let secret = offered(headers).find_map(|name| name.strip_prefix(SUBPROTOCOL))?;
    let is_usable = |text: &str| text.len() == SECRET;
    (cookies.next().is_none() && is_usable(cookie) && is_usable(secret))
        .then(|| (SecretString::from(cookie), SecretString::from(secret)))
}

/// Returns the response for a file.
pub(super) fn file(file: File, host: &HeaderMap) -> HttpResponse {
    let (media, content) = file.content();
    let mut answer = respond::text(media, content.to_owned());
    guard(&mut answer, only(host, &HOST).unwrap_or_default());
    answer
}

/// Returns the redirect from the path without the slash.
pub(super) fn root() -> HttpResponse {
    let mut answer = respond::nothing();
    *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/console/"));
    answer
}

/// Exchanges the code in the body for a session.
pub(super) async fn exchange(consoles: &Consoles, headers: &HeaderMap, body: Incoming) -> HttpResponse {
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let browser = only(headers, &USER_AGENT).unwrap_or_default();
    let code = SecretString::from(String::from_utf8_lossy(&body).into_owned());
    match consoles.exchange(&code, browser) {
        Ok(started) => begun(&started),
        Err(_) => respond::failure(StatusCode::GONE, "no_code", Step::OpenConsole),
    }
}

fn begun(Started { cookie, secret }: &Started) -> HttpResponse {
    let mut answer = respond::json(StatusCode::OK, json!({"secret": secret.expose_secret()}).to_string());
    let cookie = cookie.expose_secret();
    let text = format!("{COOKIE_NAME}={cookie}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict");
    // The secret is base64url text, so this cannot fail.
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        answer.headers_mut().insert(SET_COOKIE, value);
    }
    answer
}

/// Adds the headers that keep other pages out, and this page from loading anything else.
fn guard(answer: &mut HttpResponse, host: &str) {
    const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
    const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self' ws://{host}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let headers = answer.headers_mut();
    // The host has been checked, so this cannot fail.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
        (PERMISSIONS, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    debug_assert!(headers.contains_key(CONTENT_TYPE));
}

/// Returns the `Host` of a request to the console. Names from `srvd.toml` do not count: a page can be rebound to them.
fn own_host(transport: Transport, headers: &HeaderMap) -> Result<&str, AccessRefusal> {
    let Transport::Tcp { port } = transport else { return refuse(StatusCode::NOT_FOUND, "path") };
    match only(headers, &HOST).filter(|host| is_loopback(host, port)) {
        Some(host) => Ok(host),
        None => refuse(StatusCode::FORBIDDEN, "Host"),
    }
}

fn check_own_origin(host: &str, headers: &HeaderMap) -> Result<(), AccessRefusal> {
    let own = only(headers, &ORIGIN)
        .and_then(|origin| origin.strip_prefix("http://"))
        .is_some_and(|rest| rest.eq_ignore_ascii_case(host));
    if own { Ok(()) } else { refuse(StatusCode::FORBIDDEN, "Origin") }
}
