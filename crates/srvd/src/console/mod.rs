//! The console: the browser sessions in which the daemon's own pages may act for the user.
//!
//! A session begins with a one-time code, which only the command line can obtain. It consists of a cookie and a second
//! secret, which the page presents together: cookies do not separate ports, so another server on this machine may know
//! the cookie. Everything is in memory and ends with the daemon. The room uses `wire`, `base` and `pairing`. It must not
//! know HTTP or the methods of the protocol.

mod sessions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity_store::AuditEntry;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::audit::Auditor;
use crate::base::clock::now;
use crate::base::redact::Redactor;
use crate::hint::Step;
use crate::pairing::Grant;
use crate::wire::console::{End, Ended, Opened, Session, Sessions};
use crate::wire::error::{ApiError, Kind};
use sessions::{CODE_LIFE, State};

/// The sessions. Cheap to clone; clones share the same sessions.
#[derive(Clone)]
pub(crate) struct Consoles(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    redactor: Redactor,
    auditor: Auditor,
    /// False if `srvd.toml` turns the console off.
    is_on: bool,
}

/// The two secrets of a new session.
pub(crate) struct Started {
    /// The value of the cookie.
    pub cookie: SecretString,
    /// The second secret, for the page.
    pub secret: SecretString,
}

/// A code that is unknown, was already used, or is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongCode;

/// Counts a connection of a session until it is dropped. A session with a connection is not idle.
pub(crate) struct Attached {
    consoles: Consoles,
    id: String,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.consoles.state().detach(&self.id, Instant::now());
    }
}

impl Consoles {
    /// Creates an empty set of sessions. `redactor` receives each secret before any other component does.
    pub(crate) fn new(redactor: Redactor, auditor: Auditor, is_on: bool) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), redactor, auditor, is_on }))
    }

    /// Returns the sessions, or `None` if the console is off.
    pub(crate) fn if_on(&self) -> Option<Self> {
        self.0.is_on.then(|| self.clone())
    }

    /// Creates a one-time code for a new session.
    ///
    /// # Errors
    /// `not_allowed` if the console is off; `secret_unavailable` if the system cannot provide random numbers.
    pub(crate) fn open(&self) -> Result<Opened, ApiError> {
        if !self.0.is_on {
            return Err(ApiError::new(Kind::NotAllowed, "the console is off").hint(Step::TurnConsoleOn));
        }
        let code = self.random().map_err(|_| {
            ApiError::new(Kind::SecretUnavailable, "the system could not provide random numbers")
        })?;
        self.state().offer(hash(&code), Instant::now());
        let life = i64::try_from(CODE_LIFE.as_millis()).unwrap_or_default();
        Ok(Opened { code: code.expose_secret().to_owned(), expires_at: now() + life })
    }

    /// Exchanges a code for a session. A code works once.
    ///
    /// # Errors
    /// [`WrongCode`], also if the system cannot provide random numbers.
    pub(crate) fn exchange(&self, code: &SecretString, browser: &str) -> Result<Started, WrongCode> {
        let outcome = self.begin(code, browser);
        let (result, subject) = match &outcome {
            Ok((id, _)) => ("ok", format!("console:{id}")),
            Err(WrongCode) => ("refused", browser.to_owned()),
        };
        self.note("console.exchange", &subject, result);
        outcome.map(|(_, started)| started)
    }

    fn begin(&self, code: &SecretString, browser: &str) -> Result<(String, Started), WrongCode> {
        let (cookie, secret) = (self.random().map_err(|_| WrongCode)?, self.random().map_err(|_| WrongCode)?);
        let at = Instant::now();
        let id = self
            .state()
            .exchange(
                &hash(code),
                &sessions::New { cookie: hash(&cookie), secret: hash(&secret), browser, at, now: now() },
            )
            .ok_or(WrongCode)?;
        Ok((id, Started { cookie, secret }))
    }

    /// Returns the permissions of the session with these two secrets, and counts the connection.
    pub(crate) fn admit(&self, cookie: &SecretString, secret: &SecretString) -> Option<(Grant, Attached)> {
        let grant = self.state().attach(&hash(cookie), &hash(secret), Instant::now(), now())?;
        let id = grant.caller.trim_start_matches("console:").to_owned();
        Some((grant, Attached { consoles: self.clone(), id }))
    }

    /// Returns whether a session has these two secrets.
    pub(crate) fn knows(&self, cookie: &SecretString, secret: &SecretString) -> bool {
        self.state().knows(&hash(cookie), &hash(secret), Instant::now())
    }

    /// Lists the sessions, oldest first. `caller` is the name of the caller in the audit log.
    pub(crate) fn list(&self, caller: &str) -> Sessions {
        let mut state = self.state();
        state.expire(Instant::now());
        let shown = |session: &sessions::Session| Session {
            id: session.id.clone(),
            browser: session.browser.clone(),
            created_at: session.created_at,
            used_at: session.used_at,
            current: caller == session.caller(),
        };
        Sessions { sessions: state.sessions().map(shown).collect() }
    }

    /// Ends a session and its connections.
    ///
    /// # Errors
    /// `not_found` for the id.
    pub(crate) fn end(&self, params: &End) -> Result<Ended, ApiError> {
        if self.state().end(&params.session_id) {
            return Ok(Ended { ended: true });
        }
        Err(ApiError::not_found("session", &params.session_id))
    }

    fn note(&self, action: &str, subject: &str, outcome: &str) {
        self.0.auditor.note(AuditEntry {
            at: now(),
            actor: "tcp".to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
            detail: None,
        });
    }

    fn random(&self) -> Result<SecretString, getrandom::Error> {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut *bytes)?;
        let secret = SecretString::from(URL_SAFE_NO_PAD.encode(*bytes));
        self.0.redactor.hide(&secret);
        Ok(secret)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the hash of a secret. A secret has 256 random bits, so the hash needs no salt, and a comparison of hashes tells
/// nothing about the secret.
fn hash(secret: &SecretString) -> [u8; 32] {
    Sha256::digest(secret.expose_secret().as_bytes()).into()
}
