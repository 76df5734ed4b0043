//! Credentials lent to the daemon by clients. They are held in memory until they are cleared, dropped by a reload, or
//! the daemon exits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auth_spawner::Provider;
use secrecy::SecretString;

use crate::hint::Step;
use crate::keys::api_key;
use crate::wire::ephemeral::Stored;
use crate::wire::error::{ApiError, Kind};

/// The maximum number of stored credentials.
const MOST: usize = 10_000;

/// The lent credentials. Cheap to clone; clones share the same credentials.
#[derive(Clone, Default)]
pub(crate) struct Ephemeral(Arc<Mutex<BTreeMap<Slot, SecretString>>>);

/// The agent, provider and user for which a credential is intended. Ordered by agent first, so that an agent's
/// credentials are adjacent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    /// The agent's id.
    pub agent: String,
    /// The canonical provider id.
    pub provider: String,
    /// The user; `None` matches every user, as well as requests without a user.
    pub user: Option<String>,
}

/// The error returned when there is no room for another credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyCredentials;

/// A credential usable for an agent and a user.
pub(crate) struct Lent {
    /// The canonical provider id.
    pub provider: String,
    /// True if it is only for this user. It then takes precedence over one for every user.
    pub own: bool,
    /// The secret.
    pub secret: SecretString,
}

impl Ephemeral {
    /// Stores a credential lent by a client.
    ///
    /// # Errors
    /// `conflict` if there is no room for another credential.
    pub(crate) fn lend(&self, slot: Slot, secret: SecretString) -> Result<Stored, ApiError> {
        tracing::info!(agent = slot.agent, provider = slot.provider, "a credential was lent");
        let replaced = self.put(slot, secret).map_err(|TooManyCredentials| {
            ApiError::new(Kind::Conflict, "too many credentials have been lent")
                .with("what", "ephemeral credentials")
                .hint(Step::UseEphemeralClear)
        })?;
        Ok(Stored { stored: true, replaced })
    }

    /// Stores a credential, replacing the one in the same slot. Returns whether there was one.
    ///
    /// # Errors
    /// [`TooManyCredentials`], in which case the credential is not stored.
    pub(crate) fn put(&self, slot: Slot, secret: SecretString) -> Result<bool, TooManyCredentials> {
        let mut held = self.held();
        if held.len() >= MOST && !held.contains_key(&slot) {
            return Err(TooManyCredentials);
        }
        Ok(held.insert(slot, secret).is_some())
    }

    /// Drops an agent's credentials, for one provider or all. Returns the number of dropped credentials.
    pub(crate) fn clear(&self, agent: &str, provider: Option<&str>) -> usize {
        self.forget(|slot| slot.agent == agent && provider.is_none_or(|provider| slot.provider == provider))
    }

    /// Drops the credentials lent only for one user, for every agent. Returns the number of dropped credentials.
    pub(crate) fn clear_user(&self, user: &str) -> usize {
        self.forget(|slot| slot.user.as_deref() == Some(user))
    }

    /// Returns the credentials lent to an agent for this user or for every user, sorted by provider.
    pub(crate) fn of(&self, agent: &str, user: Option<&str>) -> Vec<Lent> {
        let first = Slot { agent: agent.to_owned(), provider: String::new(), user: None };
        self.held()
            .range(first..)
            .take_while(|(slot, _)| slot.agent == agent)
            .filter(|(slot, _)| slot.user.is_none() || slot.user.as_deref() == user)
            .map(|(slot, secret)| Lent {
                provider: slot.provider.clone(),
                own: slot.user.is_some(),
                secret: secret.clone(),
            })
            .collect()
    }

    fn forget(&self, gone: impl Fn(&Slot) -> bool) -> usize {
        let mut held = self.held();
        let before = held.len();
        held.retain(|slot, _| !gone(slot));
        before - held.len()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Slot, SecretString>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the key in the form that the provider accepts.
///
/// # Errors
/// `invalid_input` for a provider that does not accept keys, and for an unusable key.
pub(crate) fn usable(provider: &Provider, key: &SecretString) -> Result<SecretString, ApiError> {
    let service = provider
        .key
        .as_ref()
        .ok_or_else(|| ApiError::invalid_input("providerId", "this provider does not accept API keys"))?;
    api_key::usable(key, service).map_err(|reason| ApiError::invalid_input("apiKey", reason))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn slot(agent: &str, provider: &str, user: Option<&str>) -> Slot {
        Slot { agent: agent.to_owned(), provider: provider.to_owned(), user: user.map(str::to_owned) }
    }

    fn lent(held: &Ephemeral, agent: &str, user: Option<&str>) -> Vec<(String, bool, String)> {
        let plain = |one: Lent| (one.provider, one.own, one.secret.expose_secret().to_owned());
        held.of(agent, user).into_iter().map(plain).collect()
    }

    #[test]
    fn ephemeral_key_is_visible_only_to_its_agent_and_user() {
        let held = Ephemeral::default();
        for (agent, provider, user, secret) in [
            ("a", "openai", None, "any"),
            ("a", "openai", Some("u1"), "u1"),
            ("a", "anthropic", Some("u2"), "u2"),
            ("ab", "openai", None, "other"),
            ("a/", "openai", None, "slash"),
        ] {
            assert_eq!(held.put(slot(agent, provider, user), SecretString::from(secret)), Ok(false));
        }
        let one = |provider: &str, own, secret: &str| (provider.to_owned(), own, secret.to_owned());
        assert_eq!(lent(&held, "a", None), [one("openai", false, "any")]);
        assert_eq!(lent(&held, "a", Some("u1")), [one("openai", false, "any"), one("openai", true, "u1")]);
        assert_eq!(lent(&held, "a", Some("u2")), [one("anthropic", true, "u2"), one("openai", false, "any")]);
        assert_eq!(held.put(slot("a", "openai", None), SecretString::from("newer")), Ok(true));
        assert_eq!(lent(&held, "a", None), [one("openai", false, "newer")]);

        assert_eq!(held.clear("a", Some("anthropic")), 1);
        assert_eq!(held.clear_user("u1"), 1);
        assert_eq!(held.clear("a", None), 1);
        assert_eq!(held.clear("a", None), 0);
        assert_eq!(lent(&held, "ab", None), [one("openai", false, "other")]);
    }

    #[test]
    fn full_ephemeral_store_rejects_new_keys() {
        let held = Ephemeral::default();
        for number in 0..MOST {
            assert_eq!(
                held.put(slot(&number.to_string(), "openai", None), SecretString::from("x")),
                Ok(false)
            );
        }
        assert_eq!(held.put(slot("a", "openai", None), SecretString::from("x")), Err(TooManyCredentials));
        assert_eq!(held.put(slot("0", "openai", None), SecretString::from("y")), Ok(true));
    }
}
