//! Pairing: a client exchanges a code, which the person reads at the terminal, for a token of its own.
//!
//! The room holds the tokens that are in force, and the one pairing that may be open. A token is kept in the store as a
//! hash. The room uses `wire` and `base`. It must not know HTTP or the methods of the protocol.

mod grant;
mod offer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity_store::client::{ClientToken, NewClientToken};
use identity_store::{AuditEntry, ClientTokenId, Store, StoreError, check_name};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::base::clock::now;
use crate::base::endpoint;
use crate::base::redact::Redactor;
use crate::wire::error::{ApiError, Kind, with_causes};
use crate::wire::pair::{
    Answer, Answered, PairStatus, Pairing, Poll, Revoke, Revoked, Start, Started, Token, Tokens,
};
use crate::wire::scope::{Scope, Scopes};

pub(crate) use grant::Grant;
use offer::Offer;
pub(crate) use offer::{Refused, Who};

/// The maximum wait of `pair.poll`, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;
/// The permissions of a pairing that names none.
const USUAL: &str = "login";

/// A client that presented its token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The token's id.
    pub id: ClientTokenId,
    /// The permissions.
    pub scopes: Scopes,
    /// The origin of the page that received the token.
    pub origin: Option<String>,
    /// Cancelled when the token is revoked.
    pub revoked: CancellationToken,
}

/// The token that a client receives.
#[derive(Debug)]
pub(crate) struct Paired {
    /// The token.
    pub token: SecretString,
    /// The token's id.
    pub id: ClientTokenId,
    /// The client's name.
    pub name: String,
    /// The permissions.
    pub scopes: Scopes,
}

/// The clients. Cheap to clone; clones share the same state.
#[derive(Clone)]
pub(crate) struct Clients(Arc<Shared>);

struct Shared {
    store: Store,
    redactor: Redactor,
    known: Known,
    /// Notified when the pairing changes.
    changed: Notify,
}

/// The tokens in force and the open pairing, for the access checks. Clones share the same state.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By the hash of the token.
    tokens: BTreeMap<String, Client>,
    offer: Option<Offer>,
}

impl Clients {
    /// Reads the tokens from the store.
    ///
    /// # Errors
    /// An error of the store.
    pub(crate) async fn open(store: &Store, redactor: &Redactor) -> Result<Self, StoreError> {
        let known = Known::default();
        for kept in store.client_tokens().await? {
            known.state().keep(&kept);
        }
        let (store, redactor) = (store.clone(), redactor.clone());
        Ok(Self(Arc::new(Shared { store, redactor, known, changed: Notify::new() })))
    }

    /// The tokens in force and the open pairing.
    pub(crate) fn known(&self) -> Known {
        self.0.known.clone()
    }

    /// Opens a pairing and ends the one that is open. `origin` has been checked by the caller.
    ///
    /// # Errors
    /// `invalid_input` for the scopes; `internal` if the system cannot provide random numbers.
    pub(crate) fn start(&self, params: Start) -> Result<Started, ApiError> {
        let scopes = Scopes::parse(params.scopes.as_deref().unwrap_or(USUAL)).map_err(|word| {
            ApiError::invalid_input("scopes", format!("{word:?} is none of read, login, launch and admin"))
        })?;
        if let Some(origin) = &params.origin {
            crate::base::origin::check(origin).map_err(|reason| ApiError::invalid_input("origin", reason))?;
        }
        let code = fresh_code()?;
        let id = format!("pair-{}", uuid::Uuid::new_v4());
        let opened = Instant::now();
        let offer = Offer::new(id.clone(), code.clone(), scopes.clone(), params.origin, opened);
        let left = i64::try_from(offer.left(opened).as_millis()).unwrap_or_default();
        self.state().offer = Some(offer);
        self.0.changed.notify_waiters();
        Ok(Started {
            pairing_id: id,
            code: code.expose_secret().to_owned(),
            scopes: scopes.list(),
            expires_at: now() + left,
        })
    }

    /// Returns the state of a pairing, waiting for a change from `waiting` if requested.
    ///
    /// # Errors
    /// `not_found` for a pairing that is not the newest; `invalid_input` for a wait that is too long.
    pub(crate) async fn poll(&self, params: Poll) -> Result<Pairing, ApiError> {
        let wait = params.wait_ms.unwrap_or(0);
        if wait > LONGEST_WAIT_MS {
            return Err(ApiError::invalid_input("waitMs", format!("must be at most {LONGEST_WAIT_MS}")));
        }
        let until = tokio::time::Instant::now() + Duration::from_millis(wait);
        loop {
            let changed = self.0.changed.notified();
            let (pairing, left) = self.pairing(&params.pairing_id)?;
            if pairing.status != PairStatus::Waiting || tokio::time::Instant::now() >= until {
                return Ok(pairing);
            }
            // The pairing may end without a change.
            let next = until.min(tokio::time::Instant::now() + left);
            let _ = tokio::time::timeout_at(next, changed).await;
        }
    }

    /// Records the answer of the person at the terminal.
    ///
    /// # Errors
    /// `not_found` for a pairing that is not the newest.
    pub(crate) fn answer(&self, params: &Answer) -> Result<Answered, ApiError> {
        let unknown = || ApiError::not_found("pairing", &params.pairing_id);
        let mut state = self.state();
        let offer = state.offer.as_mut().filter(|offer| offer.id == params.pairing_id).ok_or_else(unknown)?;
        let answered = offer.answer(params.accept, Instant::now());
        drop(state);
        self.0.changed.notify_waiters();
        Ok(Answered { success: answered })
    }

    /// Exchanges a code for a token, after the person at the terminal has agreed.
    ///
    /// # Errors
    /// The [`Refused`] reason.
    pub(crate) async fn exchange(&self, code: SecretString, who: Who) -> Result<Paired, Refused> {
        let name = check_name("name", &who.name).map_err(|_| Refused::InvalidName)?;
        let who = Who { name: name.clone(), ..who };
        let subject = format!("{} {}", who.origin.as_deref().unwrap_or("program"), name);
        let scopes = match self.agreed(&code, who.clone()).await {
            Ok(scopes) => scopes,
            Err(refused) => {
                self.note(&subject, refused).await;
                return Err(refused);
            }
        };
        self.keep(name, scopes, who.origin).await.map_err(|error| {
            tracing::error!(error = error.message(), "a client's token could not be stored");
            Refused::Failed
        })
    }

    /// Lists the tokens, oldest first.
    ///
    /// # Errors
    /// An error of the store.
    pub(crate) async fn list(&self) -> Result<Tokens, ApiError> {
        let kept = self.0.store.client_tokens().await?;
        Ok(Tokens { tokens: kept.iter().map(shown).collect() })
    }

    /// Revokes a token and ends the connections that use it.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the id, and an error of the store.
    pub(crate) async fn revoke(&self, store: &Store, params: &Revoke) -> Result<Revoked, ApiError> {
        let id: ClientTokenId =
            params.token_id.parse().map_err(|_| ApiError::not_found("token", &params.token_id))?;
        // The connections end even if the row cannot be removed now.
        self.state().end(&id);
        store.revoke_client_token(&id, now()).await?;
        Ok(Revoked { revoked: true })
    }

    /// Compares the code, and waits for the answer of the person.
    async fn agreed(&self, code: &SecretString, who: Who) -> Result<Scopes, Refused> {
        let (id, scopes) = {
            let mut state = self.state();
            let offer = state.offer.as_mut().ok_or(Refused::NoPairing)?;
            let outcome = offer.exchange(code, who, Instant::now());
            self.0.changed.notify_waiters();
            outcome?;
            (offer.id.clone(), offer.scopes.clone())
        };
        loop {
            let changed = self.0.changed.notified();
            let (pairing, left) = self.pairing(&id).map_err(|_| Refused::Denied)?;
            match pairing.status {
                PairStatus::Accepted => return Ok(scopes),
                PairStatus::Asked => {
                    let _ = tokio::time::timeout(left, changed).await;
                }
                _ => return Err(Refused::Denied),
            }
        }
    }

    async fn keep(&self, name: String, scopes: Scopes, origin: Option<String>) -> Result<Paired, ApiError> {
        let random =
            |_| ApiError::new(Kind::SecretUnavailable, "the system could not provide random numbers");
        let token = endpoint::fresh_token().map_err(random)?;
        self.0.redactor.pin(&token);
        let new =
            NewClientToken { name, scopes: scopes.to_string(), origin, hash: hash(token.expose_secret()) };
        let kept = self.0.store.create_client_token(new, now()).await?;
        self.state().keep(&kept);
        Ok(Paired { token, id: kept.id, name: kept.name, scopes })
    }

    /// Records a refused exchange. Each costs an attempt, so their number is small.
    async fn note(&self, subject: &str, refused: Refused) {
        if matches!(refused, Refused::NoPairing | Refused::InvalidName) {
            return;
        }
        let entry = AuditEntry {
            at: now(),
            actor: "tcp".to_owned(),
            action: "pair.exchange".to_owned(),
            subject: subject.to_owned(),
            outcome: "refused".to_owned(),
            detail: Some(format!("{refused:?}")),
        };
        if let Err(error) = self.0.store.audit(entry).await {
            tracing::error!(error = with_causes(&error), "a refused pairing could not be recorded");
        }
    }

    fn pairing(&self, id: &str) -> Result<(Pairing, Duration), ApiError> {
        let mut state = self.state();
        state.expire();
        let offer = state.offer.as_ref().filter(|offer| offer.id == id);
        let offer = offer.ok_or_else(|| ApiError::not_found("pairing", id))?;
        let who = offer.who.clone();
        let pairing = Pairing {
            pairing_id: id.to_owned(),
            status: offer.status.clone(),
            name: who.as_ref().map(|who| who.name.clone()),
            origin: who.and_then(|who| who.origin),
            scopes: offer.scopes.list(),
        };
        Ok((pairing, offer.left(Instant::now())))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.known.state()
    }
}

impl Known {
    /// Returns the client with this token.
    pub(crate) fn with_token(&self, token: &str) -> Option<Client> {
        // The hash is compared, not the token, so the time of the search says nothing about a token.
        self.state().tokens.get(&hash(token)).cloned()
    }

    /// Returns whether `matches` holds for the origin of a token or of the open pairing.
    pub(crate) fn any_origin(&self, matches: impl Fn(&str) -> bool) -> bool {
        let mut state = self.state();
        state.expire();
        let open = state.offer.iter().filter(|offer| !offer.is_ended()).map(|offer| &offer.origin);
        let known = state.tokens.values().map(|client| &client.origin);
        open.chain(known).flatten().any(|origin| matches(origin))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a token, for tests of the access checks.
    #[cfg(test)]
    pub(crate) fn with(self, token: &str, scopes: &str, origin: Option<&str>) -> Self {
        let kept = ClientToken {
            id: ClientTokenId::generate(),
            name: "test".to_owned(),
            scopes: scopes.to_owned(),
            origin: origin.map(str::to_owned),
            hash: hash(token),
            created_at: 0,
        };
        self.state().keep(&kept);
        self
    }
}

impl State {
    fn keep(&mut self, kept: &ClientToken) {
        // A scope that a newer version knows must not become another one.
        let Ok(scopes) = Scopes::parse(&kept.scopes) else {
            return tracing::error!(token = %kept.id, "a client's token was skipped: its scopes are unknown");
        };
        let client = Client {
            id: kept.id.clone(),
            scopes,
            origin: kept.origin.clone(),
            revoked: CancellationToken::new(),
        };
        self.tokens.insert(kept.hash.clone(), client);
    }

    /// Ends a token and the connections that use it.
    fn end(&mut self, id: &ClientTokenId) {
        self.tokens.retain(|_, client| {
            let stays = client.id != *id;
            if !stays {
                client.revoked.cancel();
            }
            stays
        });
    }

    fn expire(&mut self) {
        if let Some(offer) = &mut self.offer {
            offer.expire(Instant::now());
        }
    }
}

fn shown(kept: &ClientToken) -> Token {
    let scopes = kept.scopes.split(',').map(Scope::from).collect();
    Token {
        id: kept.id.to_string(),
        name: kept.name.clone(),
        scopes,
        origin: kept.origin.clone(),
        created_at: kept.created_at,
    }
}

/// Returns the hash of a token. A token has 256 random bits, so the hash needs no salt.
fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

/// Returns six random digits, each with the same probability.
fn fresh_code() -> Result<SecretString, ApiError> {
    const CODES: u32 = 1_000_000;
    loop {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|_| {
            ApiError::new(Kind::SecretUnavailable, "the system could not provide random numbers")
        })?;
        let number = u32::from_ne_bytes(bytes);
        if number < u32::MAX / CODES * CODES {
            return Ok(SecretString::from(format!("{:06}", number % CODES)));
        }
    }
}
