//! The ids in requests: parsing, and errors for malformed and unknown ids.

use std::str::FromStr;
use std::sync::Arc;

use auth_spawner::{Provider, Registry};
use identity_store::{AccountId, AgentId, BundleId, InstanceId, InvalidId, LoginOwner, UserId};

use crate::wire::error::{ApiError, Kind};

/// Returns the id in this field of a request.
///
/// # Errors
/// `invalid_input`, naming the field.
pub(crate) fn parse<T: FromStr<Err = InvalidId>>(field: &str, id: &str) -> Result<T, ApiError> {
    id.parse().map_err(|error| ApiError::bad_id(field, &error))
}

/// Returns the account id in a request.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn account_id(id: &str) -> Result<AccountId, ApiError> {
    parse("accountId", id)
}

/// Returns the bundle id in a request.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn bundle_id(id: &str) -> Result<BundleId, ApiError> {
    parse("bundleId", id)
}

/// Returns the instance id in a request.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn instance_id(id: &str) -> Result<InstanceId, ApiError> {
    parse("instanceId", id)
}

/// Returns the user id in a request.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn user_id(id: &str) -> Result<UserId, ApiError> {
    parse("userId", id)
}

/// Returns the agent id in a request, or `*` for every agent.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn agent_id(id: &str) -> Result<AgentId, ApiError> {
    parse("agentId", id)
}

/// Returns the user and the agent that a login or a key is for. Without an agent, it is for all agents of the user. Returns
/// `None` if no user is named; an empty text names nobody.
///
/// # Errors
/// `invalid_input` for an id, and for an agent without a user.
pub(crate) fn login_owner(user: Option<&str>, agent: Option<&str>) -> Result<Option<LoginOwner>, ApiError> {
    let given = |id: Option<&'_ str>| id.is_some_and(|id| !id.is_empty());
    let Some(user) = user.filter(|user| !user.is_empty()) else {
        if given(agent) {
            return Err(ApiError::invalid_input(
                "agentId",
                "an agent's own login belongs to a user; name the user too",
            ));
        }
        return Ok(None);
    };
    let agent = match agent.filter(|agent| !agent.is_empty()) {
        Some(agent) => agent_id(agent)?,
        None => AgentId::any(),
    };
    Ok(Some(LoginOwner { user: user_id(user)?, agent }))
}

/// Returns the id of a single agent in a request; `*` is not allowed.
///
/// # Errors
/// `invalid_input`.
pub(crate) fn one_agent(id: &str) -> Result<AgentId, ApiError> {
    let agent = agent_id(id)?;
    if agent.is_any() {
        return Err(ApiError::invalid_input("agentId", "* means every agent; specify a single agent"));
    }
    Ok(agent)
}

/// Returns the provider with this id or alias.
///
/// # Errors
/// `unknown_provider` with the known ids.
pub(crate) fn provider<'a>(registry: &'a Registry, id: &str) -> Result<&'a Arc<Provider>, ApiError> {
    registry.provider(id).ok_or_else(|| {
        ApiError::new(Kind::UnknownProvider, "no such provider in the registry").with("known", registry.ids())
    })
}
