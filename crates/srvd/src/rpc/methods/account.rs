//! `account.*`, except `account.revoke`.

use rpc_engine::Call;

use crate::accounts::{accounts, strays};
use crate::rpc::app::App;
use crate::wire::account::{
    Account, Accounts, AfterRefusal, Delete, Deleted, DiscardStray, DiscardedStray, Get, KeepStray, List,
    ListStrays, RefreshStatus, Refused, Strays, Update,
};
use crate::wire::error::ApiError;

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
    accounts::delete(&app.store, &app.remover, params).await
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
    app.refresher.after_refusal(&app.store, params).await
}
