//! `declared.*`.

use rpc_engine::{Call, RpcError};

use crate::agents::declared::InForce;
use crate::rpc::app::App;
use crate::wire::declared::{DeclaredAgent, DeclaredAgents, DeclaredError, List, Reload};
use crate::wire::error::ApiError;

/// `declared.list`.
pub async fn list(app: App, _: Call, _: List) -> Result<DeclaredAgents, ApiError> {
    Ok(shown(&app.declared.now()))
}

/// `declared.reload`.
pub async fn reload(app: App, _: Call, _: Reload) -> Result<DeclaredAgents, RpcError> {
    Ok(shown(&app.declared.reload().await.map_err(|_| RpcError::shutting_down())?))
}

fn shown(current: &InForce) -> DeclaredAgents {
    let agents = current.agents.iter().map(|(id, agent)| DeclaredAgent {
        agent_id: id.to_owned(),
        source: agent.source.display().to_string(),
        providers: agent.credentials.keys().cloned().collect(),
    });
    let errors = current.faults.iter().map(|fault| DeclaredError {
        file: fault.file.display().to_string(),
        line: fault.line,
        message: fault.reason.clone(),
    });
    DeclaredAgents { agents: agents.collect(), errors: errors.collect() }
}
