//! `profile.best`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::profile::{Best, Resolution};

/// `profile.best`.
pub(crate) async fn best(app: App, _: Call, params: Best) -> Result<Resolution, ApiError> {
    app.launcher.best(&app.store, &params).await
}
