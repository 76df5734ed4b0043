//! The ids in requests.

use identity_store::{AgentId, BundleId, InstanceId, UserId};

use super::error::ApiError;

/// Returns the bundle id in a request's field.
///
/// # Errors
/// `invalid_input`, with the field.
pub(crate) fn bundle(field: &str, id: &str) -> Result<BundleId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id(field, &error))
}

/// Returns the instance id in a request.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn instance(id: &str) -> Result<InstanceId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id("instanceId", &error))
}

/// Returns the user id in a request.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn user(id: &str) -> Result<UserId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id("userId", &error))
}

/// Returns the agent id in a request, or `*` for every agent.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn agent(id: &str) -> Result<AgentId, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id("agentId", &error))
}

/// Returns the id of the one agent in a request; `*` is not allowed.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn one_agent(id: &str) -> Result<AgentId, ApiError> {
    let agent = agent(id)?;
    if agent.is_any() {
        return Err(ApiError::invalid_input("agentId", "* stands for every agent; name one"));
    }
    Ok(agent)
}
