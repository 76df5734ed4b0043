//! `provider.*`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::provider::{List, Providers};

/// `provider.list`.
pub(crate) async fn list(app: App, _: Call, params: List) -> Result<Providers, ApiError> {
    let only = params.provider_id.as_deref().map(|id| app.provider(id)).transpose()?;
    app.logins.programs().list(only.map(AsRef::as_ref)).await
}
