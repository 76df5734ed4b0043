//! Accounts, which hold one credential each.

use auth_spawner::{Provider, Registry};
use identity_store::{
    Account as Stored, AccountEdit, AccountFilter, AccountKind, BundleId, ProviderId, SecretRef,
    StatusReport, Store, StoreError,
};
use secrecy::SecretString;

use super::removal::Remover;
use crate::base::clock::now;
use crate::base::redact::Redactor;
use crate::health::{Examiner, WritePolicy, judge};
use crate::keys::external::ExternalKeys;
use crate::keys::probe;
use crate::wire::account::{Account, Accounts, Corrupt, Delete, Deleted, Get, List, RefreshStatus, Update};
use crate::wire::convert;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::ids::{account_id, bundle_id, provider};

/// Lists accounts, and the rows that could not be read.
///
/// # Errors
/// `unknown_provider`, `invalid_input` or `not_found` for an id, and an error of the store.
pub(crate) async fn list(store: &Store, registry: &Registry, params: List) -> Result<Accounts, ApiError> {
    let provider = match &params.provider_id {
        Some(id) => Some(convert::stored_id(provider(registry, id)?)?),
        None => None,
    };
    let bundle = match params.bundle_id.as_deref() {
        Some(id) => {
            let id = bundle_id(id)?;
            // An unknown bundle is an error, not an empty list.
            store.bundle(&id).await?;
            Some(id)
        }
        None => None,
    };
    let found = store.accounts(AccountFilter { provider, bundle }).await?;
    Ok(Accounts {
        accounts: found.accounts.into_iter().map(convert::account).collect(),
        corrupt: found.corrupt.into_iter().map(|row| Corrupt { id: row.id, reason: row.reason }).collect(),
    })
}

/// Reads one account.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and an error of the store.
pub(crate) async fn get(store: &Store, params: Get) -> Result<Account, ApiError> {
    Ok(convert::account(store.account(&account_id(&params.account_id)?).await?))
}

/// Renames an account.
///
/// # Errors
/// `invalid_input` or `not_found`, and an error of the store.
pub(crate) async fn update(store: &Store, params: Update) -> Result<Account, ApiError> {
    let edit = AccountEdit { name: params.name, display_name: params.display_name };
    Ok(convert::account(store.update_account(&account_id(&params.account_id)?, edit, now()).await?))
}

/// Deletes an account with its bindings, its running logins and its directory.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and an error of the store. A directory that cannot be removed is part of
/// the result.
pub(crate) async fn delete(store: &Store, remover: &Remover, params: Delete) -> Result<Deleted, ApiError> {
    let id = account_id(&params.account_id)?;
    match store.account(&id).await {
        Ok(found) => end_logins(remover, &found.bound_to, &found.provider).await,
        // A row that cannot be read can be deleted all the same.
        Err(StoreError::Corrupt { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = store.delete_account(&id, now()).await?;
    let leftover = gone.leftover.as_ref();
    let provider =
        gone.account.as_ref().map(|account| &account.provider).or(leftover.map(|left| &left.provider));
    // A login that started in the meantime would run in a directory that is about to be removed.
    if let Some(provider) = provider {
        end_logins(remover, &gone.unbound_from, provider).await;
    }
    Ok(Deleted {
        deleted: true,
        unbound_from: gone.unbound_from.iter().map(BundleId::to_string).collect(),
        instances_affected: gone.instances,
        cleanup: remover.clean(store, gone.account.as_ref(), leftover).await.into_iter().collect(),
    })
}

async fn end_logins(remover: &Remover, bundles: &[BundleId], provider: &ProviderId) {
    for bundle in bundles {
        remover.end_logins(bundle, Some(provider.as_str())).await;
    }
}

/// Checks the credentials of accounts on request. A clone is a handle to the same one.
#[derive(Clone)]
pub(crate) struct StatusChecker {
    registry: Registry,
    secrets: ExternalKeys,
    redactor: Redactor,
    health: Examiner,
}

impl StatusChecker {
    /// Creates a checker. Files are examined by `health`; keys are opened, hidden from the log and sent to the provider
    /// that the registry describes.
    pub(crate) fn new(
        registry: &Registry,
        secrets: &ExternalKeys,
        redactor: &Redactor,
        health: &Examiner,
    ) -> Self {
        Self {
            registry: registry.clone(),
            secrets: secrets.clone(),
            redactor: redactor.clone(),
            health: health.clone(),
        }
    }

    /// Reads an account's file, or asks the provider about its key, and stores the status.
    ///
    /// # Errors
    /// `invalid_input` or `not_found` for the id, and an error of the store.
    pub(crate) async fn refresh_status(
        &self,
        store: &Store,
        params: RefreshStatus,
    ) -> Result<Account, ApiError> {
        let id = account_id(&params.account_id)?;
        if params.accept_person.unwrap_or(false) {
            self.health.accept_person(store, &id).await?;
        }
        let known = store.account(&id).await?;
        let account = match self.probed(store, &known).await {
            Some(report) => store.set_status(&id, report, now()).await?,
            None => self.health.examine(&id, WritePolicy::Always).await?.account,
        };
        Ok(convert::account(account))
    }

    /// Asks the provider about an API key. Returns `None` for a credential that cannot be checked at a provider.
    async fn probed(&self, store: &Store, account: &Stored) -> Option<StatusReport> {
        let provider = self.registry.provider(account.provider.as_str())?;
        let is_key = account.kind == AccountKind::ApiKey;
        let service = provider.key.as_ref().filter(|_| is_key)?.at(account.base_url.as_deref());
        let probe = service.probe.as_ref()?;
        Some(match self.key(store, provider, account).await? {
            Ok(key) => judge::probed(account, probe::ask(&service, probe, &key).await, now()),
            Err(reason) => judge::unopened(account, &reason, now()),
        })
    }

    /// Returns the account's key, or the reason why it cannot be opened. Returns `None` for an account without a key.
    async fn key(
        &self,
        store: &Store,
        provider: &Provider,
        account: &Stored,
    ) -> Option<Result<SecretString, String>> {
        let key = match &account.secret_ref {
            SecretRef::Sealed => store.open_secret(&account.id).await.map_err(|error| {
                tracing::error!(error = with_causes(&error), account = %account.id, "a secret cannot be opened");
                "its stored secret could not be opened".to_owned()
            }),
            SecretRef::Env { .. } | SecretRef::Command { .. } => {
                let key = self.secrets.read(provider, &account.secret_ref).await;
                key.map_err(|unavailable| unavailable.text)
            }
            SecretRef::ConfigDir { .. } | SecretRef::Tokens => return None,
        };
        if let Ok(key) = &key {
            self.redactor.hide(key);
        }
        Some(key)
    }
}
