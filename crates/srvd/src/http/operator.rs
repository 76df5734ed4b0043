//! Responses to the operator's browser: `GET /oauth/callback`, `GET /me` and `GET /login/<name>`, after the access
//! checks.

use hyper::StatusCode;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use identity_store::Store;
use serde_json::json;

use super::access::{AccessRefusal, Caller};
use super::respond::{self, HttpResponse};
use crate::base::clock::now;
use crate::forge::oauth::Flows;
use crate::forge::oauth::callback::Page;
use crate::forge::oauth::flows::{Start, StartError};
use crate::forge::operator::session::BrowserSessions;
use crate::forge::operator::{OWNER, session};
use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};

/// Returns the response to a rejected request. On the operator's paths, the response for a missing session contains a
/// hint.
pub(super) fn refused(head: &Parts, refusal: AccessRefusal) -> HttpResponse {
    let path = head.uri.path();
    match path.strip_prefix("/login/") {
        _ if refusal.status != StatusCode::UNAUTHORIZED => respond::refusal(path, refusal),
        Some(forge) => respond::signed_out(Some(forge)),
        None if path == "/me" => respond::signed_out(None),
        None => respond::refusal(path, refusal),
    }
}

/// Returns whether the request is from the operator. A session cookie is looked up.
pub(super) fn is_signed_in(sessions: &BrowserSessions, caller: Caller, headers: &HeaderMap) -> bool {
    match caller {
        Caller::Trusted => true,
        Caller::Browser => session::presented(headers).is_some_and(|cookie| sessions.knows(&cookie, now())),
    }
}

/// Handles a redirect from a forge. A successful sign-in starts a session for this browser and ends its previous one.
pub(super) async fn callback(
    flows: &Flows,
    sessions: &BrowserSessions,
    query: &str,
    headers: &HeaderMap,
) -> HttpResponse {
    let former = session::presented(headers);
    let page = flows.callback(query, former.as_ref()).await;
    let answer = respond::page(&page);
    if !matches!(page, Page::SignedIn { .. }) {
        return answer;
    }
    match sessions.renew(former.as_ref(), now()) {
        Ok(fresh) => respond::beginning(answer, &fresh),
        Err(error) => {
            tracing::error!(%error, "no session could be created because the system could not provide random numbers");
            answer
        }
    }
}

/// Returns the active account.
pub(super) async fn me(store: &Store) -> HttpResponse {
    match store.active_forge().await {
        Ok(Some(active)) => {
            let body = json!({
                "forgeType": active.forge.as_str(),
                "accountLogin": active.login,
                "baseUrl": active.base_url.as_str(),
                "since": active.since,
                "forge_type": active.forge.as_str(),
                "account_login": active.login,
                "base_url": active.base_url.as_str(),
            });
            respond::json(StatusCode::OK, body.to_string())
        }
        Ok(None) => respond::failure(
            StatusCode::PRECONDITION_FAILED,
            Kind::NoActiveForge.as_str(),
            Step::SelectOperator,
        ),
        Err(error) => {
            let error = ApiError::from(error);
            respond::unavailable(&error)
        }
    }
}

/// Redirects the browser to a forge. A browser that was authenticated by its session must return with the same session.
pub(super) fn login(flows: &Flows, forge: &str, caller: Caller, headers: &HeaderMap) -> HttpResponse {
    let Some(forge) = flows.forges().named(forge).cloned() else {
        return respond::failure(StatusCode::NOT_FOUND, Kind::NotFound.as_str(), Step::ListForges);
    };
    let session = match caller {
        Caller::Trusted => None,
        Caller::Browser => session::presented(headers),
    };
    match flows.start_code(&Start { owner: OWNER.to_owned(), forge, session }) {
        Ok(started) => respond::away(&started.auth_url),
        Err(error) => {
            let kind = match error {
                StartError::NoRedirect => Kind::InvalidInput,
                StartError::Full(_) | StartError::Forge(_) => Kind::Conflict,
            };
            respond::unavailable(&ApiError::new(kind, error.to_string()))
        }
    }
}
