//! Revocation of tokens that are no longer used: those replaced by a login, and those of a failed login.
//!
//! | forge | how |
//! |---|---|
//! | GitLab | RFC 7009 at `/oauth/revoke` |
//! | GitHub | `DELETE /applications/<client id>/token` of its API, with the client's secret |
//! | Forgejo, Gitea | not at all |
//!
//! Revocation is a courtesy: no caller waits for it, it is tried once, and a failure is only logged.
//!
//! A replaced token is revoked after the commit that replaced it, and never if the new set contains the same token.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use identity_store::TokenSet;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::failure::{Failure, Misconfigured, classify};
use super::forge::Forge;
use super::granted::Granted;
use super::http::{Http, HttpFailure, Received};
use crate::config::forges::ClientAuth;

/// The maximum number of token sets being revoked at the same time. Further sets are left to expire.
const AT_A_TIME: usize = 32;
/// The maximum time for which the daemon waits for revocations when it stops.
const LAST: Duration = Duration::from_secs(5);

/// The tokens of a set that is no longer used.
#[derive(Debug, Clone)]
pub(crate) struct RetiredTokens {
    access: Option<SecretString>,
    refresh: Option<SecretString>,
}

impl RetiredTokens {
    /// Returns these tokens, except for those that are also in `kept`.
    #[must_use]
    pub(crate) fn except(self, kept: &Self) -> Self {
        let other = |token: SecretString, kept: &Option<SecretString>| {
            let same = kept.as_ref().is_some_and(|kept| kept.expose_secret() == token.expose_secret());
            (!same).then_some(token)
        };
        Self {
            access: self.access.and_then(|token| other(token, &kept.access)),
            refresh: self.refresh.and_then(|token| other(token, &kept.refresh)),
        }
    }

    fn is_empty(&self) -> bool {
        self.access.is_none() && self.refresh.is_none()
    }
}

impl From<&TokenSet> for RetiredTokens {
    fn from(set: &TokenSet) -> Self {
        let refresh = set.refresh.as_ref().map(|token| token.secret.clone());
        Self { access: Some(set.access.secret.clone()), refresh }
    }
}

impl From<&Granted> for RetiredTokens {
    fn from(granted: &Granted) -> Self {
        Self { access: Some(granted.access.clone()), refresh: granted.refresh.clone() }
    }
}

/// Revokes tokens at their forges. Cheap to clone; clones share one instance.
#[derive(Clone)]
pub(crate) struct Returns(Arc<ReturnsState>);

struct ReturnsState {
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Default for Returns {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        Self(Arc::new(ReturnsState { places, tasks: TaskTracker::new() }))
    }
}

impl Returns {
    /// Revokes tokens in the background at the forge that issued them, if that forge can revoke tokens.
    pub(crate) fn give_back(&self, forge: &Arc<Forge>, spent: RetiredTokens) {
        if !forge.takes_back() || spent.is_empty() {
            return;
        }
        let name = &forge.settings.name;
        let Ok(place) = self.0.places.clone().try_acquire_owned() else {
            return tracing::warn!(
                forge = name,
                "too many tokens are being revoked; leaving these to expire"
            );
        };
        let forge = forge.clone();
        self.0.tasks.spawn(async move {
            let _place = place;
            let name = &forge.settings.name;
            match forge.revoke(&spent).await {
                Ok(()) => tracing::debug!(forge = name, "tokens were revoked"),
                Err(failure) => {
                    tracing::warn!(
                        forge = name,
                        code = failure.code(),
                        "tokens could not be revoked: {failure}"
                    );
                }
            }
        });
    }

    /// Briefly waits for revocations in progress.
    pub(crate) async fn settle(&self) {
        self.0.tasks.close();
        if tokio::time::timeout(LAST, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("some tokens could not be revoked in time; leaving them to expire");
        }
    }
}

/// The method by which a forge revokes tokens.
pub(super) struct Revocation {
    pub(super) way: RevocationRequest,
    pub(super) client_id: String,
    pub(super) secret: Option<SecretString>,
    pub(super) client_auth: ClientAuth,
}

/// The two kinds of revocation request, each with its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RevocationRequest {
    /// The standard request of RFC 7009.
    Standard(String),
    /// GitHub's own request.
    GitHub(String),
}

impl Revocation {
    /// Revokes tokens, starting with the refresh token, because the tokens issued for it end with it. All tokens are
    /// tried. The first failure is returned.
    pub(super) async fn revoke(
        &self,
        http: &Http,
        plain: bool,
        spent: &RetiredTokens,
    ) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for request in self.requests(spent) {
            let one = match request {
                Ok(request) => http.send(request, plain).await.map_err(Failure::from),
                Err(_) => Err(Failure::Misconfigured(Misconfigured::Request)),
            };
            outcome = outcome.and(one.and_then(|answer| taken(&answer)));
        }
        outcome
    }

    fn requests(&self, spent: &RetiredTokens) -> Vec<hyper::http::Result<Request<Vec<u8>>>> {
        let tokens = [("refresh_token", &spent.refresh), ("access_token", &spent.access)];
        let tokens = tokens.into_iter().filter_map(|(kind, token)| Some((kind, token.as_ref()?)));
        match (&self.way, &self.secret) {
            (RevocationRequest::Standard(address), _) => {
                tokens.map(|(kind, token)| self.standard(address, kind, token)).collect()
            }
            // GitHub revokes only the access token, and only for a client with a secret. The refresh token ends with
            // it.
            (RevocationRequest::GitHub(address), Some(secret)) => tokens
                .filter(|(kind, _)| *kind == "access_token")
                .map(|(kind, token)| {
                    let body = serde_json::json!({kind: token.expose_secret()}).to_string();
                    Request::builder()
                        .method(Method::DELETE)
                        .uri(address)
                        .header(AUTHORIZATION, self.basic(secret)?)
                        .header(CONTENT_TYPE, "application/json")
                        .body(body.into_bytes())
                })
                .collect(),
            (RevocationRequest::GitHub(_), None) => Vec::new(),
        }
    }

    fn standard(
        &self,
        address: &str,
        kind: &str,
        token: &SecretString,
    ) -> hyper::http::Result<Request<Vec<u8>>> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token.expose_secret()).append_pair("token_type_hint", kind);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(address)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        match (&self.secret, self.client_auth) {
            (Some(secret), ClientAuth::Basic) => {
                request = request.header(AUTHORIZATION, self.basic(secret)?);
            }
            (Some(secret), ClientAuth::Body) => {
                form.append_pair("client_id", &self.client_id);
                form.append_pair("client_secret", secret.expose_secret());
            }
            (None, _) => drop(form.append_pair("client_id", &self.client_id)),
        }
        request.body(form.finish().into_bytes())
    }

    /// Encodes the client id and secret for HTTP Basic authentication, each encoded as required by RFC 6749, 2.3.1.
    fn basic(&self, secret: &SecretString) -> Result<HeaderValue, hyper::http::Error> {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&self.client_id), encoded(secret.expose_secret()));
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        let mut value = HeaderValue::from_str(&format!("Basic {pair}"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Checks that a forge has revoked a token. A token unknown to the forge counts as revoked.
fn taken(answer: &Received) -> Result<(), Failure> {
    let status = answer.status.as_u16();
    match status {
        200..=299 | 404 | 422 => Ok(()),
        408 | 429 | 500.. => Err(HttpFailure::Unavailable { status, retry_after: answer.retry_after }.into()),
        401 => Err(Failure::Misconfigured(Misconfigured::Client)),
        _ => {
            let fields = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
            match fields.get("error").and_then(serde_json::Value::as_str) {
                Some(code) => Err(classify(code, "")),
                None => Err(HttpFailure::Malformed(status).into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
