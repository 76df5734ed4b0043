//! Credentials that files give to agents: `agents.toml` and `declared.d/*.toml`.
//!
//! They live in memory only and are never written to the database, so what is no longer declared is gone with the next
//! reload and leaves nothing behind. A set of files with a fault changes nothing: the last good one stays in force.

mod keeper;
mod load;
mod parse;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use identity_store::UserId;
use secrecy::{ExposeSecret as _, SecretString};

pub use keeper::{Declared, InForce, Keeper, Surroundings};
pub use load::load;

use crate::error::{ApiError, Kind};

/// What the id of every declared credential begins with.
const PREFIX: &str = "declared:";

/// All declared agents, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agents(BTreeMap<String, Agent>);

/// A declared agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The file that declares it.
    pub source: PathBuf,
    /// Its credentials, by canonical provider id.
    pub credentials: BTreeMap<String, Credential>,
    /// The user whose agent it is.
    pub owner: Option<UserId>,
    /// Whether whoever runs it may use what its owner has brought for it.
    pub run_as_owner: bool,
}

impl Agent {
    /// The user whose credentials everybody who runs it may use, after their own. Nobody's, unless the file says so.
    pub fn lender(&self) -> Option<&UserId> {
        self.owner.as_ref().filter(|_| self.run_as_owner)
    }
}

/// Where a declared credential's key is.
#[derive(Clone)]
pub enum Credential {
    /// In the file.
    Key(SecretString),
    /// In a variable of the daemon's own environment.
    Env {
        /// Its name.
        var: String,
        /// Its value, when it is set.
        value: Option<SecretString>,
        /// What says when it ends, where the file asks for that.
        ends: Option<EndVariable>,
    },
    /// What a program prints: an absolute path and its arguments.
    Command(Vec<String>),
}

/// A variable of the daemon's own environment that says when a key ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndVariable {
    /// Its name.
    pub var: String,
    /// Unix milliseconds; `None` when it is not set or no time.
    pub at: Option<i64>,
}

impl Credential {
    /// When it ends, in unix milliseconds; `None` when nothing is said about an end.
    ///
    /// # Errors
    /// The file says where its end stands, and there is none: nobody guesses one.
    pub fn ends(&self) -> Result<Option<i64>, String> {
        match self {
            Self::Env { ends: Some(EndVariable { at: None, var }), .. } => {
                Err(format!("the variable {var}, which says when it ends, is not set or holds no time"))
            }
            Self::Env { ends: Some(EndVariable { at, .. }), .. } => Ok(*at),
            Self::Key(_) | Self::Env { .. } | Self::Command(_) => Ok(None),
        }
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(left), Self::Key(right)) => left.expose_secret() == right.expose_secret(),
            (
                Self::Env { var: left, ends: left_ends, .. },
                Self::Env { var: right, ends: right_ends, .. },
            ) => left == right && left_ends == right_ends,
            (Self::Command(left), Self::Command(right)) => left == right,
            _ => false,
        }
    }
}

impl Eq for Credential {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_) => f.write_str("Key([REDACTED])"),
            Self::Env { var, .. } => f.debug_tuple("Env").field(var).finish(),
            // Somebody may have written a secret among the arguments.
            Self::Command(argv) => f.debug_tuple("Command").field(&argv.first()).finish(),
        }
    }
}

/// What is wrong with a file. No text quotes a value of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, or the folder that cannot be read.
    pub file: PathBuf,
    /// The line, from 1, where there is one to name.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.reason),
            None => write!(f, "{}: {}", self.file.display(), self.reason),
        }
    }
}

impl Agents {
    /// The agent, when it is declared.
    pub fn agent(&self, id: &str) -> Option<&Agent> {
        self.0.get(id)
    }

    /// All of them, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Agent)> {
        self.0.iter().map(|(id, agent)| (id.as_str(), agent))
    }

    /// The credentials that these have and `later` has not: each an agent and a provider, or an agent that is gone whole.
    pub fn missing_in<'a>(&'a self, later: &Agents) -> Vec<(&'a str, Option<&'a str>)> {
        let gone = |(id, agent): (&'a str, &'a Agent)| -> Vec<(&'a str, Option<&'a str>)> {
            let Some(kept) = later.agent(id) else { return vec![(id, None)] };
            let providers =
                agent.credentials.keys().filter(|provider| !kept.credentials.contains_key(*provider));
            providers.map(|provider| (id, Some(provider.as_str()))).collect()
        };
        self.iter().flat_map(gone).collect()
    }

    /// Refuses to change what a file declares: an agent as a whole.
    ///
    /// # Errors
    /// `declared_immutable`, naming the file and the agent.
    pub fn refuse_agent(&self, id: &str) -> Result<(), ApiError> {
        match self.agent(id) {
            Some(agent) => Err(immutable(id, Some(agent))),
            None => Ok(()),
        }
    }

    /// Refuses to change what a file declares: a credential, by the id that it is listed under. Other ids pass.
    ///
    /// # Errors
    /// `declared_immutable`, naming the file and the agent.
    pub fn refuse_credential(&self, id: &str) -> Result<(), ApiError> {
        // A provider's id has no colon, an agent's may have some.
        match id.strip_prefix(PREFIX).map(|rest| rest.rsplit_once(':').map_or(rest, |(agent, _)| agent)) {
            Some(agent) => Err(immutable(agent, self.agent(agent))),
            None => Ok(()),
        }
    }
}

fn immutable(id: &str, agent: Option<&Agent>) -> ApiError {
    let error = ApiError::new(Kind::DeclaredImmutable, format!("the agent {id} is declared in a file"));
    match agent.map(|agent| agent.source.display().to_string()) {
        Some(file) => error.hint(format!("edit {file}")).with("agentId", id).with("file", file),
        None => error.with("agentId", id),
    }
}

/// The id that a declared credential is listed under: `declared:{agent}:{provider}`.
pub fn credential_id(agent: &str, provider: &str) -> String {
    format!("{PREFIX}{agent}:{provider}")
}

#[cfg(test)]
mod tests;
