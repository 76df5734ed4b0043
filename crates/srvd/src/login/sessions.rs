//! Running and ended logins: their state, pasted answers, and cancellation.

use std::path::Path;
use std::time::Duration;

use auth_spawner::{Registry, Snapshot, SubmitError};
use identity_store::{Account, SessionId, Store};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use super::service::Logins;
use crate::base::clock::now;
use crate::wire::auth::{Cancel, List, Outcome, Poll, Session, Sessions, SubmitCallback};
use crate::wire::convert;
use crate::wire::error::{ApiError, ErrorKind};
use crate::wire::ids::{login_owner, provider};
use crate::wire::login_scope;
use crate::wire::login_scope::OwnerFilter;
use crate::wire::page;

/// The maximum wait of `auth.poll`, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;
/// The maximum length of a paste that any CLI accepts, in bytes: one terminal line.
const LONGEST_PASTE: usize = 4096;
/// The order of the list, in its cursors.
const NEWEST: &str = "newest";
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
        let Some(mut watch) = self.watch(&request.session_id) else {
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

    /// Cancels the login of a session, or the one of a provider that runs for a bundle or a user. Returns when its
    /// processes are gone.
    ///
    /// # Errors
    /// `invalid_input` if the request names neither or both, `unknown_provider` for the provider.
    pub(crate) async fn cancel(&self, registry: &Registry, request: &Cancel) -> Result<Outcome, ApiError> {
        let owner = login_owner(request.user_id.as_deref(), request.agent_id.as_deref())?;
        let scope = match (&request.bundle_id, &owner) {
            (Some(bundle), None) => Some(bundle.clone()),
            (None, Some(owner)) => Some(login_scope::of_owner(owner)),
            (None, None) => None,
            (Some(_), Some(_)) => return Err(unclear()),
        };
        let session = match (&request.session_id, scope, &request.provider_id) {
            (Some(session), None, None) => session.clone(),
            (None, Some(wanted), Some(id)) => {
                let provider = provider(registry, id)?;
                match self.running(&provider.id, |scope| scope == wanted) {
                    Some(login) => login.id,
                    None => return Ok(none_running(&provider.display_name, owner.is_some())),
                }
            }
            _ => return Err(unclear()),
        };
        if self.oauth.cancel(&session, None).await {
            return Ok(done());
        }
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
        if let Some(taken) = self.oauth.paste(&request.session_id, &text) {
            return taken.map_or_else(not_accepted, |()| done());
        }
        match self.spawner.submit(&request.session_id, text).await {
            Ok(()) => done(),
            Err(SubmitError::NotLive) => not_live(),
            Err(error) => not_accepted(&error.to_string()),
        }
    }

    /// Lists the sessions that are running or have ended recently, newest first.
    ///
    /// # Errors
    /// `unknown_provider`, `invalid_input` for the limit or the cursor, and store errors.
    pub(crate) async fn sessions(
        &self,
        store: &Store,
        registry: &Registry,
        request: List,
    ) -> Result<Sessions, ApiError> {
        let wanted = request.provider_id.as_deref().map(|id| provider(registry, id)).transpose()?;
        let live = self.snapshots();
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
        sessions.retain(|session| {
            let bundles = [&session.target_bundle_id, &session.bundle_id];
            wanted.is_none_or(|wanted| wanted.id == session.provider_id)
                && request
                    .bundle_id
                    .as_ref()
                    .is_none_or(|id| bundles.iter().any(|one| one.as_ref() == Some(id)))
                && request.status.as_ref().is_none_or(|status| *status == session.status)
        });
        part(sessions, &request)
    }

    /// Ends the logins of users that a filter matches, and waits for their processes. A login that has ended already stays
    /// as it is.
    pub(crate) async fn end_of_users(&self, filter: &OwnerFilter, reason: &'static str) {
        let meant = |login: &Snapshot| filter.matches(&login.scope, &login.provider);
        for login in self.snapshots().into_iter().filter(meant) {
            self.end(&login, reason).await;
        }
    }

    /// Ends the logins that would renew the login in this directory.
    pub(crate) async fn end_in_directory(&self, dir: &Path, reason: &'static str) {
        let sessions = self.sink.sessions_into(dir);
        let meant = |login: &Snapshot| sessions.contains(&login.id);
        for login in self.spawner.snapshots().into_iter().filter(meant) {
            self.end(&login, reason).await;
        }
    }

    async fn end(&self, login: &Snapshot, reason: &'static str) {
        if self.oauth.cancel(&login.id, Some(reason)).await {
            return;
        }
        // A login that has already ended needs no cancellation.
        let _ = self.spawner.cancel_because(&login.id, Some(reason)).await;
        if let Some(provider) = self.resources.registry.provider(&login.provider) {
            self.spawner.settled(provider, &login.recipe, &login.scope).await;
        }
    }

    /// Returns the state of a login in memory, and its changes.
    pub(super) fn watch(&self, session: &str) -> Option<watch::Receiver<Snapshot>> {
        self.spawner.watch(session).or_else(|| self.oauth.watch(session))
    }

    /// Returns the logins in memory.
    fn snapshots(&self) -> Vec<Snapshot> {
        self.spawner.snapshots().into_iter().chain(self.oauth.snapshots()).collect()
    }

    /// Returns whether a login of the account's provider runs in one of the account's bundles.
    pub(crate) fn is_running(&self, account: &Account) -> bool {
        let bound = |scope: &str| account.bound_to.iter().any(|bundle| bundle.as_str() == scope);
        self.running(account.provider.as_str(), bound).is_some()
    }

    /// Returns the provider's running login whose scope matches.
    pub(super) fn running(&self, provider: &str, fits: impl Fn(&str) -> bool) -> Option<Snapshot> {
        self.snapshots()
            .into_iter()
            .find(|login| !login.state.is_terminal() && login.provider == provider && fits(&login.scope))
    }
}

/// Returns the requested page of sessions, which are the newest first.
fn part(mut sessions: Vec<Session>, request: &List) -> Result<Sessions, ApiError> {
    if let Some(cursor) = &request.cursor {
        let [at, id] = page::position(cursor, NEWEST)?;
        let at: i64 = at.parse().map_err(|_| ApiError::invalid_input("cursor", "is not a cursor"))?;
        sessions.retain(|one| one.started_at < at || (one.started_at == at && one.session_id > id));
    }
    let limit = request.limit.map(page::size).transpose()?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let has_more = sessions.len() > limit;
    sessions.truncate(limit);
    let last = sessions.last().filter(|_| has_more);
    let next_cursor =
        last.map(|last| page::cursor(NEWEST, &[&last.started_at.to_string(), &last.session_id]));
    Ok(Sessions { sessions, next_cursor })
}

/// Returns a session that is no longer in memory, from its row.
async fn stored(store: &Store, id: &str) -> Result<Session, ApiError> {
    let unknown = || ApiError::not_found("session", id);
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    Ok(convert::stored_session(store.session(&id).await?))
}

fn not_accepted(reason: &str) -> Outcome {
    Outcome { success: false, error: Some(reason.to_string()), error_kind: Some(ErrorKind::InvalidInput) }
}

fn done() -> Outcome {
    Outcome { success: true, error: None, error_kind: None }
}

fn none_running(provider: &str, for_user: bool) -> Outcome {
    let place = if for_user { "for this user" } else { "in this bundle" };
    Outcome { error: Some(format!("no login of {provider} is running {place}")), ..not_live() }
}

fn unclear() -> ApiError {
    let reason = "give either sessionId, or providerId with bundleId or userId";
    ApiError::invalid_input("sessionId", reason)
}

fn not_live() -> Outcome {
    Outcome {
        success: false,
        error: Some("no login with this id is running".to_owned()),
        error_kind: Some(ErrorKind::NotFound),
    }
}
