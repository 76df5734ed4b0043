//! `quota.*` and `launch.suggest`.

use rpc_engine::Call;

use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::ids::account_id;
use crate::wire::quota::{Get, List, Quota, Quotas, Refresh, Suggest, Suggestions};

/// `quota.list`.
pub(crate) async fn list(app: App, _: Call, params: List) -> Result<Quotas, ApiError> {
    let provider = params.provider_id.as_deref().map(|id| app.provider(id)).transpose()?;
    app.keeper.quotas(provider.map(|provider| provider.id.as_str())).await
}

/// `quota.get`.
pub(crate) async fn get(app: App, _: Call, params: Get) -> Result<Quota, ApiError> {
    app.keeper.quota(&account_id(&params.account_id)?).await
}

/// `quota.refresh`.
pub(crate) async fn refresh(app: App, _: Call, params: Refresh) -> Result<Quotas, ApiError> {
    let only = params.account_id.as_deref().map(account_id).transpose()?;
    app.keeper.refresh_quotas(only.as_ref()).await
}

/// `launch.suggest`.
pub(crate) async fn suggest(app: App, _: Call, params: Suggest) -> Result<Suggestions, ApiError> {
    let provider = app.provider(&params.provider_id)?;
    app.keeper.suggest(&provider.id).await
}
