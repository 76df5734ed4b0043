//! `share.*`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::share::{Get, Set, Share};

/// `share.get`.
pub(crate) async fn get(app: App, _: Call, params: Get) -> Result<Share, ApiError> {
    app.sharing.get(&app.store, &params).await
}

/// `share.set`.
pub(crate) async fn set(app: App, _: Call, params: Set) -> Result<Share, ApiError> {
    app.sharing.set(&app.store, &params).await
}
