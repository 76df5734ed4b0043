//! `pair.*` and `tokens.*`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::pair::{
    Answer, Answered, ListTokens, Pairing, Poll, Revoke, Revoked, Start, Started, Tokens,
};

/// `pair.start`.
pub(crate) async fn start(app: App, _: Call, params: Start) -> Result<Started, ApiError> {
    app.clients.start(params)
}

/// `pair.poll`.
pub(crate) async fn poll(app: App, _: Call, params: Poll) -> Result<Pairing, ApiError> {
    app.clients.poll(params).await
}

/// `pair.answer`.
pub(crate) async fn answer(app: App, _: Call, params: Answer) -> Result<Answered, ApiError> {
    app.clients.answer(&params)
}

/// `tokens.list`.
pub(crate) async fn tokens(app: App, _: Call, _: ListTokens) -> Result<Tokens, ApiError> {
    app.clients.list().await
}

/// `tokens.revoke`.
pub(crate) async fn revoke(app: App, _: Call, params: Revoke) -> Result<Revoked, ApiError> {
    app.clients.revoke(&app.store, &params).await
}
