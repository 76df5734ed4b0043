//! `account.*`.

use identity_store::{AccountEdit, AccountFilter, AccountKind, Leftover, SecretRef, StatusReport};
use rpc_engine::Call;

use crate::base::clock::now;
use crate::health::{Write, judge};
use crate::keys::probe;
use crate::rpc::app::App;
use crate::wire::account::{Account, Accounts, Corrupt, Delete, Deleted, Get, List, RefreshStatus, Update};
use crate::wire::bundle::{Cleanup, CleanupOutcome};
use crate::wire::convert;
use crate::wire::error::{ApiError, with_causes};
use crate::wire::ids::{account_id, bundle_id};

/// `account.list`.
pub async fn list(app: App, _: Call, params: List) -> Result<Accounts, ApiError> {
    let provider = match &params.provider_id {
        Some(id) => Some(convert::stored_id(app.provider(id)?)?),
        None => None,
    };
    let bundle = match params.bundle_id.as_deref() {
        Some(id) => {
            let id = bundle_id(id)?;
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

/// `account.refreshstatus`.
pub async fn refresh_status(app: App, _: Call, params: RefreshStatus) -> Result<Account, ApiError> {
    let id = account_id(&params.account_id)?;
    let known = app.store.account(&id).await?;
    let account = match probed(&app, &known).await {
        Some(report) => app.store.set_status(&id, report, now()).await?,
        None => app.health.examine(&id, Write::Always).await?.account,
    };
    Ok(convert::account(account))
}

/// Asks the provider about an API key. Returns `None` for a credential that cannot be checked at a provider.
async fn probed(app: &App, account: &identity_store::Account) -> Option<StatusReport> {
    let provider = app.registry.provider(account.provider.as_str())?;
    let asked = account.kind == AccountKind::ApiKey;
    let service = provider.key.as_ref().filter(|_| asked)?.at(account.base_url.as_deref());
    let probe = service.probe.as_ref()?;
    let key = match &account.secret_ref {
        SecretRef::Sealed => app.store.open_secret(&account.id).await,
        SecretRef::Env { .. } | SecretRef::Command { .. } => {
            match app.secrets.read(&provider.id, &account.secret_ref).await {
                Ok(key) => Ok(key),
                Err(unavailable) => return Some(judge::unopened(account, &unavailable.text, now())),
            }
        }
        SecretRef::ConfigDir { .. } | SecretRef::Tokens => return None,
    };
    match key {
        Ok(key) => {
            app.redactor.hide(&key);
            Some(judge::probed(account, probe::ask(&service, probe, &key).await, now()))
        }
        Err(error) => {
            tracing::error!(error = with_causes(&error), account = %account.id, "a secret does not open");
            Some(judge::unopened(account, "its stored secret could not be opened", now()))
        }
    }
}

/// `account.delete`.
pub async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    let id = account_id(&params.account_id)?;
    let found = app.store.account(&id).await?;
    for bundle in &found.bound_to {
        super::bundle::end_logins(&app, bundle, Some(found.provider.as_str())).await;
    }
    let gone = app.store.delete_account(&id, now()).await?;
    // A login that started in the meantime would run in a directory that is about to be removed.
    for bundle in &gone.account.bound_to {
        super::bundle::end_logins(&app, bundle, Some(gone.account.provider.as_str())).await;
    }
    Ok(Deleted {
        deleted: true,
        unbound_from: gone.account.bound_to.iter().map(ToString::to_string).collect(),
        instances_affected: gone.instances,
        cleanup: clean(&app, &gone.account, gone.leftover.as_ref()).await.into_iter().collect(),
    })
}

/// Removes the credential of a deleted account from this machine's disk. A sealed key was deleted with its row. A
/// directory that belongs to the user is not changed.
pub(super) async fn clean(
    app: &App,
    account: &identity_store::Account,
    leftover: Option<&Leftover>,
) -> Option<Cleanup> {
    match (leftover, &account.secret_ref) {
        (Some(leftover), _) => Some(app.leftovers.clear(&app.store, leftover).await),
        (None, SecretRef::ConfigDir { dir, .. }) => {
            Some(Cleanup { path: dir.display().to_string(), outcome: CleanupOutcome::NotOurs })
        }
        (None, _) => None,
    }
}
