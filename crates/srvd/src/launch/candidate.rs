//! The credentials among which a launch chooses.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use auth_spawner::{Provider, Reach};
use secrecy::SecretString;

use crate::agents::model::Model;
use crate::hint::Hint;
use crate::keys::external::Unavailable;
use crate::refresh::Grant;
use crate::wire::{Source, Status, unfit};

/// A credential that an agent may run with.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The account's id for a bundle, else the profile's id, `declared:{agent}:{provider}` or
    /// `ephemeral:{agent}:{provider}`.
    pub id: String,
    /// The account that holds the credential; `None` for a declared or ephemeral one.
    pub account: Option<String>,
    /// The source of the credential.
    pub source: Source,
    /// The provider, adapted to the host of the account.
    pub provider: Arc<Provider>,
    /// True for a login, false for an API key. A login that cannot be used fails the launch.
    pub login: bool,
    /// The models that the credential is for.
    pub model: Model,
    /// True if it is not known whether the login is that of the account's person.
    pub unproven: bool,
    /// The position among the provider's credentials of the same source. The lowest is the primary.
    pub position: i64,
    /// The result of looking for the credential.
    pub state: State,
    /// Time when the credential expires, in unix milliseconds; `None` if it never expires.
    pub expires_at: Option<i64>,
    /// The possibility of renewing the credential without a person.
    pub renewal: Renewability,
    /// The status that the credential has as long as it does not expire.
    pub status: Status,
    /// The address of the service for an API key, if it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The CLI's directory.
    pub home: Option<Home>,
    /// The generation of the account's tokens; `None` for a credential that is no token.
    pub generation: Option<u64>,
    /// The owner of the agent, if the credential is the owner's; `None` if it is the subject's own.
    pub owner: Option<String>,
    /// The grant to refresh when the credential has expired.
    pub grant: Option<Grant>,
    /// The credential.
    pub credential: Credential,
    /// The reason why the provider's programs cannot be given this credential, if they cannot.
    pub not_taken: Option<&'static str>,
    /// The person of the account, if known.
    pub person: Option<String>,
    /// An action for the person when the credential cannot be used, such as a command to run.
    pub next_step: Option<Hint>,
}

/// The directory of a CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// The path of the directory.
    pub dir: PathBuf,
    /// The way in which the CLI finds the directory.
    pub reach: Reach,
}

/// A credential, or the way to get it.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The files in the CLI's directory.
    Directory,
    /// The text of the file in the CLI's directory that the CLI takes in a variable.
    LoginFile(SecretString),
    /// An API key.
    Key(SecretString),
    /// A login that the CLI takes in a variable, beside its directory.
    LoginToken(SecretString),
    /// The access token of a login that the daemon refreshes.
    AccessToken(SecretString),
    /// A command that prints an API key. It is run only when it is chosen, because it may ask a person first.
    Command(KeyCommand),
    /// There is no credential.
    Absent,
}

/// A command that prints an API key.
#[derive(Clone)]
pub(crate) enum KeyCommand {
    /// A command of `srvd.toml`, by the reference in the account's row.
    Configured(identity_store::SecretRef),
    /// A command of a declared agent: the absolute path of a program, and its arguments.
    Declared(Vec<String>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "Directory",
            Self::LoginFile(_) => "LoginFile([REDACTED])",
            Self::Key(_) => "Key([REDACTED])",
            Self::LoginToken(_) => "LoginToken([REDACTED])",
            Self::AccessToken(_) => "AccessToken([REDACTED])",
            // The arguments may include a secret.
            Self::Command(_) => "Command([REDACTED])",
            Self::Absent => "Absent",
        })
    }
}

/// The result of looking for a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// The credential was found.
    Found,
    /// The credential was found, but its provider has refused it.
    Refused,
    /// The login is missing or incomplete, and a person has to log in again. The reason is for people.
    NeedsReauth(String),
    /// The credential cannot be read. The reason contains no part of it.
    Unavailable(Unavailable),
    /// The directory does not belong to the daemon and was not adopted.
    Ambient,
    /// The CLI would use another credential than the account's.
    Unfit(Unfit),
}

/// The reason why the CLI would use another credential than the account's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The directory holds a login of another person.
    Another,
    /// A setting takes the place of the login. The text names the file and the key.
    Shadowed(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Another => unfit::ANOTHER_PERSON,
            Self::Shadowed(reason) => reason,
        })
    }
}

/// The possibility of renewing a credential without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Renewability {
    /// There is no refresh token.
    None,
    /// A refresh may be tried.
    Possible,
    /// The last attempts failed. The next one is due later.
    Waiting {
        /// Time of the next attempt, in unix milliseconds.
        until: i64,
    },
    /// A refresh was tried for this decision and is not repeated.
    Tried {
        /// The reason of the failure, if it failed.
        failed: Option<String>,
        /// Time of the next possible attempt, in unix milliseconds.
        retry_at: Option<i64>,
    },
    /// Only a person can renew the credential, by a new login. The reason is for people.
    Person(String),
}

impl Candidate {
    /// Returns the name of the candidate in a launch: its account, or its own id if it has no account.
    pub(super) fn account_id(&self) -> String {
        self.account.clone().unwrap_or_else(|| self.id.clone())
    }
}
