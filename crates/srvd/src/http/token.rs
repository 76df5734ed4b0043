//! The daemon's own token, which is new at each start, and the rate of wrong ones.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::access::AccessRefusal;
use super::headers::{list, only};

const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
const BEARER_SUBPROTOCOL: &str = "srvd.bearer.";
/// The number of wrong tokens per minute that are answered with 401. Further ones are answered with 429.
const FAILURES_A_MINUTE: u32 = 10;

/// Returns the subprotocols that a client offers.
pub(super) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &PROTOCOL)
}

/// Returns the token that a request presents, in its header or as a subprotocol.
pub(super) fn presented(headers: &HeaderMap) -> Option<&str> {
    let bearer = only(headers, &AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    bearer.or_else(|| offered(headers).find_map(|name| name.strip_prefix(BEARER_SUBPROTOCOL)))
}

/// The check of the daemon's own token.
pub(super) struct TokenCheck {
    token: SecretString,
    failures: Mutex<Failures>,
}

/// The number of wrong tokens in the minute that started at `since`.
struct Failures {
    since: Instant,
    count: u32,
}

impl TokenCheck {
    pub(super) fn new(token: SecretString) -> Self {
        Self { token, failures: Mutex::new(Failures { since: Instant::now(), count: 0 }) }
    }

    /// Checks the token of a request.
    ///
    /// # Errors
    /// 401 for a wrong or missing token, 429 after too many of them.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), AccessRefusal> {
        let right = |token: &str| bool::from(token.as_bytes().ct_eq(self.token.expose_secret().as_bytes()));
        if presented(headers).is_some_and(right) {
            return Ok(());
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.since.elapsed() > Duration::from_mins(1) {
            *failures = Failures { since: Instant::now(), count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
        Err(if failures.count > FAILURES_A_MINUTE {
            AccessRefusal { status: StatusCode::TOO_MANY_REQUESTS, reason: "too many wrong tokens" }
        } else {
            AccessRefusal { status: StatusCode::UNAUTHORIZED, reason: "token" }
        })
    }
}
