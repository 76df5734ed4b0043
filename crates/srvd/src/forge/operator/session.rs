//! The browsers in which the operator has signed in. A session is a cookie with a random secret. It exists only in
//! memory, ends after twelve hours or with the daemon, and gives access only to `GET /me` and `GET /login/<name>`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use hyper::header::{COOKIE, HeaderMap};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::base::redact::Redactor;

/// The name of the cookie.
pub(crate) const COOKIE_NAME: &str = "srvd_session";
/// The lifetime of a session, in seconds.
const LIFETIME_S: i64 = 12 * 60 * 60;
/// The maximum number of sessions. Any further session ends the oldest one.
const MOST: usize = 64;
/// The length of the secret: 32 bytes in base64url.
const LENGTH: usize = 43;

/// The sessions. Cheap to clone; clones share the same sessions.
#[derive(Clone)]
pub(crate) struct BrowserSessions {
    live: Arc<Mutex<Live>>,
    redactor: Redactor,
}

impl BrowserSessions {
    /// Creates an empty set of sessions. `redactor` receives each secret before any other component does.
    pub(crate) fn new(redactor: Redactor) -> Self {
        Self { live: Arc::default(), redactor }
    }

    /// Starts a session at `now` (Unix milliseconds) and ends the browser's previous one. Returns the secret of the new
    /// session.
    ///
    /// # Errors
    /// The system cannot provide random numbers.
    pub(crate) fn renew(
        &self,
        former: Option<&SecretString>,
        now: i64,
    ) -> Result<SecretString, getrandom::Error> {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut *bytes)?;
        let fresh = SecretString::from(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(*bytes));
        self.redactor.hide(&fresh);
        self.live().renew(former, fresh.clone(), now);
        Ok(fresh)
    }

    /// Returns whether this is the secret of a session that is still valid at `now`.
    pub(crate) fn knows(&self, cookie: &SecretString, now: i64) -> bool {
        self.live().knows(cookie, now)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secrets and their expiry times, oldest first.
#[derive(Default)]
struct Live(Vec<(SecretString, i64)>);

impl Live {
    fn renew(&mut self, former: Option<&SecretString>, fresh: SecretString, now: i64) {
        self.0.retain(|(own, until)| now < *until && !former.is_some_and(|former| same(own, former)));
        let excess = (self.0.len() + 1).saturating_sub(MOST);
        self.0.drain(..excess);
        self.0.push((fresh, now.saturating_add(LIFETIME_S * 1000)));
    }

    fn knows(&self, cookie: &SecretString, now: i64) -> bool {
        self.0.iter().any(|(own, until)| now < *until && same(own, cookie))
    }
}

fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret().as_bytes().ct_eq(other.expose_secret().as_bytes()).into()
}

/// Returns the session of a request: its only cookie with that name, if well formed. Several such cookies count as
/// none, because a page on another port of this machine can add cookies.
pub(crate) fn presented(headers: &HeaderMap) -> Option<SecretString> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value);
    let value = values.next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let usable = values.next().is_none() && value.len() == LENGTH && value.bytes().all(plain);
    usable.then(|| SecretString::from(value))
}

/// Formats the `Set-Cookie` header of a session. It is `Lax`, because it must be sent with the forge's redirect back to
/// this machine. It is not `Secure`, because that redirect uses plain http on a loopback address.
pub(crate) fn set_cookie(session: &SecretString) -> String {
    let secret = session.expose_secret();
    format!("{COOKIE_NAME}={secret}; Path=/; Max-Age={LIFETIME_S}; HttpOnly; SameSite=Lax")
}

#[cfg(test)]
mod tests;
