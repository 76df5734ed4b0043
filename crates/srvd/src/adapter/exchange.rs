//! Requests with the operator's token.
//!
//! A token that is about to expire is refreshed before it is sent. After a 401 it is refreshed once, and the request is
//! sent once more. A limit that ends within seconds is waited for once; a longer one is an error, and no request is sent
//! until it is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, Request};
use identity_store::{AccountId, Life, RefreshWhy, Store, StoredTokens};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::error::ForgeError;
use super::path;
use crate::base::clock::now;
use crate::forge::oauth::Http;
use crate::forge::oauth::http::Received;
use crate::forge::oauth::identity::said;
use crate::refresh::{Grant, Refresher};
use crate::wire::account::{AfterRefusalStep, Refused};

/// The minimum remaining lifetime of a token that is sent, in milliseconds.
pub(super) const MIN_TTL: i64 = 60_000;
/// The maximum time of a refresh before a request.
const REFRESHING: Duration = Duration::from_secs(10);
/// The longest limit that is waited for.
const SHORT_LIMIT: Duration = Duration::from_secs(5);

/// The times until which forges answer no requests of an account, in Unix milliseconds.
pub(super) type Limits = Arc<Mutex<HashMap<AccountId, i64>>>;

/// The API of one forge, bound to the token of one account.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) http: Http,
    pub(super) store: Store,
    pub(super) refresher: Refresher,
    pub(super) account: AccountId,
    /// The URL of the API, without a slash at the end.
    pub(super) root: String,
    /// True if plain HTTP to another machine is allowed.
    pub(super) plain: bool,
    pub(super) limits: Limits,
}

/// A request to send.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// The path below the API's root, with its query.
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    /// The validator of the answer that is known.
    pub(super) etag: Option<&'a str>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, etag: None }
    }
}

impl Exchange {
    /// Sends a request, and returns the answer of any status but 401.
    ///
    /// # Errors
    /// [`ForgeError`].
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Received, ForgeError> {
        let url = path::below(&self.root, ask.path)?;
        let (mut retried, mut waited) = (false, false);
        loop {
            self.check_limit()?;
            let stored = self.usable().await?;
            let received = self.once(&url, ask, &stored.tokens.used().secret).await?;
            if received.status == 401 {
                self.after_refusal(&stored, retried).await?;
                retried = true;
                continue;
            }
            match received.rate_limited(SystemTime::now()) {
                Some(pause) if pause <= SHORT_LIMIT && !waited => {
                    waited = true;
                    tokio::time::sleep(pause).await;
                }
                Some(pause) => {
                    self.limit(pause);
                    return Ok(received);
                }
                None => return Ok(received),
            }
        }
    }

    /// Sends a request, and returns the JSON of a successful answer and its headers.
    ///
    /// # Errors
    /// [`ForgeError`]. `what` names the object that a 404 is about.
    pub(super) async fn json(&self, ask: &Ask<'_>, what: &str) -> Result<(Value, Received), ForgeError> {
        let received = self.send(ask).await?;
        let received = accepted(received, what)?;
        let value = serde_json::from_slice(&received.body)
            .map_err(|_| ForgeError::Unavailable("its answer is not JSON".to_owned()))?;
        Ok((value, received))
    }

    /// Returns the account's tokens, refreshed if they are about to expire.
    ///
    /// # Errors
    /// [`ForgeError::SignIn`] if only a new sign-in helps, and errors of the store.
    pub(super) async fn usable(&self) -> Result<StoredTokens, ForgeError> {
        let stored = self.store.tokens(&self.account, now()).await?;
        let stored = match stored.life(now(), MIN_TTL) {
            Life::Live => stored,
            _ if stored.is_refreshable() => {
                let grant = Grant { account: self.account.clone(), authority: stored.authority };
                self.refresher.refresh(&grant, RefreshWhy::Use { min_ttl: MIN_TTL }, REFRESHING).await;
                self.store.tokens(&self.account, now()).await?
            }
            _ => stored,
        };
        match stored.life(now(), 0) {
            Life::Live | Life::Soon => Ok(stored),
            Life::Dead => Err(ForgeError::SignIn { account: self.account.to_string() }),
            _ => Err(ForgeError::Unavailable(
                "the token has expired and could not be refreshed yet".to_owned(),
            )),
        }
    }

    /// Reports a rejected token. Returns if another one is available.
    async fn after_refusal(&self, stored: &StoredTokens, retried: bool) -> Result<(), ForgeError> {
        let report = Refused {
            account_id: self.account.to_string(),
            generation: Some(stored.generation),
            status: Some(401),
            retried: Some(retried),
        };
        let after = self.refresher.after_refusal(&self.store, report).await?;
        match after.next {
            AfterRefusalStep::Retry if !retried => Ok(()),
            _ => Err(ForgeError::SignIn { account: self.account.to_string() }),
        }
    }

    async fn once(&self, url: &str, ask: &Ask<'_>, token: &SecretString) -> Result<Received, ForgeError> {
        let unusable = || ForgeError::Unavailable("the request could not be built".to_owned());
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| unusable())?;
        bearer.set_sensitive(true);
        let mut request = Request::builder().method(&ask.method).uri(url).header(AUTHORIZATION, bearer);
        if let Some(etag) = ask.etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let body = match ask.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = request.body(body).map_err(|_| unusable())?;
        Ok(self.http.send(request, self.plain).await?)
    }

    fn check_limit(&self) -> Result<(), ForgeError> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        match limits.get(&self.account) {
            Some(until) if *until > now() => Err(ForgeError::Limited { until: *until }),
            Some(_) => {
                limits.remove(&self.account);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn limit(&self, pause: Duration) {
        let until = now().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        tracing::warn!(account = %self.account, until, "the forge answers no more requests for now");
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).insert(self.account.clone(), until);
    }
}

/// Returns a successful answer, or the reason why it is none.
///
/// # Errors
/// [`ForgeError`].
pub(super) fn accepted(received: Received, what: &str) -> Result<Received, ForgeError> {
    let status = received.status.as_u16();
    if let Some(pause) = received.rate_limited(SystemTime::now()) {
        let until = now().saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        return Err(ForgeError::Limited { until });
    }
    match status {
        200..=299 | 304 => Ok(received),
        300..=399 => {
            Err(ForgeError::Unavailable(format!("{what} has moved, and redirects are not followed")))
        }
        403 => {
            let scope = scope(&received);
            Err(ForgeError::Forbidden { said: said(&received.body), scope })
        }
        404 | 410 => Err(ForgeError::Missing(what.to_owned())),
        500.. | 408 => Err(ForgeError::Unavailable(format!("HTTP status {status}"))),
        _ => Err(ForgeError::Rejected { status, said: said(&received.body) }),
    }
}

/// Returns the scope that a forge misses in a token: GitHub names the accepted ones in a header, GitLab in a field, and
/// Gitea and Forgejo in brackets in the message.
fn scope(received: &Received) -> Option<String> {
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let header = received.headers.get("x-accepted-oauth-scopes").and_then(|value| value.to_str().ok());
    let field = body.get("scope").and_then(Value::as_str);
    let bracketed = || {
        let message = body.get("message")?.as_str()?;
        let (_, rest) = message.split_once("required scope(s): [")?;
        rest.split(']').next()
    };
    let scope = header.filter(|text| !text.is_empty()).or(field).or_else(bracketed)?;
    let plain: String = scope.chars().filter(|c| !c.is_control()).take(200).collect();
    (!plain.trim().is_empty()).then(|| plain.trim().to_owned())
}
