//! `ephemeral.*`.

use rpc_engine::Call;

use crate::agents::ephemeral;
use crate::agents::ephemeral::Slot;
use crate::rpc::app::App;
use crate::wire::ephemeral::{Clear, Cleared, Put, Stored};
use crate::wire::error::ApiError;
use crate::wire::ids::{one_agent, user_id};

/// `ephemeral.put`.
pub(crate) async fn put(app: App, _: Call, params: Put) -> Result<Stored, ApiError> {
    let key = params.api_key.into_secret();
    app.redactor.hide(&key);
    let provider = app.provider(&params.provider_id)?;
    let key = ephemeral::usable(provider, &key)?;
    let slot = Slot {
        agent: one_agent(&params.agent_id)?.to_string(),
        provider: provider.id.clone(),
        user: params.user_id.as_deref().map(user_id).transpose()?.map(|user| user.to_string()),
    };
    app.ephemeral.lend(slot, key)
}

/// `ephemeral.clear`.
pub(crate) async fn clear(app: App, _: Call, params: Clear) -> Result<Cleared, ApiError> {
    let agent = one_agent(&params.agent_id)?;
    let provider = params.provider_id.as_deref().map(|id| app.provider(id)).transpose()?;
    let cleared = app.ephemeral.clear(agent.as_str(), provider.map(|provider| provider.id.as_str()));
    tracing::info!(%agent, cleared, "lent credentials were removed");
    Ok(Cleared { cleared })
}
