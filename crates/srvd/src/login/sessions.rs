//! Running and ended logins: their state, pasted answers, and cancellation.

use std::time::Duration;

use auth_spawner::{Registry, Snapshot, SubmitError};
use identity_store::{SessionId, Store};
use secrecy::ExposeSecret as _;

use super::service::Logins;
use crate::base::clock::now;
use crate::wire::auth::{Cancel, Outcome, Poll, Session, Sessions, SubmitCallback};
use crate::wire::convert;
use crate::wire::error::{ApiError, ErrorKind};
use crate::wire::ids::provider;

/// The maximum wait of `auth.poll`, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;
/// The maximum length of a paste that any CLI accepts, in bytes: one terminal line.
const LONGEST_PASTE: usize = 4096;
/// The maximum number of ended sessions to list.
const LISTED: u32 = 200;
/// The time for which a session is listed after it has ended, in milliseconds.
const LISTED_FOR_MS: i64 = 24 * 60 * 60 * 1000;

impl Logins {
    /// Returns the state of a session, waiting for a newer revision if requested.
    ///
    /// # Errors
    /// `invalid_input` for a wait that is too long, `not_found` for an unknown session.
    pub(crate) async fn poll(&self, store: &Store, request: Poll) -> Result<Session, ApiError> {
        let wait_ms = request.wait_ms.unwrap_or(0);
        if wait_ms > LONGEST_WAIT_MS {
            return Err(ApiError::invalid_input("waitMs", format!("must be at most {LONGEST_WAIT_MS}")));
        }
        self.attendance.seen(&request.session_id);
        let Some(mut watch) = self.spawner.watch(&request.session_id) else {
            return stored(store, &request.session_id).await;
        };
        let after = request.after_revision.unwrap_or(0);
        let news = watch.wait_for(|snapshot| snapshot.revision > after || snapshot.state.is_terminal());
        // A timeout without news is a valid result, and so is the end of the session's actor.
        let _ = tokio::time::timeout(Duration::from_millis(wait_ms), news).await;
        self.attendance.seen(&request.session_id);
        let snapshot = watch.borrow().clone();
        Ok(convert::session(snapshot))
    }

    /// Cancels the login of a session, or the one that runs for a bundle and a provider. Returns when its processes are
    /// gone.
    ///
    /// # Errors
    /// `invalid_input` if the request names neither or both, `unknown_provider` for the provider.
    pub(crate) async fn cancel(&self, registry: &Registry, request: &Cancel) -> Result<Outcome, ApiError> {
        let session = match (&request.session_id, &request.bundle_id, &request.provider_id) {
            (Some(session), None, None) => session.clone(),
            (None, Some(bundle), Some(id)) => {
                let provider = provider(registry, id)?;
                match self.running(&provider.id, |scope| scope == bundle) {
                    Some(login) => login.id,
                    None => return Ok(none_running(&provider.display_name)),
                }
            }
            _ => {
                let reason = "give either sessionId, or bundleId and providerId";
                return Err(ApiError::invalid_input("sessionId", reason));
            }
        };
        Ok(match self.spawner.cancel(&session).await {
            Ok(()) => done(),
            Err(_) => not_live(),
        })
    }

    /// Delivers a pasted answer to the CLI of a login.
    pub(crate) async fn submit_callback(&self, request: SubmitCallback) -> Outcome {
        let text = request.callback_url.into_secret();
        // The spawner rejects longer texts as a whole.
        if text.expose_secret().len() <= LONGEST_PASTE {
            self.resources.redactor.hide(&text);
        }
        self.attendance.seen(&request.session_id);
        match self.spawner.submit(&request.session_id, text).await {
            Ok(()) => done(),
            Err(SubmitError::NotLive) => not_live(),
            Err(error) => Outcome {
                success: false,
                error: Some(error.to_string()),
                error_kind: Some(ErrorKind::InvalidInput),
            },
        }
    }

    /// Lists the sessions that are running or have ended recently, newest first.
    ///
    /// # Errors
    /// Store errors.
    pub(crate) async fn sessions(&self, store: &Store) -> Result<Sessions, ApiError> {
        let live = self.spawner.snapshots();
        let rows = store.recent_sessions(now() - LISTED_FOR_MS, LISTED).await?;
        let mut sessions: Vec<Session> = live.into_iter().map(convert::session).collect();
        for row in rows {
            if !sessions.iter().any(|session| session.session_id == row.id.as_str()) {
                sessions.push(convert::stored_session(row));
            }
        }
        sessions.sort_by(|one, other| {
            other.started_at.cmp(&one.started_at).then_with(|| one.session_id.cmp(&other.session_id))
        });
        Ok(Sessions { sessions })
    }

    /// Returns the provider's running login whose scope matches.
    pub(super) fn running(&self, provider: &str, fits: impl Fn(&str) -> bool) -> Option<Snapshot> {
        self.spawner
            .snapshots()
            .into_iter()
            .find(|login| !login.state.is_terminal() && login.provider == provider && fits(&login.scope))
    }
}

/// Returns a session that is no longer in memory, from its row.
async fn stored(store: &Store, id: &str) -> Result<Session, ApiError> {
    let unknown = || ApiError::not_found("session", id);
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    Ok(convert::stored_session(store.session(&id).await?))
}

fn done() -> Outcome {
    Outcome { success: true, error: None, error_kind: None }
}

fn none_running(provider: &str) -> Outcome {
    Outcome { error: Some(format!("no login of {provider} is running in this bundle")), ..not_live() }
}

fn not_live() -> Outcome {
    Outcome {
        success: false,
        error: Some("no login with this id is running".to_owned()),
        error_kind: Some(ErrorKind::NotFound),
    }
}
