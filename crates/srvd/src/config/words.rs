//! Settings that are one of a few words.

use super::Flags;
use crate::base::environment::Environment;

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Plain text for people.
    Text,
    /// One JSON object on each line.
    Json,
}

impl LogFormat {
    /// The word that selects the format.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// Returns the format that a flag or a variable asks for, whether or not the rest of the configuration can be used.
    pub(crate) fn asked_for(environment: &Environment, flags: &Flags) -> Self {
        let word = environment.text("SRVD_LOG_FORMAT");
        let named = word.and_then(|word| <Self as clap::ValueEnum>::from_str(word, false).ok());
        flags.log_format.or(named).unwrap_or(Self::Text)
    }
}

/// Restrictions on the login command that a client may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SpawnPolicy {
    /// Only the command that the registry lists.
    Registered,
    /// Any program in a directory that only root or the user can write, with any arguments.
    Checked,
}
