//! Profiles: credentials that one user brought for one agent.

use secrecy::{ExposeSecret as _, SecretString};

use crate::id::{AgentId, ProfileId, UserId};
use crate::{
    AccountId, AccountKind, CorruptRow, Evidence, Identity, Jitter, Life, ProviderId, SecretError, Status,
    StoredTokens,
};

/// A credential that one user brought for one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The profile's id; it stays when its credential is replaced.
    pub id: ProfileId,
    /// Whose it is.
    pub user: UserId,
    /// The agent that it is for.
    pub agent: AgentId,
    /// The provider that accepts it.
    pub provider: ProviderId,
    /// The only model that it is for; `None` for all.
    pub model: Option<String>,
    /// The account that holds the credential. Profiles of one user may share one.
    pub account: AccountId,
    /// Whether the account is a login or an API key.
    pub kind: AccountKind,
    /// Whether it is the first of its user, agent and provider.
    pub primary: bool,
    /// A name to show.
    pub label: Option<String>,
    /// Whom the account belongs to, as far as that is known.
    pub identity: Identity,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The last four characters of an API key that is long enough to show them.
    pub masked_tail: Option<String>,
    /// What is known about the credential.
    pub status: Status,
    /// Why, in words for people.
    pub status_reason: Option<String>,
    /// When the credential runs out, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// When the profile was made, in unix milliseconds.
    pub created_at: i64,
    /// When its credential was last replaced, or it was last moved or renamed, in unix milliseconds.
    pub updated_at: i64,
}

/// What a profile is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileScope {
    /// Whose it is.
    pub user: UserId,
    /// The agent that it is for.
    pub agent: AgentId,
    /// The only model that it is for; `None` for all. 1 to 100 characters.
    pub model: Option<String>,
}

/// An API key that one user brings for one agent. It replaces the one of the same scope and address.
#[derive(Debug, Clone)]
pub struct SaveProfileKey {
    /// What it is for.
    pub scope: ProfileScope,
    /// The provider.
    pub provider: ProviderId,
    /// The key.
    pub key: SecretString,
    /// A name to show.
    pub label: Option<String>,
    /// The address of the person it belongs to.
    pub email: Option<String>,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// What is known about the key.
    pub status: Status,
    /// Why, in words for people.
    pub status_reason: Option<String>,
    /// What the status rests on.
    pub evidence: Evidence,
    /// Whether it goes to the front of its user, agent and provider, instead of to the end. A profile that is there
    /// already and shall not go to the front stays where it is.
    pub make_primary: bool,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// Whose login it is, and what it is for.
#[derive(Debug, Clone)]
pub struct CommitProfile {
    /// What it is for.
    pub scope: ProfileScope,
    /// Whom it belongs to. Not every provider says; two logins of one scope that name nobody replace each other.
    pub identity: Identity,
    /// A name to show.
    pub label: Option<String>,
    /// As in [`SaveProfileKey::make_primary`].
    pub make_primary: bool,
    /// A share of the time until the first refresh.
    pub jitter: Jitter,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// Which profiles a list shall hold; an empty filter means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileFilter {
    /// Only profiles of this user.
    pub user: Option<UserId>,
    /// Only profiles for this agent.
    pub agent: Option<AgentId>,
}

/// A list of profiles, and the rows that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileList {
    /// The profiles, in order of user, agent, provider and position.
    pub profiles: Vec<Profile>,
    /// The rows that were skipped. They stay in the database as they are.
    pub corrupt: Vec<CorruptRow>,
}

/// A profile together with its secret, for a resolution.
#[derive(Debug)]
pub struct Candidate {
    /// The profile.
    pub profile: Profile,
    /// Its secret.
    pub credential: Credential,
}

/// The secret of a candidate, or why there is none. A secret that does not open must not hide the other candidates.
#[derive(Debug)]
pub enum Credential {
    /// An API key.
    Key(SecretString),
    /// Tokens.
    Tokens(Box<StoredTokens>),
    /// A secret that is missing or does not open.
    Broken(SecretError),
    /// A secret that the store does not hold: a directory, a variable or a command.
    Elsewhere,
    /// A row that cannot be read.
    Corrupt(String),
}

impl Candidate {
    /// What the credential is good for at `now`, for somebody who needs it `min_ttl` milliseconds long.
    pub fn life(&self, now: i64, min_ttl: i64) -> Life {
        match &self.credential {
            Credential::Tokens(tokens) => tokens.life(now, min_ttl),
            Credential::Broken(_) | Credential::Corrupt(_) => Life::Broken,
            Credential::Key(_) | Credential::Elsewhere => {
                match (self.profile.status, self.profile.expires_at) {
                    (Status::Invalid | Status::NeedsReauth, _) => Life::Dead,
                    (_, Some(end)) if end <= now.saturating_add(min_ttl.max(0)) => Life::Dead,
                    _ => Life::Live,
                }
            }
        }
    }

    /// The secret to use at the provider's service.
    pub fn secret(&self) -> Option<&str> {
        match &self.credential {
            Credential::Key(key) => Some(key.expose_secret()),
            Credential::Tokens(tokens) => Some(tokens.tokens.used().secret.expose_secret()),
            Credential::Broken(_) | Credential::Elsewhere | Credential::Corrupt(_) => None,
        }
    }
}

/// What a deletion took with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedProfiles {
    /// How many profiles went.
    pub profiles: u64,
    /// The accounts that went because no other profile had them.
    pub accounts: Vec<AccountId>,
    /// How many sealed secrets went with those accounts.
    pub secrets: u64,
}
