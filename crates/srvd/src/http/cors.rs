//! Cross-origin resource sharing (Fetch): a page of an allowed origin may send requests with its token and read the
//! responses. Cookies are never part of it.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderName, HeaderValue, VARY,
};

use super::respond::{self, HttpResponse};

/// The header with which a browser lets a page of a public origin reach a loopback address.
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Returns the response to a browser's question.
pub(super) fn preflight() -> HttpResponse {
    let mut answer = respond::nothing();
    let headers = answer.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
        (PRIVATE_NETWORK, "true"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Lets a page of this origin read the response. Without an origin, a cache must not give the response to a page.
pub(super) fn readable(mut answer: HttpResponse, origin: Option<HeaderValue>) -> HttpResponse {
    let headers = answer.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    answer
}
