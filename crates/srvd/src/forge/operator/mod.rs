//! The operator at the forges.
//!
//! - This module stores the tokens of a sign-in, and `pending` completes those whose owner was unknown.
//! - [`sign_in`] starts and polls a sign-in for a local client. [`accounts`] lists, adds, deletes and selects accounts.
//! - [`session`] manages the browsers in which the operator has signed in.
//!
//! Tokens whose owner is known are committed, and their account becomes the active one in the same transaction. Tokens
//! whose owner the forge does not name are parked immediately. They are completed once the forge names the owner:
//! during the sign-in, at the next sign-in at the same forge, or some minutes later. A sign-in whose owner the forge will
//! never name ends: its tokens are revoked, and the list shows the reason.
//!
//! Tokens replaced by a sign-in, and tokens that were obtained but not stored, are revoked at their forge.

pub(crate) mod accounts;
mod pending;
pub(crate) mod session;
pub(crate) mod sign_in;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identity_store::{
    AccountId, Authority, CommitOperator, Consumer, Endpoint, FlowId, Identity, Jitter, LoginNotSaved,
    ParkLogin, Promotion, ReceivedTokens, SavedTokens, Store, StoreError, UnsavedLogin,
};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::base::redact::Redactor;
use crate::config::forges::ClientAuth;
use crate::forge::oauth::flows::{KeepError, KeepTokens, KeptLogin, Obtained};
use crate::forge::oauth::revoke::RetiredTokens;
use crate::forge::oauth::{Failure, Forge, Forges, Returns, identity};
use crate::wire::error::with_causes;

/// The owner of the operator's sign-ins. There is only one operator.
pub(crate) const OWNER: &str = "operator";

/// The pauses before asking a forge again for the owner of tokens, and before retrying a commit.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Stores the operator's tokens. Cheap to clone; clones share one instance.
#[derive(Clone)]
pub(crate) struct Operators {
    store: Store,
    forges: Forges,
    returns: Returns,
    redactor: Redactor,
    clock: fn() -> i64,
    stop: CancellationToken,
    /// The sign-ins that are still asking their forge for the owner of their tokens.
    asking: Arc<Mutex<BTreeSet<String>>>,
    /// The reasons why the last sign-ins failed for good, by the name of the forge.
    failures: Arc<Mutex<BTreeMap<String, String>>>,
    /// Held while parked sign-ins are being completed.
    completing: Arc<tokio::sync::Mutex<()>>,
    /// True if parked sign-ins have to be completed once more.
    again: Arc<AtomicBool>,
}

/// The parts from which [`Operators`] is built.
pub(crate) struct OperatorsConfig {
    /// The store for the tokens.
    pub store: Store,
    /// The forges at which the operator can sign in.
    pub forges: Forges,
    /// Revokes tokens that are not stored.
    pub returns: Returns,
    /// Keeps the tokens out of the log.
    pub redactor: Redactor,
    /// The wall clock, in Unix milliseconds.
    pub clock: fn() -> i64,
    /// Cancelling this token ends every wait.
    pub stop: CancellationToken,
}

impl Operators {
    /// Creates an instance from its parts.
    pub(crate) fn new(config: OperatorsConfig) -> Self {
        let OperatorsConfig { store, forges, returns, redactor, clock, stop } = config;
        let store = store.acting_as("forge sign-in");
        Self {
            store,
            forges,
            returns,
            redactor,
            clock,
            stop,
            asking: Arc::default(),
            failures: Arc::default(),
            completing: Arc::default(),
            again: Arc::default(),
        }
    }

    /// Returns the function to which [`crate::forge::oauth::Flows`] passes the tokens of its sign-ins.
    pub(crate) fn keeper(&self) -> KeepTokens {
        let operators = self.clone();
        Arc::new(move |obtained| {
            let operators = operators.clone();
            Box::pin(async move { operators.keep(obtained).await })
        })
    }

    async fn keep(&self, obtained: Obtained) -> Result<KeptLogin, KeepError> {
        let Obtained { session_id, forge, granted, identity, .. } = obtained;
        let access = granted.access.clone();
        let fresh = RetiredTokens::from(&granted);
        let login = match unsaved(&forge, &session_id, ReceivedTokens::from(granted)) {
            Ok(login) => login,
            Err(error) => return Err(self.lost(&forge, &error, fresh)),
        };
        match identity {
            Ok(person) => {
                let name = person.login.clone();
                let kept = match self.commit(login, &forge, person).await {
                    Ok(kept) => kept,
                    Err(unsaved) => return Err(self.unsaved(&forge, unsaved)),
                };
                self.replaced(&forge, &kept, &fresh);
                self.failures().remove(&forge.settings.name);
                Ok(KeptLogin { account: kept.account.to_string(), login: Some(name) })
            }
            // The forge rejects the token that it has just issued, or refuses to name its owner. The same question has the
            // same answer until the person signs in again, so there is nothing to store.
            Err(failure @ (Failure::Permanent(_) | Failure::Forbidden(_))) => {
                self.returns.give_back(&forge, RetiredTokens::from(&login.discard()));
                let text = final_reason(&forge, &failure);
                self.failures().insert(forge.settings.name.clone(), text.clone());
                Err(KeepError { code: failure.code(), text })
            }
            Err(failure) => {
                tracing::warn!(
                    forge = forge.settings.name,
                    "the owner of the tokens is not known yet: {failure}"
                );
                self.asking().insert(session_id.clone());
                let kept = self.keep_unnamed(login, &forge, &access).await;
                self.asking().remove(&session_id);
                kept
            }
        }
    }

    /// Commits a login, retrying after a pause while the database is merely busy.
    async fn commit(
        &self,
        login: UnsavedLogin,
        forge: &Forge,
        person: identity::Identity,
    ) -> Result<SavedTokens, LoginNotSaved> {
        let (mut login, store) = (login, self.acting_as(forge, &person));
        for pause in PAUSES {
            match store.commit_operator(login, self.request(&person, true)).await {
                Err(unsaved) if may_pass(&unsaved.error) && self.pause(pause).await => login = *unsaved.login,
                done => return done,
            }
        }
        store.commit_operator(login, self.request(&person, true)).await
    }

    /// Parks the login first, so that nothing is lost, and then asks the forge for the owner a few more times.
    async fn keep_unnamed(
        &self,
        login: UnsavedLogin,
        forge: &Arc<Forge>,
        access: &SecretString,
    ) -> Result<KeptLogin, KeepError> {
        let fresh = RetiredTokens::from(login.tokens());
        let account = self.park(login).await.map_err(|unsaved| self.unsaved(forge, unsaved))?;
        let mut kept = KeptLogin { account: account.to_string(), login: None };
        for pause in PAUSES {
            if !self.pause(pause).await {
                break;
            }
            let Ok(person) = forge.identify(access).await else { continue };
            let store = self.acting_as(forge, &person);
            match store.promote_operator(&account, self.request(&person, true)).await {
                Ok(Promotion::Completed(promoted)) => {
                    self.replaced(forge, &promoted, &fresh);
                    kept = KeptLogin { account: promoted.account.to_string(), login: Some(person.login) };
                }
                // The user has completed another sign-in meanwhile.
                Ok(Promotion::Superseded(newer)) => {
                    self.superseded(forge, &newer, fresh).await;
                    kept = KeptLogin { account: newer.to_string(), login: Some(person.login) };
                }
                Err(error) => {
                    tracing::error!(%account, error = with_causes(&error), "a parked sign-in was not completed");
                }
            }
            break;
        }
        Ok(kept)
    }

    /// Returns the store acting on behalf of the user who signs in.
    fn acting_as(&self, forge: &Forge, person: &identity::Identity) -> Store {
        self.store.acting_as(format!("operator:{}/{}", forge.settings.name, person.login))
    }

    async fn park(&self, login: UnsavedLogin) -> Result<AccountId, LoginNotSaved> {
        let park = || ParkLogin { user: None, hint_email: None, jitter: jitter(), now: (self.clock)() };
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

    /// Revokes the tokens that were replaced by `fresh` in a commit.
    fn replaced(&self, forge: &Arc<Forge>, kept: &SavedTokens, fresh: &RetiredTokens) {
        if let Some(old) = &kept.replaced {
            self.returns.give_back(forge, RetiredTokens::from(&**old).except(fresh));
        }
    }

    /// Revokes the tokens of a sign-in that a newer one of the same user made useless, except for those that both have.
    async fn superseded(&self, forge: &Arc<Forge>, newer: &AccountId, useless: RetiredTokens) {
        match self.store.tokens(newer, (self.clock)()).await {
            Ok(stored) => {
                self.returns.give_back(forge, useless.except(&RetiredTokens::from(&stored.tokens)));
            }
            Err(error) => {
                tracing::warn!(account = %newer, error = with_causes(&error), "the tokens of an older sign-in are left to expire");
            }
        }
    }

    /// Revokes tokens that could not be written, and returns the error for the user, who must sign in again.
    fn lost(&self, forge: &Arc<Forge>, error: &StoreError, obtained: RetiredTokens) -> KeepError {
        self.returns.give_back(forge, obtained);
        KeepError { code: "storage", text: with_causes(error) }
    }

    fn unsaved(&self, forge: &Arc<Forge>, unsaved: LoginNotSaved) -> KeepError {
        let LoginNotSaved { error, login } = unsaved;
        self.lost(forge, &error, RetiredTokens::from(&login.discard()))
    }

    fn asking(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, and returns `false` if the daemon is stopping.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Returns the reason and the next step for a sign-in that ended because the forge does not name its owner.
fn final_reason(forge: &Forge, failure: &Failure) -> String {
    let name = &forge.settings.name;
    if !matches!(failure, Failure::Forbidden(_)) {
        return format!("{failure}. Sign in again with: srvd operator login {name}");
    }
    let scope = forge.settings.kind.identity_scope();
    format!(
        "{failure}. Add \"{scope}\" to scopes of [forges.{name}] in srvd.toml, restart the daemon and run: srvd operator login {name}"
    )
}

/// Prepares a forge's tokens for storing. `flow` distinguishes sign-ins at the same forge.
///
/// # Errors
/// The value that cannot be stored.
pub(crate) fn unsaved(
    forge: &Forge,
    flow: &str,
    received: ReceivedTokens,
) -> Result<UnsavedLogin, StoreError> {
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

/// The issuer of a forge's tokens, and the client to which they are issued.
///
/// # Errors
/// A URL that the store does not accept.
pub(crate) fn authority(forge: &Forge) -> Result<Authority, StoreError> {
    let settings = &forge.settings;
    Ok(Authority {
        provider: settings.kind.as_str().parse().map_err(|_| unusable("forge_type"))?,
        base_url: Some(settings.base.as_str().parse().map_err(|_| unusable("base_url"))?),
        client_id: Some(settings.client_id.clone()).filter(|client| !client.is_empty()),
    })
}

/// A random fraction of the time until the first refresh.
pub(crate) fn jitter() -> Jitter {
    // Without random numbers, all refreshes happen at their exact time, which does no harm.
    Jitter::new(getrandom::u32().unwrap_or_default())
}

fn unusable(field: &'static str) -> StoreError {
    StoreError::InvalidName { field, reason: "it cannot be stored" }
}

/// Returns whether the same request may succeed a moment later. Rejection of the tokens or of the user's name is final.
fn may_pass(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::InvalidName { .. } | StoreError::IdentityMismatch { .. } | StoreError::Protected { .. }
    )
}
