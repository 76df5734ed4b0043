//! Credentials declared for agents in files: `agents.toml` and `declared.d/*.toml`.
//!
//! Declared credentials exist only in memory and are never written to the database. A reload drops those that are no
//! longer declared. A set of files with an error changes nothing: the last valid set stays in effect. One task reads
//! the files and owns the set in effect. When a declaration disappears, credentials that clients lent for the same
//! agent and provider are dropped.

mod load;
mod parse;
mod read;
mod watcher;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use identity_store::UserId;
use secrecy::{ExposeSecret as _, SecretString};

#[cfg(test)]
use load::load;
pub(crate) use watcher::{Declared, DeclaredConfig, DeclaredWatcher};

use crate::hint::Step;
use crate::wire::error::{ApiError, Kind};

/// The prefix of the id of every declared credential.
const PREFIX: &str = "declared:";

/// All declared agents by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Agents(BTreeMap<String, Agent>);

/// A declared agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    /// The path of the file that declares it.
    pub source: PathBuf,
    /// Its credentials by canonical provider id.
    pub credentials: BTreeMap<String, Credential>,
    /// The user who owns the agent.
    pub owner: Option<UserId>,
    /// True if every user who runs the agent may use the credentials that the agent's owner stored for it.
    pub run_as_owner: bool,
}

impl Agent {
    /// Returns the user whose credentials every user of the agent may use, after their own. `None` unless the file
    /// allows this.
    pub(crate) fn lender(&self) -> Option<&UserId> {
        self.owner.as_ref().filter(|_| self.run_as_owner)
    }
}

/// The source of a declared credential's key.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The key itself, written in the file.
    Key(SecretString),
    /// A variable of the daemon's own environment.
    Env {
        /// The name of the variable.
        var: String,
        /// The value of the variable, if it is set.
        value: Option<SecretString>,
        /// The variable with the key's expiry time, if the file specifies one.
        ends: Option<EndVariable>,
    },
    /// The output of a program: its absolute path and arguments.
    Command(Vec<String>),
}

/// A variable of the daemon's own environment that contains the expiry time of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndVariable {
    /// The name of the variable.
    pub var: String,
    /// The time in Unix milliseconds; `None` if the variable is not set or contains no valid time.
    pub at: Option<i64>,
}

impl Credential {
    /// Returns the expiry time of the key, in Unix milliseconds; `None` if the file does not specify one.
    ///
    /// # Errors
    /// The file names a variable for the expiry time, but the variable is not set or contains no valid time. No expiry
    /// time is assumed.
    pub(crate) fn ends(&self) -> Result<Option<i64>, String> {
        match self {
            Self::Env { ends: Some(EndVariable { at: None, var }), .. } => Err(format!(
                "the variable {var}, which should contain the key's expiry time, is not set or contains no valid time"
            )),
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
            // The arguments may include a secret.
            Self::Command(argv) => f.debug_tuple("Command").field(&argv.first()).finish(),
        }
    }
}

/// An error in a file. The text never quotes a value from the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// The file, or the folder that cannot be read.
    pub file: PathBuf,
    /// The line number, starting at 1, if the error has one.
    pub line: Option<usize>,
    /// The description of the error.
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
    /// Returns the agent, if it is declared.
    pub(crate) fn agent(&self, id: &str) -> Option<&Agent> {
        self.0.get(id)
    }

    /// Iterates over all agents, sorted by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Agent)> {
        self.0.iter().map(|(id, agent)| (id.as_str(), agent))
    }

    /// Returns the credentials that are in this set but not in `later`, each as an agent and a provider, or as an agent
    /// and `None` if the whole agent is gone.
    pub(crate) fn missing_in<'a>(&'a self, later: &Agents) -> Vec<(&'a str, Option<&'a str>)> {
        let gone = |(id, agent): (&'a str, &'a Agent)| -> Vec<(&'a str, Option<&'a str>)> {
            let Some(kept) = later.agent(id) else { return vec![(id, None)] };
            let providers =
                agent.credentials.keys().filter(|provider| !kept.credentials.contains_key(*provider));
            providers.map(|provider| (id, Some(provider.as_str()))).collect()
        };
        self.iter().flat_map(gone).collect()
    }

    /// Rejects changes to a credential that is declared in a file, identified by its listed id. Other ids are allowed.
    ///
    /// # Errors
    /// `declared_immutable`, naming the file and the agent.
    pub(crate) fn refuse_credential(&self, id: &str) -> Result<(), ApiError> {
        // A provider id contains no colon; an agent id may contain some.
        match id.strip_prefix(PREFIX).map(|rest| rest.rsplit_once(':').map_or(rest, |(agent, _)| agent)) {
            Some(agent) => Err(immutable(agent, self.agent(agent))),
            None => Ok(()),
        }
    }
}

fn immutable(id: &str, agent: Option<&Agent>) -> ApiError {
    let error = ApiError::new(Kind::DeclaredImmutable, format!("the agent {id} is declared in a file"));
    match agent.map(|agent| agent.source.display().to_string()) {
        Some(file) => {
            error.hint(Step::EditFile { file: file.clone() }).with("agentId", id).with("file", file)
        }
        None => error.with("agentId", id),
    }
}

/// Returns the id under which a declared credential is listed: `declared:{agent}:{provider}`.
pub(crate) fn credential_id(agent: &str, provider: &str) -> String {
    format!("{PREFIX}{agent}:{provider}")
}

#[cfg(test)]
mod tests;
