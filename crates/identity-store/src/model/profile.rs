//! Profiles: credentials that one user provided for one agent.

use secrecy::{ExposeSecret as _, SecretString};

use crate::id::{AccountId, AgentId, ProfileId, ProviderId, SessionId, UserId};
use crate::model::account::{AccountKind, CorruptRow, Evidence, Leftover, Status, status_at};
use crate::model::token::{Identity, Jitter, Life, StoredTokens};
use crate::secret::SecretError;

/// A credential that one user provided for one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The profile's id. It stays when the credential is replaced.
    pub id: ProfileId,
    /// The user who owns the profile.
    pub user: UserId,
    /// The agent that the profile is for.
    pub agent: AgentId,
    /// The provider that accepts the credential.
    pub provider: ProviderId,
    /// The only model that the profile is for; `None` for all models.
    pub model: Option<String>,
    /// The account that holds the credential. Profiles of one user may share one.
    pub account: AccountId,
    /// The kind of the account: a login or an API key.
    pub kind: AccountKind,
    /// True if the profile is the first of its user, agent and provider.
    pub primary: bool,
    /// A name to show.
    pub label: Option<String>,
    /// The identity of the account's owner, as far as it is known.
    pub identity: Identity,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The last four characters of an API key that is long enough to show them.
    pub masked_tail: Option<String>,
    /// The known status of the credential.
    pub status: Status,
    /// The reason for the status, as text for people.
    pub status_reason: Option<String>,
    /// Time when the credential expires, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// Time from which only a new login by a person helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
    /// Time when the profile was created, in unix milliseconds.
    pub created_at: i64,
    /// Time when the credential was last replaced, or the profile was last moved or renamed, in unix milliseconds.
    pub updated_at: i64,
}

impl Profile {
    /// Returns the status at `now`: a credential whose time is over is not valid, even if no check has stored that yet.
    #[must_use]
    pub fn status_at(&self, now: i64) -> Status {
        status_at(self.status, self.expires_at, self.login_deadline_at, now)
    }
}

/// The scope of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileScope {
    /// The user who owns the profile.
    pub user: UserId,
    /// The agent that the profile is for.
    pub agent: AgentId,
    /// The only model that the profile is for; `None` for all models. 1 to 100 characters.
    pub model: Option<String>,
}

/// An API key that one user provides for one agent. It replaces the key of the same scope and address.
#[derive(Debug, Clone)]
pub struct SaveProfileKey {
    /// The scope of the profile.
    pub scope: ProfileScope,
    /// The provider that accepts the key.
    pub provider: ProviderId,
    /// The key itself.
    pub key: SecretString,
    /// A name to show.
    pub label: Option<String>,
    /// The e-mail address of the key's owner.
    pub email: Option<String>,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The known status of the key.
    pub status: Status,
    /// The reason for the status, as text for people.
    pub status_reason: Option<String>,
    /// The source of the status.
    pub evidence: Evidence,
    /// True to put the profile first among those of its user, agent and provider, instead of last. If false, an
    /// existing profile keeps its position.
    pub make_primary: bool,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// The owner and the scope of a login to commit.
#[derive(Debug, Clone)]
pub struct CommitProfile {
    /// The scope of the profile.
    pub scope: ProfileScope,
    /// The identity of the login's owner. Not every provider reports it. Two logins of one scope without an identity
    /// replace each other.
    pub identity: Identity,
    /// A name to show.
    pub label: Option<String>,
    /// The position of the profile, as in [`SaveProfileKey::make_primary`].
    pub make_primary: bool,
    /// The login session that obtained the tokens. It becomes `success` in the same transaction.
    pub session: Option<SessionId>,
    /// The random share of the time until the first refresh.
    pub jitter: Jitter,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// A filter for a list of profiles. An empty filter matches all.
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
    /// The rows that were skipped. They stay unchanged in the database.
    pub corrupt: Vec<CorruptRow>,
}

/// A profile together with its secret, for a resolution.
#[derive(Debug)]
pub struct ProfileCredential {
    /// The profile without its secret.
    pub profile: Profile,
    /// The secret of the profile.
    pub credential: Credential,
}

/// The secret of a candidate, or the reason why there is none. A secret that cannot be opened must not hide the other
/// candidates.
#[derive(Debug)]
pub enum Credential {
    /// An API key.
    Key(SecretString),
    /// A set of tokens.
    Tokens(Box<StoredTokens>),
    /// A secret that is missing or cannot be opened.
    Broken(SecretError),
    /// A secret that the store does not hold, but a directory, a variable or a command.
    Elsewhere,
    /// A row that cannot be read.
    Corrupt(String),
}

impl ProfileCredential {
    /// Returns the state of the credential at `now`, for a caller who needs it for `min_ttl` milliseconds.
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

    /// Returns the secret to use at the provider's service.
    pub fn secret(&self) -> Option<&str> {
        match &self.credential {
            Credential::Key(key) => Some(key.expose_secret()),
            Credential::Tokens(tokens) => Some(tokens.tokens.used().secret.expose_secret()),
            Credential::Broken(_) | Credential::Elsewhere | Credential::Corrupt(_) => None,
        }
    }
}

/// The order of the profiles of one user, agent and provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileOrder<'a> {
    /// The user who owns the profiles.
    pub user: &'a UserId,
    /// The agent that the profiles are for.
    pub agent: &'a AgentId,
    /// The provider that accepts their credentials.
    pub provider: &'a ProviderId,
    /// Each of the profiles once. The first becomes the primary.
    pub profiles: &'a [ProfileId],
}

/// The result of deleting profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedProfiles {
    /// The number of deleted profiles.
    pub profiles: u64,
    /// The accounts that were deleted because no other profile used them.
    pub accounts: Vec<AccountId>,
    /// The number of sealed secrets that were deleted with those accounts.
    pub secrets: u64,
    /// The directories of deleted logins. They are recorded until [`crate::Store::forget_leftover`].
    pub leftovers: Vec<Leftover>,
}
