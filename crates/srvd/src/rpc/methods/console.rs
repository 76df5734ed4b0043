//! `console.*`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::console::{End, Ended, List, Open, Opened, Sessions};
use crate::wire::error::ApiError;

/// `console.open`.
pub(crate) async fn open(app: App, _: Call, _: Open) -> Result<Opened, ApiError> {
    app.consoles.open()
}

/// `console.sessions`.
pub(crate) async fn sessions(app: App, _: Call, _: List) -> Result<Sessions, ApiError> {
    Ok(app.consoles.list(&app.actor))
}

/// `console.end`.
pub(crate) async fn end(app: App, _: Call, params: End) -> Result<Ended, ApiError> {
    app.consoles.end(&params)
}
