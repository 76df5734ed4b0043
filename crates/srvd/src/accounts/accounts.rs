//! Accounts, which hold one credential each.

use std::path::PathBuf;

use auth_spawner::{Provider, Registry};
use futures_util::future::BoxFuture;
use identity_store::{
    Account as Stored, AccountEdit, AccountFilter, AccountKind, AccountList, AccountOrder, AccountPosition,
    AccountQuery, BundleId, ProviderId, SecretRef, Status, StatusReport, Store, StoreError,
};
use secrecy::SecretString;

use super::removal::Remover;
use crate::base::clock::now;
use crate::base::redact::Redactor;
use crate::disk::identity_dir::AccountDir;
use crate::health::{Examiner, WritePolicy, judge};
use crate::keys::external::ExternalKeys;
use crate::keys::probe;
use crate::wire::account::{
    Account, AccountSort, Accounts, Corrupt, Delete, Deleted, Get, List, RefreshStatus, Update,
};
use crate::wire::convert;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::ids::{account_id, bundle_id, provider};
use crate::wire::{self, page};

/// The size of a page for a request without a limit. No database holds so many accounts.
const EVERY: u32 = 1_000_000;

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
    let order = order(params.sort.as_ref())?;
    let status = params.status.as_ref().map(status).transpose()?;
    let sort = params.sort.unwrap_or(AccountSort::CreatedAt).to_string();
    let after = match &params.cursor {
        Some(text) => {
            let [key, id] = page::position(text, &sort)?;
            Some(AccountPosition { key, id })
        }
        None => None,
    };
    let is_plain = status.is_none() && params.name.is_none() && order == AccountOrder::Created;
    if params.limit.is_none() && after.is_none() && is_plain {
        return Ok(listed(store.accounts(AccountFilter { provider, bundle }).await?, None));
    }
    let limit = params.limit.map_or(Ok(EVERY), page::size)?;
    let query = AccountQuery { provider, bundle, status, name: params.name, order, after, limit };
    let found = store.account_page(query).await?;
    let next = found.next.map(|next| page::cursor(&sort, &[&next.key, &next.id]));
    Ok(listed(found.list, next))
}

fn listed(found: AccountList, next_cursor: Option<String>) -> Accounts {
    Accounts {
        accounts: found.accounts.into_iter().map(convert::account).collect(),
        corrupt: found.corrupt.into_iter().map(|row| Corrupt { id: row.id, reason: row.reason }).collect(),
        next_cursor,
    }
}

/// Returns the order of a list of accounts.
fn order(sort: Option<&AccountSort>) -> Result<AccountOrder, ApiError> {
    match sort {
        None | Some(AccountSort::CreatedAt) => Ok(AccountOrder::Created),
        Some(AccountSort::Name) => Ok(AccountOrder::Name),
        Some(AccountSort::Provider) => Ok(AccountOrder::Provider),
        Some(AccountSort::Status) => Ok(AccountOrder::Status),
        Some(AccountSort::Other(_)) => {
            Err(ApiError::invalid_input("sort", "must be createdAt, name, providerId or status"))
        }
    }
}

fn status(wanted: &wire::Status) -> Result<Status, ApiError> {
    match wanted {
        wire::Status::Valid => Ok(Status::Valid),
        wire::Status::Expired => Ok(Status::Expired),
        wire::Status::NeedsReauth => Ok(Status::NeedsReauth),
        wire::Status::Invalid => Ok(Status::Invalid),
        wire::Status::Unknown => Ok(Status::Unknown),
        wire::Status::Other(_) => Err(ApiError::invalid_input("status", "is not the status of an account")),
    }
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

/// Deletes an account with its bindings, its running logins and its directory. `end` ends the logins that would renew the
/// login in a directory.
///
/// # Errors
/// `invalid_input` or `not_found` for the id, and an error of the store. A directory that cannot be removed is part of
/// the result.
pub(crate) async fn delete(
    store: &Store,
    remover: &Remover,
    params: Delete,
    end: impl Fn(PathBuf) -> BoxFuture<'static, ()>,
) -> Result<Deleted, ApiError> {
    let id = account_id(&params.account_id)?;
    match store.account(&id).await {
        Ok(found) => {
            end_logins(remover, &found.bound_to, &found.provider).await;
            if let Some(dir) = AccountDir::of(&found) {
                end(dir.path).await;
            }
        }
        // A row that cannot be read can be deleted all the same.
        Err(StoreError::Corrupt { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = remover.with_space(|| store.delete_account(&id, now())).await?;
    let leftover = gone.leftover.as_ref();
    let provider =
        gone.account.as_ref().map(|account| &account.provider).or(leftover.map(|left| &left.provider));
    // A login that started in the meantime would run in a directory that is about to be removed.
    if let Some(provider) = provider {
        end_logins(remover, &gone.unbound_from, provider).await;
    }
    if let Some(leftover) = leftover {
        end(leftover.dir.clone()).await;
    }
    let cleanup = remover.clean(store, gone.account.as_ref(), leftover).await.into_iter().collect();
    remover.keep_space();
    Ok(Deleted {
        deleted: true,
        unbound_from: gone.unbound_from.iter().map(BundleId::to_string).collect(),
        instances_affected: gone.instances,
        cleanup,
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
