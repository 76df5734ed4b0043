//! The operator's forge accounts: listing, tokens supplied by the operator, deletion, and the active account.

use std::sync::Arc;

use identity_store::{
    ActiveForge, CommitOperator, Identity, OperatorToken, ParkedLogin, ReceivedTokens, Store, StoreError,
};
use uuid::Uuid;

use super::{Operators, jitter, unsaved};
use crate::base::clock::now;
use crate::config::forges::ForgeKind;
use crate::forge::oauth::forge::SelectError;
use crate::forge::oauth::{Failure, Forge};
use crate::hint::Step;
use crate::wire::convert;
use crate::wire::error::{ApiError, Kind};
use crate::wire::ids::account_id;
use crate::wire::operator::{
    Active, Cleared, ConfiguredForge, Delete, Deleted, Flow, ForgeType, OperatorAccount,
    Operators as OperatorList, PendingAccount, SetActive, Upsert,
};

/// The operator's statement about the owner of supplied tokens.
struct Claim {
    subject: Option<String>,
    login: Option<String>,
    email: Option<String>,
}

impl Operators {
    /// Lists the operator's accounts and the configured forges.
    ///
    /// # Errors
    /// A store error.
    pub(crate) async fn list(&self, store: &Store) -> Result<OperatorList, ApiError> {
        let tokens = store.operator_tokens().await?;
        let pending = store.pending_logins(None).await?;
        let accounts: Vec<_> = tokens.into_iter().map(shown).collect();
        Ok(OperatorList {
            tokens: accounts.clone(),
            accounts,
            pending: pending.into_iter().map(|login| self.parked(login)).collect(),
            forges: self.forges.iter().map(|forge| self.configured(forge)).collect(),
        })
    }

    fn parked(&self, pending: ParkedLogin) -> PendingAccount {
        let orphan = self.forge_of(&pending).is_none();
        PendingAccount {
            reason: orphan.then(|| {
                "its forge is no longer configured; add it to srvd.toml again, or forget the sign-in"
                    .to_owned()
            }),
            account_id: pending.account.to_string(),
            forge_type: ForgeType::from(pending.authority.provider.as_str()),
            base_url: pending.authority.base_url.map(|url| url.to_string()),
            client_id: pending.authority.client_id,
            created_at: pending.created_at,
        }
    }

    fn configured(&self, forge: &Forge) -> ConfiguredForge {
        let device = forge.has_device_flow().then_some(Flow::Device);
        ConfiguredForge {
            name: forge.settings.name.clone(),
            forge_type: forge_type(forge.settings.kind),
            base_url: forge.settings.base.as_str().to_owned(),
            client_id: forge.settings.client_id.clone(),
            flows: std::iter::once(Flow::Code).chain(device).collect(),
            last_failure: self.failures().get(&forge.settings.name).cloned(),
        }
    }

    /// Stores tokens supplied by the operator.
    ///
    /// # Errors
    /// `unknown_provider`, `invalid_input` or `not_found` for the forge, `identity_mismatch` if the forge names a
    /// different user, `refresh_failed` if the forge cannot be asked, and store errors.
    pub(crate) async fn upsert(&self, store: &Store, params: Upsert) -> Result<OperatorAccount, ApiError> {
        let Upsert { forge_type, base_url, client_id, tokens, account_login, email, activate } = params;
        let kind = kind(&forge_type)?;
        let forge = match self.forges.select(kind, base_url.as_deref(), client_id.as_deref()) {
            Ok(forge) => forge.clone(),
            Err(SelectError::Unknown) if client_id.is_none() => {
                self.unconfigured(kind, base_url.as_deref())?
            }
            Err(error) => return Err(unselected(error)),
        };
        let claim = Claim { subject: tokens.subject.clone(), login: account_login, email };
        let received = convert::received(tokens, (self.clock)());
        self.redactor.hide_received(&received);
        let identity = owner(&forge, &received, claim).await?;
        let login = unsaved(&forge, &format!("upsert-{}", Uuid::new_v4().simple()), received)?;
        let activate = activate.unwrap_or(false);
        let commit = CommitOperator { identity, activate, jitter: jitter(), now: (self.clock)() };
        match store.commit_operator(login, commit).await {
            Ok(kept) => Ok(shown(store.operator_token(&kept.account).await?)),
            Err(unsaved) => {
                // The client still has the tokens, and only the client can revoke them.
                drop(unsaved.login.discard());
                Err(unsaved.error.into())
            }
        }
    }

    /// Returns a forge without an OAuth client, for a token whose forge is not configured.
    fn unconfigured(&self, kind: ForgeKind, base_url: Option<&str>) -> Result<Arc<Forge>, ApiError> {
        let address = base_url.or(kind.default_base());
        let address = address
            .ok_or_else(|| ApiError::invalid_input("baseUrl", "this type of forge has no default URL"))?;
        let forge = Forge::bare(kind, address, self.clock).map(Arc::new);
        forge.map_err(|reason| ApiError::invalid_input("baseUrl", reason))
    }
}

/// Returns the owner of supplied tokens. The forge is asked unless the operator has stated both the subject and the
/// login.
async fn owner(forge: &Forge, received: &ReceivedTokens, claim: Claim) -> Result<Identity, ApiError> {
    let (subject, login) = match (claim.subject, claim.login) {
        (Some(subject), Some(login)) => {
            return Ok(Identity { subject: Some(subject), login: Some(login), email: claim.email });
        }
        incomplete => incomplete,
    };
    let person = forge.identify(&received.access).await.map_err(|failure| unidentified(&failure))?;
    let told = [(subject, &person.account_id), (login, &person.login)];
    if told.iter().any(|(told, found)| told.as_ref().is_some_and(|told| told != *found)) {
        let text = "the forge reports that the token belongs to a different user";
        return Err(ApiError::new(Kind::IdentityMismatch, text));
    }
    let email = claim.email.or(person.email);
    Ok(Identity { subject: Some(person.account_id), login: Some(person.login), email })
}

/// Deletes one of the operator's accounts, or a sign-in whose user is unknown.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and store errors.
pub(crate) async fn delete(store: &Store, params: Delete) -> Result<Deleted, ApiError> {
    let account = account_id(&params.account_id)?;
    let was_active = match store.delete_operator(&account, now()).await {
        Ok(token) => token.active,
        Err(missing @ StoreError::NotFound { .. }) => match store.discard_pending(&account, now()).await {
            Ok(()) => false,
            Err(StoreError::NotFound { .. }) => return Err(missing.into()),
            Err(error) => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    tracing::info!(%account, was_active, "an operator account was deleted");
    Ok(Deleted { deleted: true, was_active })
}

/// Returns the active account.
///
/// # Errors
/// `no_active_forge` if there is none, and store errors.
pub(crate) async fn active(store: &Store) -> Result<Active, ApiError> {
    let found = store.active_forge().await?;
    found.map(in_use).ok_or_else(|| {
        ApiError::new(Kind::NoActiveForge, "no operator account is active").hint(Step::SignInOrSelect)
    })
}

/// Makes an account the active one and returns it.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and store errors.
pub(crate) async fn set_active(store: &Store, params: SetActive) -> Result<Active, ApiError> {
    store.set_active_forge(&account_id(&params.account_id)?, now()).await?;
    active(store).await
}

/// Deactivates the active account.
///
/// # Errors
/// A store error.
pub(crate) async fn clear_active(store: &Store) -> Result<Cleared, ApiError> {
    Ok(Cleared { cleared: store.clear_active_forge(now()).await? })
}

/// Returns the kind of forge named in a request.
pub(super) fn kind(forge_type: &ForgeType) -> Result<ForgeKind, ApiError> {
    match forge_type {
        ForgeType::GitHub => Ok(ForgeKind::GitHub),
        ForgeType::GitLab => Ok(ForgeKind::GitLab),
        ForgeType::Forgejo => Ok(ForgeKind::Forgejo),
        ForgeType::Gitea => Ok(ForgeKind::Gitea),
        ForgeType::Other(_) => {
            let known = ForgeKind::ALL.map(ForgeKind::as_str);
            Err(ApiError::new(Kind::UnknownProvider, "srvd does not support this type of forge")
                .with("known", known.to_vec()))
        }
    }
}

/// Returns the wire type of a configured forge.
pub(crate) fn forge_type(kind: ForgeKind) -> ForgeType {
    match kind {
        ForgeKind::GitHub => ForgeType::GitHub,
        ForgeKind::GitLab => ForgeType::GitLab,
        ForgeKind::Forgejo => ForgeType::Forgejo,
        ForgeKind::Gitea => ForgeType::Gitea,
    }
}

/// Returns the error for a request that does not identify a single configured forge.
pub(super) fn unselected(error: SelectError) -> ApiError {
    match error {
        SelectError::Unknown => ApiError::not_found("forge", "").hint(Step::AddSomeForge),
        SelectError::Ambiguous => ApiError::invalid_input("baseUrl", error),
    }
}

fn unidentified(failure: &Failure) -> ApiError {
    match failure {
        Failure::Transient { .. } => {
            ApiError::new(Kind::RefreshFailed, failure.to_string()).hint(Step::IdentifyLater)
        }
        Failure::Permanent(_) => ApiError::invalid_input("tokens", "the forge rejected the token"),
        Failure::Misconfigured(_) | Failure::Forbidden(_) => {
            ApiError::invalid_input("tokens", failure).hint(Step::IdentifyToken)
        }
    }
}

fn shown(token: OperatorToken) -> OperatorAccount {
    OperatorAccount {
        account_id: token.account.to_string(),
        forge_type: ForgeType::from(token.forge.as_str()),
        base_url: token.base_url.to_string(),
        client_id: token.client_id,
        account_login: token.login,
        subject: token.subject,
        email: token.email,
        active: token.active,
        state: convert::token_state(token.state),
        state_reason: token.reason.map(|reason| reason.as_str().to_owned()),
        expires_at: token.expires_at,
        created_at: token.created_at,
        updated_at: token.updated_at,
    }
}

fn in_use(active: ActiveForge) -> Active {
    Active {
        account_id: active.account.to_string(),
        forge_type: ForgeType::from(active.forge.as_str()),
        account_login: active.login,
        base_url: active.base_url.to_string(),
        since: active.since,
    }
}
