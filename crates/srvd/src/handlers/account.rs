//! `account.*`.

use identity_store::{AccountEdit, AccountFilter, AccountId, SecretRef};
use rpc_engine::Call;

use super::convert;
use crate::api::account::{Account, Accounts, Corrupt, Delete, Deleted, Get, List, Update};
use crate::api::bundle::Cleanup;
use crate::app::{App, now};
use crate::error::ApiError;

fn account_id(id: &str) -> Result<AccountId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id("accountId", &error))
}

/// `account.list`.
pub async fn list(app: App, _: Call, params: List) -> Result<Accounts, ApiError> {
    let provider = match &params.provider_id {
        Some(id) => Some(super::provider::stored_id(app.provider(id)?)?),
        None => None,
    };
    let bundle = match params.bundle_id.as_deref() {
        Some(id) => {
            let id = id.parse().map_err(|error| ApiError::bad_id("bundleId", &error))?;
            app.store.bundle(&id).await?;
            Some(id)
        }
        None => None,
    };
    let found = app.store.accounts(AccountFilter { provider, bundle }).await?;
    Ok(Accounts {
        accounts: found.accounts.into_iter().map(convert::account).collect(),
        corrupt: found.corrupt.into_iter().map(|row| Corrupt { id: row.id, reason: row.reason }).collect(),
    })
}

/// `account.get`.
pub async fn get(app: App, _: Call, params: Get) -> Result<Account, ApiError> {
    Ok(convert::account(app.store.account(&account_id(&params.account_id)?).await?))
}

/// `account.update`.
pub async fn update(app: App, _: Call, params: Update) -> Result<Account, ApiError> {
    let edit = AccountEdit { name: params.name, display_name: params.display_name };
    Ok(convert::account(app.store.update_account(&account_id(&params.account_id)?, edit, now()).await?))
}

/// `account.delete`.
pub async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    let account = app.store.delete_account(&account_id(&params.account_id)?, now()).await?;
    Ok(Deleted { deleted: true, cleanup: clean(&app, &account, true).into_iter().collect() })
}

/// Removes the credential of an account that is gone from this machine's disk. A sealed key went with its row.
pub(super) fn clean(app: &App, account: &identity_store::Account, keep_history: bool) -> Option<Cleanup> {
    let SecretRef::ConfigDir { dir, .. } = &account.secret_ref else { return None };
    let history = app
        .registry
        .provider(account.provider.as_str())
        .and_then(|provider| provider.cli.as_ref())
        .map(|cli| cli.history.clone())
        .filter(|_| keep_history)
        .unwrap_or_default();
    let done = app.identities.clean(dir, &history);
    if done.outcome.starts_with("failed") {
        tracing::warn!(account = %account.id, outcome = done.outcome, "a deleted account left files behind");
    }
    Some(done)
}
