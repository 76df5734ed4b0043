//! The bundle or the agent of a launch.

use identity_store::{AgentId, BundleId, LoginOwner, Store, UserId};

use crate::wire::error::ApiError;
use crate::wire::ids;

/// The owner of the credentials of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A bundle. An instance stands for its bundle, or for the blank one, which has no identity.
    Bundle(BundleId),
    /// An agent.
    Agent(Agent),
}

/// An agent, and the user who runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agent {
    /// The user, if one was named.
    pub(super) user: Option<UserId>,
    /// The agent.
    pub(super) agent: AgentId,
}

/// The fields of a request that name a subject. An empty text counts as absent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Named<'a> {
    pub(super) bundle: Option<&'a str>,
    pub(super) instance: Option<&'a str>,
    pub(super) agent: Option<&'a str>,
    pub(super) user: Option<&'a str>,
}

impl Agent {
    /// Returns the agent that a request names, and the user if it names one.
    ///
    /// # Errors
    /// `invalid_input` for an id that no agent or user can have.
    pub(super) fn of(user: Option<&str>, agent: &str) -> Result<Self, ApiError> {
        let user = user.filter(|user| !user.is_empty()).map(ids::user_id).transpose()?;
        Ok(Self { user, agent: ids::one_agent(agent)? })
    }
}

impl Agent {
    /// Returns the user and the agent, if a user was named.
    pub(super) fn owner(&self) -> Option<LoginOwner> {
        Some(LoginOwner { user: self.user.clone()?, agent: self.agent.clone() })
    }
}

impl Subject {
    /// Returns the subject that a request names.
    ///
    /// # Errors
    /// `invalid_input` unless exactly one of bundle, instance and agent is named, and for an id that is not well formed;
    /// `not_found` for an unknown instance.
    pub(super) async fn of(store: &Store, named: Named<'_>) -> Result<Self, ApiError> {
        let given = |id: Option<&'_ str>| id.is_some_and(|id| !id.is_empty());
        let one_of =
            |field| ApiError::invalid_input(field, "name a bundle, an instance or an agent to launch");
        if let Some(agent) = named.agent {
            if given(named.bundle) || given(named.instance) {
                return Err(one_of("agentId"));
            }
            return Ok(Self::Agent(Agent::of(named.user, agent)?));
        }
        match (named.bundle.filter(|id| !id.is_empty()), named.instance) {
            (Some(id), None) => Ok(Self::Bundle(ids::bundle_id(id)?)),
            (None, Some(id)) => {
                let instance = Box::pin(store.instance(&ids::instance_id(id)?)).await?;
                Ok(Self::Bundle(instance.bundle.unwrap_or_else(BundleId::blank)))
            }
            _ => Err(one_of("bundleId")),
        }
    }

    /// Returns the subject for the audit log. Only texts that are valid ids are logged.
    pub(super) fn noted(named: Named<'_>) -> String {
        let bundle = || Some(named.bundle?.parse::<BundleId>().ok()?.to_string());
        let instance = || Some(format!("instance {}", ids::instance_id(named.instance?).ok()?));
        let agent = || Some(format!("agent {}", named.agent?.parse::<AgentId>().ok()?));
        agent().or_else(bundle).or_else(instance).unwrap_or_default()
    }

    pub(super) fn is_agent(&self) -> bool {
        matches!(self, Self::Agent(_))
    }

    /// Returns whether a launch without any credential succeeds, as for the blank bundle.
    pub(super) fn may_be_empty(&self) -> bool {
        matches!(self, Self::Bundle(bundle) if *bundle == BundleId::blank())
    }
}
