//! The scope of a login: the bundle, or the user and the agent, as the text that the spawner keeps for it. Only one login
//! of a provider runs in a scope.

use identity_store::{AgentId, BundleId, LoginOwner, UserId};

/// Separates the user from the agent. An id contains no control character.
const BETWEEN: char = '\n';

/// Returns the scope of a bundle.
pub(crate) fn of_bundle(bundle: &BundleId) -> String {
    bundle.to_string()
}

/// Returns the scope of a user and an agent.
pub(crate) fn of_owner(owner: &LoginOwner) -> String {
    format!("{}{BETWEEN}{}", owner.user, owner.agent)
}

/// Returns the user and the agent of a scope; `None` for a bundle's.
pub(crate) fn owner(scope: &str) -> Option<LoginOwner> {
    let (user, agent) = scope.split_once(BETWEEN)?;
    Some(LoginOwner { user: user.parse().ok()?, agent: agent.parse().ok()? })
}

/// A filter for the logins of users. An empty filter matches all of them, and no login of a bundle.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnerFilter {
    pub user: Option<UserId>,
    pub agent: Option<AgentId>,
    /// The id of the provider.
    pub provider: Option<String>,
}

impl OwnerFilter {
    /// Returns whether a login of this provider in this scope is meant.
    pub(crate) fn matches(&self, scope: &str, provider: &str) -> bool {
        owner(scope).is_some_and(|owner| {
            self.user.as_ref().is_none_or(|user| *user == owner.user)
                && self.agent.as_ref().is_none_or(|agent| *agent == owner.agent)
                && self.provider.as_ref().is_none_or(|wanted| wanted == provider)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_names_its_owner_for_any_id() {
        for (user, agent) in [("u1", "a"), ("slack:U1", "*"), ("a/b", "c d"), ("=", "ü")] {
            let one = LoginOwner { user: user.parse().unwrap(), agent: agent.parse().unwrap() };
            assert_eq!(owner(&of_owner(&one)), Some(one));
        }
        assert_eq!(owner(&of_bundle(&"work".parse().unwrap())), None);
    }

    #[test]
    fn filter_matches_the_logins_of_its_user_agent_and_provider() {
        let scope = of_owner(&LoginOwner { user: "u1".parse().unwrap(), agent: "a".parse().unwrap() });
        let filter = |user: Option<&str>, agent: Option<&str>, provider: Option<&str>| OwnerFilter {
            user: user.map(|user| user.parse().unwrap()),
            agent: agent.map(|agent| agent.parse().unwrap()),
            provider: provider.map(str::to_owned),
        };
        for (filter, expect) in [
            (filter(None, None, None), true),
            (filter(Some("u1"), None, None), true),
            (filter(Some("u1"), Some("a"), Some("codex")), true),
            (filter(Some("u"), None, None), false),
            (filter(None, Some("*"), None), false),
            (filter(None, Some("a"), Some("claude")), false),
        ] {
            assert_eq!(filter.matches(&scope, "codex"), expect, "{filter:?}");
        }
        assert!(!OwnerFilter::default().matches("work", "codex"));
    }
}
