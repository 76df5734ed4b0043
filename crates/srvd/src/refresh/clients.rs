//! The clients that may refresh an authority's tokens: the client of a configured forge, or the one named for a
//! provider in the registry. A token is sent only to the authority that issued it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use auth_spawner::{Provider, Registry, TokenBody, TokenEndpoint};
use base64::Engine as _;
use identity_store::{Authority, Identity, ReceivedTokens, StoredTokens};
use secrecy::{ExposeSecret as _, SecretString};
use url::{Position, Url};

use crate::config::forges::{ClientAuth, ForgeKind};
use crate::forge::oauth::issuer::IssuerConfig;
use crate::forge::oauth::{Failure, Forge, Forges, Granted, Http, Issuer};

/// The maximum time for a forge to name the owner of a new token. It is short because the tokens have to wait for it.
const IDENTIFYING: Duration = Duration::from_secs(5);

/// The clients of all authorities.
pub(super) struct Clients {
    forges: Forges,
    providers: BTreeMap<String, Client>,
}

/// A client of one authority.
#[derive(Clone)]
pub(super) struct Client {
    issuer: At,
    /// The host and port of the token endpoint.
    host: Arc<str>,
}

#[derive(Clone)]
enum At {
    Forge(Arc<Forge>),
    Provider(Arc<Issuer>),
}

impl Clients {
    pub(super) fn new(forges: Forges, registry: &Registry, clock: fn() -> i64) -> Self {
        let http = Http::default();
        let of = |provider: &Arc<Provider>| {
            let endpoint = provider.oauth.as_ref()?;
            match of_provider(endpoint, http.clone(), clock) {
                Ok(client) => Some((provider.id.clone(), client)),
                Err(error) => {
                    tracing::error!(%error, provider = provider.id, "a token endpoint cannot be used");
                    None
                }
            }
        };
        Self { forges, providers: registry.iter().filter_map(of).collect() }
    }

    /// Returns the client for an authority. An operator token has the URL and client of its forge; a user token has
    /// neither.
    pub(super) fn of(&self, authority: &Authority) -> Option<Client> {
        match (&authority.base_url, authority.client_id.as_deref()) {
            (None, None) => self.providers.get(authority.provider.as_str()).cloned(),
            (Some(base), Some(client_id)) => {
                let kind = ForgeKind::named(authority.provider.as_str())?;
                let forge = self.forges.select(kind, Some(base.as_str()), Some(client_id)).ok()?;
                Some(of_forge(forge))
            }
            _ => None,
        }
    }

    /// The hosts of all token endpoints.
    pub(super) fn hosts(&self) -> BTreeSet<Arc<str>> {
        let forges = self.forges.iter().map(|forge| of_forge(forge).host);
        forges.chain(self.providers.values().map(|client| client.host.clone())).collect()
    }
}

impl Client {
    pub(super) fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// Exchanges a refresh token.
    pub(super) async fn refresh(&self, token: &SecretString) -> Result<Granted, Failure> {
        match &self.issuer {
            At::Forge(forge) => forge.issuer.refresh(token).await,
            At::Provider(issuer) => issuer.refresh(token).await,
        }
    }

    /// Returns the owner of the new tokens, if it can be determined. Tokens with an unknown owner are not lost.
    pub(super) async fn identity(&self, stored: &StoredTokens, new: &ReceivedTokens) -> Option<Identity> {
        match &self.issuer {
            At::Forge(forge) => {
                let found =
                    tokio::time::timeout(IDENTIFYING, forge.identify(&new.access)).await.ok()?.ok()?;
                Some(Identity {
                    subject: Some(found.account_id),
                    email: found.email,
                    login: Some(found.login),
                })
            }
            At::Provider(_) => {
                let old = stored.tokens.id.as_ref().map(|token| &token.secret);
                comparable(&stored.identity, old, new.id.as_ref())
            }
        }
    }
}

fn of_forge(forge: &Arc<Forge>) -> Client {
    Client { issuer: At::Forge(forge.clone()), host: host(forge.settings.base.as_str()) }
}

fn of_provider(endpoint: &TokenEndpoint, http: Http, clock: fn() -> i64) -> Result<Client, url::ParseError> {
    let config = IssuerConfig {
        // This client starts no logins, so no browser is sent to this URL.
        authorize: endpoint.token_url.clone(),
        token: endpoint.token_url.clone(),
        device: None,
        client_id: endpoint.client_id.clone(),
        secret: None,
        client_auth: ClientAuth::Body,
        scopes: Vec::new(),
        json: endpoint.body == TokenBody::Json,
        allow_http: false,
        clock,
    };
    let issuer = At::Provider(Arc::new(Issuer::new(config, http)?));
    Ok(Client { issuer, host: host(&endpoint.token_url) })
}

fn host(address: &str) -> Arc<str> {
    match Url::parse(address) {
        Ok(url) => url[Position::BeforeHost..Position::AfterPort].into(),
        Err(_) => address.into(),
    }
}

/// Returns the user of a new id token, with only those fields in which the old id token matches the account's user. An
/// account's subject can be another kind of id, which cannot be compared with `sub`.
fn comparable(known: &Identity, old: Option<&SecretString>, new: Option<&SecretString>) -> Option<Identity> {
    let (old, new) = (claims(old?)?, claims(new?)?);
    let same = |known: &Option<String>, old: Option<String>| known.is_some() && *known == old;
    let subject = new.sub.filter(|_| same(&known.subject, old.sub));
    let email = new.email.filter(|_| same(&known.email, old.email));
    (subject.is_some() || email.is_some()).then_some(Identity { subject, email, login: None })
}

#[derive(serde::Deserialize)]
struct Claims {
    sub: Option<String>,
    email: Option<String>,
}

/// Reads the claims about the user from a JWT. The signature is not checked because the token came directly from the
/// issuer.
fn claims(token: &SecretString) -> Option<Claims> {
    let payload = token.expose_secret().split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests;
