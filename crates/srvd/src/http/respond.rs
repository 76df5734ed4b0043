//! Construction of HTTP responses.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, SET_COOKIE, UPGRADE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};

use secrecy::SecretString;

use super::access::{AccessRefusal, PAIR};
use crate::forge::oauth::callback::Page;
use crate::forge::operator::session;
use crate::hint::{Hint, Step};
use crate::wire::error::ApiError;

/// The type of all responses.
pub(super) type HttpResponse = Response<Full<Bytes>>;

/// Returns a response with a JSON body.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> HttpResponse {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    last(answer)
}

/// Returns a response with a body of another type than JSON.
pub(super) fn text(media: &'static str, body: String) -> HttpResponse {
    let mut answer = json(StatusCode::OK, body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

/// Closes the connection after this response. Only WebSocket connections stay open, so that others free their slot.
fn last(mut answer: HttpResponse) -> HttpResponse {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Returns the response `{"status":"..."}`.
pub(super) fn status(ok: bool) -> HttpResponse {
    if ok {
        json(StatusCode::OK, r#"{"status":"ok"}"#)
    } else {
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unavailable"}"#)
    }
}

/// Returns a page for the user. It must not be cached or shown in a frame, and it sends no referrer because its URL
/// contains a code.
pub(super) fn page(page: &Page) -> HttpResponse {
    let mut answer = json(page.status(), page.html());
    let beside = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (REFERRER_POLICY, "no-referrer"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in beside {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Adds a cookie to the response that starts a session in the browser.
pub(super) fn beginning(mut answer: HttpResponse, fresh: &SecretString) -> HttpResponse {
    // The secret is base64url text, so this cannot fail.
    if let Ok(mut cookie) = HeaderValue::from_str(&session::set_cookie(fresh)) {
        cookie.set_sensitive(true);
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// Redirects a browser to a forge. The URL must not be cached, because it contains the `state` of the sign-in.
pub(super) fn away(to: &url::Url) -> HttpResponse {
    let mut answer = json(StatusCode::FOUND, r#"{"status":"sign in at the forge"}"#);
    // A URL is printable ASCII.
    if let Ok(location) = HeaderValue::from_str(to.as_str()) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// Returns the response to an authenticated client for which there is no place.
pub(super) fn no_place() -> HttpResponse {
    failure(StatusCode::SERVICE_UNAVAILABLE, "capacity", Step::MoreConnections)
}

/// Returns an error with the kind used by the RPC methods, and a hint about what to do.
pub(super) fn failure(status: StatusCode, kind: &str, hint: impl Into<Hint>) -> HttpResponse {
    let error = status.canonical_reason().unwrap_or("failed");
    json(status, serde_json::json!({"error": error, "kind": kind, "hint": hint.into()}).to_string())
}

/// Returns the response to a request that failed, with the reason.
pub(super) fn unavailable(error: &ApiError) -> HttpResponse {
    let mut body = serde_json::json!({"error": error.message(), "kind": error.kind().as_str()});
    if let Some(hint) = error.next_step() {
        body["hint"] = hint.into();
    }
    json(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

/// Returns the response when no user is signed in. A browser cannot send the token, but the command line can start a
/// sign-in for it.
pub(super) fn signed_out(forge: Option<&str>) -> HttpResponse {
    let hint = Step::SignIn { forge: forge.unwrap_or("NAME").into() };
    let mut answer = failure(StatusCode::UNAUTHORIZED, "unauthenticated", hint);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// Returns a response without a body, for a POST that contains only notifications.
pub(super) fn nothing() -> HttpResponse {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    last(answer)
}

/// Returns the response to a rejected request: the status, its standard text, and the headers required by RFC 6455 and
/// RFC 9110.
pub(super) fn refusal(path: &str, refusal: AccessRefusal) -> HttpResponse {
    let reason = refusal.status.canonical_reason().unwrap_or("refused");
    let mut answer = json(refusal.status, format!(r#"{{"error":"{reason}"}}"#));
    let beside = match refusal.status {
        StatusCode::UPGRADE_REQUIRED => {
            answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            Some((HeaderName::from_static("sec-websocket-version"), "13"))
        }
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, allowed(path))),
        _ => None,
    };
    if let Some((name, value)) = beside {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Returns the methods of a path.
fn allowed(path: &str) -> &'static str {
    match path {
        "/rpc" => "GET, POST",
        PAIR => "POST",
        "/healthz" | "/readyz" => "GET, HEAD",
        _ => "GET",
    }
}

/// Returns the response to a WebSocket handshake.
pub(super) fn switching(accept: &str, subprotocol: bool) -> HttpResponse {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(HeaderName::from_static("sec-websocket-accept"), accept);
    }
    if subprotocol {
        headers
            .insert(HeaderName::from_static("sec-websocket-protocol"), HeaderValue::from_static("srvd.v1"));
    }
    answer
}
