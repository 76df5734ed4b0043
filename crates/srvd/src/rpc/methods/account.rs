//! `account.*`, except `account.revoke`.

use std::path::PathBuf;

use futures_util::FutureExt as _;
use rpc_engine::Call;

use crate::accounts::{accounts, strays};
use crate::rpc::app::App;
use crate::wire::account::{
    Account, Accounts, AfterRefusal, Delete, Deleted, Get, List, RefreshStatus, Refused, Update,
};
use crate::wire::error::ApiError;
use crate::wire::keeping::{KeepAlive, KeptLogins};
use crate::wire::stray::{DiscardStray, DiscardedStray, KeepStray, ListStrays, Strays};

/// `account.list`.
pub(crate) async fn list(app: App, _: Call, params: List) -> Result<Accounts, ApiError> {
    accounts::list(&app.store, &app.registry, params).await
}

/// `account.get`.
pub(crate) async fn get(app: App, _: Call, params: Get) -> Result<Account, ApiError> {
    accounts::get(&app.store, params).await
}

/// `account.update`.
pub(crate) async fn update(app: App, _: Call, params: Update) -> Result<Account, ApiError> {
    accounts::update(&app.store, params).await
}

/// `account.refreshstatus`.
pub(crate) async fn refresh_status(app: App, _: Call, params: RefreshStatus) -> Result<Account, ApiError> {
    app.status_checker.refresh_status(&app.store, params).await
}

/// `account.delete`.
pub(crate) async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    let logins = app.logins.clone();
    let end = move |dir: PathBuf| {
        let logins = logins.clone();
        async move { logins.end_in_directory(&dir, "its account was deleted").await }.boxed()
    };
    accounts::delete(&app.store, &app.remover, params, end).await
}

/// `account.strays`.
pub(crate) async fn strays(app: App, _: Call, _: ListStrays) -> Result<Strays, ApiError> {
    strays::list(&app.store, &app.remover).await
}

/// `account.keepstray`.
pub(crate) async fn keep_stray(app: App, _: Call, params: KeepStray) -> Result<Account, ApiError> {
    strays::keep(&app.store, &app.registry, &app.remover, params).await
}

/// `account.discardstray`.
pub(crate) async fn discard_stray(
    app: App,
    _: Call,
    params: DiscardStray,
) -> Result<DiscardedStray, ApiError> {
    strays::discard(&app.store, &app.registry, &app.remover, params).await
}

/// `account.refused`.
pub(crate) async fn refused(app: App, _: Call, params: Refused) -> Result<AfterRefusal, ApiError> {
    match app.keeper.after_refusal(&params).await? {
        Some(next) => Ok(next),
        None => app.refresher.after_refusal(&app.store, params).await,
    }
}

/// `account.keepalive`.
pub(crate) async fn keep_alive(app: App, _: Call, params: KeepAlive) -> Result<KeptLogins, ApiError> {
    app.keeper.answer(&app.store, params).await
}
