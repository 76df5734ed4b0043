//! `operator.*`.

use rpc_engine::Call;

use crate::forge::operator::{accounts, sign_in};
use crate::rpc::app::App;
use crate::wire::auth::Outcome;
use crate::wire::error::ApiError;
use crate::wire::operator::{
    Active, Cancel, ClearActive, Cleared, Delete, Deleted, GetActive, List, OperatorAccount, Operators, Poll,
    SetActive, SignIn, Start, Started, Upsert,
};

/// `operator.list`.
pub(crate) async fn list(app: App, _: Call, _: List) -> Result<Operators, ApiError> {
    app.operators.list(&app.store).await
}

/// `operator.upsert`.
pub(crate) async fn upsert(app: App, _: Call, params: Upsert) -> Result<OperatorAccount, ApiError> {
    app.operators.upsert(&app.store, params).await
}

/// `operator.delete`.
pub(crate) async fn delete(app: App, _: Call, params: Delete) -> Result<Deleted, ApiError> {
    accounts::delete(&app.store, params).await
}

/// `operator.start`.
pub(crate) async fn start(app: App, _: Call, params: Start) -> Result<Started, ApiError> {
    app.operators.start(&app.flows, params).await
}

/// `operator.poll`.
pub(crate) async fn poll(app: App, _: Call, params: Poll) -> Result<SignIn, ApiError> {
    sign_in::poll(&app.flows, params).await
}

/// `operator.cancel`.
pub(crate) async fn cancel(app: App, _: Call, params: Cancel) -> Result<Outcome, ApiError> {
    Ok(sign_in::cancel(&app.flows, &params))
}

/// `operator.active`.
pub(crate) async fn active(app: App, _: Call, _: GetActive) -> Result<Active, ApiError> {
    accounts::active(&app.store).await
}

/// `operator.setactive`.
pub(crate) async fn set_active(app: App, _: Call, params: SetActive) -> Result<Active, ApiError> {
    accounts::set_active(&app.store, params).await
}

/// `operator.clearactive`.
pub(crate) async fn clear_active(app: App, _: Call, _: ClearActive) -> Result<Cleared, ApiError> {
    accounts::clear_active(&app.store).await
}
