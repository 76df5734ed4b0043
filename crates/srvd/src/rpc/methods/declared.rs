//! `declared.*`.

use rpc_engine::{Call, RpcError};

use crate::rpc::app::App;
use crate::wire::declared::{DeclaredAgents, List, Reload};
use crate::wire::error::ApiError;

/// `declared.list`.
pub(crate) async fn list(app: App, _: Call, _: List) -> Result<DeclaredAgents, ApiError> {
    Ok(app.declared.now().listed())
}

/// `declared.reload`.
pub(crate) async fn reload(app: App, _: Call, _: Reload) -> Result<DeclaredAgents, RpcError> {
    Ok(app.declared.reload().await.map_err(|_| RpcError::shutting_down())?.listed())
}
