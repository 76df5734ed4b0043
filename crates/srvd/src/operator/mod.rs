//! The operator at the forges: what becomes of the tokens of a sign-in, and which browsers are the operator's.
//!
//! Tokens whose person is known are committed, and their account becomes the one in use in the same transaction. Tokens
//! whose person the forge does not name are parked at once, and completed when it does: within the sign-in, at the next
//! one at the same forge, or at the next start.

mod pending;
pub mod session;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identity_store::{
    Actor, Authority, CommitOperator, Consumer, Endpoint, FlowId, Identity, Jitter, Kept, Park, Received,
    Store, StoreError, Unsaved, UnsavedLogin,
};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::error::with_causes;
use crate::oauth::flows::{Keep, KeepError, KeptLogin, Obtained};
use crate::oauth::settings::ClientAuth;
use crate::oauth::{Failure, Forge, Forges, identity};

/// Who the operator's sign-ins belong to; there is one operator.
pub const OWNER: &str = "operator";

/// The pauses before a forge is asked again whose tokens these are, and before a commit is tried again.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// The one place that keeps the operator's tokens; a clone is a handle to the same one.
#[derive(Clone)]
pub struct Operators {
    store: Store,
    forges: Forges,
    clock: fn() -> i64,
    stop: CancellationToken,
    /// The sign-ins that ask their forge themselves whose tokens they have.
    asking: Arc<Mutex<BTreeSet<String>>>,
}

impl Operators {
    /// Keeps tokens of these forges in this store. Waits end when `stop` is cancelled.
    pub fn new(store: &Store, forges: Forges, clock: fn() -> i64, stop: CancellationToken) -> Self {
        Self {
            store: store.acting_as(Actor::new("forge sign-in")),
            forges,
            clock,
            stop,
            asking: Arc::default(),
        }
    }

    /// What [`crate::oauth::Flows`] hands the tokens of its sign-ins to.
    pub fn keeper(&self) -> Keep {
        let operators = self.clone();
        Arc::new(move |obtained| {
            let operators = operators.clone();
            Box::pin(async move { operators.keep(obtained).await })
        })
    }

    async fn keep(&self, obtained: Obtained) -> Result<KeptLogin, KeepError> {
        let Obtained { session_id, forge, granted, identity, .. } = obtained;
        let access = granted.access.clone();
        let login = unsaved(&forge, &session_id, Received::from(granted)).map_err(|error| refused(&error))?;
        match identity {
            Ok(person) => {
                let name = person.login.clone();
                let kept = self.commit(login, person).await.map_err(lost)?;
                Ok(KeptLogin { account: kept.account.to_string(), login: Some(name) })
            }
            // The forge does not take the token that it has just given, so there is nothing to keep.
            Err(failure @ Failure::Dead(_)) => {
                drop(login.discard());
                Err(KeepError { code: failure.code(), text: failure.to_string() })
            }
            Err(failure) => {
                tracing::warn!(
                    forge = forge.settings.name,
                    "whose tokens these are is not known yet: {failure}"
                );
                self.asking().insert(session_id.clone());
                let kept = self.keep_unnamed(login, &forge, &access).await;
                self.asking().remove(&session_id);
                kept
            }
        }
    }

    /// Commits, and once more after a pause as long as the database is only busy.
    async fn commit(&self, login: UnsavedLogin, person: identity::Identity) -> Result<Kept, Unsaved> {
        let mut login = login;
        for pause in PAUSES {
            match self.store.commit_operator(login, self.request(&person, true)).await {
                Err(unsaved) if may_pass(&unsaved.error) && self.pause(pause).await => login = *unsaved.login,
                done => return done,
            }
        }
        self.store.commit_operator(login, self.request(&person, true)).await
    }

    /// Parks first, so that nothing is lost meanwhile, and then asks the forge a few times more.
    async fn keep_unnamed(
        &self,
        login: UnsavedLogin,
        forge: &Forge,
        access: &SecretString,
    ) -> Result<KeptLogin, KeepError> {
        let account = self.park(login).await.map_err(lost)?;
        let mut kept = KeptLogin { account: account.to_string(), login: None };
        for pause in PAUSES {
            if !self.pause(pause).await {
                break;
            }
            let Ok(person) = forge.identify(access).await else { continue };
            match self.store.promote_operator(&account, self.request(&person, true)).await {
                Ok(promoted) => {
                    kept = KeptLogin { account: promoted.account.to_string(), login: Some(person.login) };
                }
                Err(error) => {
                    tracing::error!(%account, error = with_causes(&error), "a parked sign-in was not completed");
                }
            }
            break;
        }
        Ok(kept)
    }

    async fn park(&self, login: UnsavedLogin) -> Result<identity_store::AccountId, Unsaved> {
        let park = || Park { user: None, hint_email: None, jitter: jitter(), now: (self.clock)() };
        let mut login = login;
        for pause in PAUSES {
            match self.store.park(login, park()).await {
                Err(unsaved) if may_pass(&unsaved.error) && self.pause(pause).await => login = *unsaved.login,
                done => return done,
            }
        }
        self.store.park(login, park()).await
    }

    fn request(&self, person: &identity::Identity, activate: bool) -> CommitOperator {
        let identity = Identity {
            subject: Some(person.account_id.clone()),
            email: person.email.clone(),
            login: Some(person.login.clone()),
        };
        CommitOperator { identity, activate, jitter: jitter(), now: (self.clock)() }
    }

    fn asking(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false` when the daemon stops.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Tokens of a forge that are kept nowhere yet; `flow` tells sign-ins at the same forge apart.
///
/// # Errors
/// What cannot be stored of them.
pub fn unsaved(forge: &Forge, flow: &str, received: Received) -> Result<UnsavedLogin, StoreError> {
    let endpoint = Endpoint {
        issuer: None,
        token_url: Some(forge.token_url.clone()),
        auth_method: match (&forge.settings.secret, forge.settings.client_auth) {
            (None, _) => "none",
            (Some(_), ClientAuth::Basic) => "client_secret_basic",
            (Some(_), ClientAuth::Body) => "client_secret_post",
        }
        .to_owned(),
    };
    let flow: FlowId = flow.parse().map_err(|_| unusable("flow"))?;
    UnsavedLogin::new(authority(forge)?, endpoint, flow, received, Consumer::Access)
}

/// Who issues a forge's tokens, and to which client.
///
/// # Errors
/// An address that the store does not take.
pub fn authority(forge: &Forge) -> Result<Authority, StoreError> {
    let settings = &forge.settings;
    Ok(Authority {
        provider: settings.kind.as_str().parse().map_err(|_| unusable("forge_type"))?,
        base_url: Some(settings.base.as_str().parse().map_err(|_| unusable("base_url"))?),
        client_id: Some(settings.client_id.clone()).filter(|client| !client.is_empty()),
    })
}

/// A share of the time until the first refresh.
pub fn jitter() -> Jitter {
    // Without random numbers all refreshes keep their exact time, which harms nobody.
    Jitter::new(getrandom::u32().unwrap_or_default())
}

fn unusable(field: &'static str) -> StoreError {
    StoreError::InvalidName { field, reason: "it cannot be stored" }
}

/// Whether the same request may succeed a moment later. What the tokens or the person's name are refused for stays.
fn may_pass(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::InvalidName { .. } | StoreError::IdentityMismatch { .. } | StoreError::Protected { .. }
    )
}

fn refused(error: &StoreError) -> KeepError {
    KeepError { code: "storage", text: with_causes(error) }
}

/// Nothing was written and nothing will be: the person is told, and signs in again.
fn lost(unsaved: Unsaved) -> KeepError {
    let error = refused(&unsaved.error);
    drop(unsaved.login.discard());
    error
}
