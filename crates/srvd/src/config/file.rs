//! The format of `srvd.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::network::NetworkTable;
use super::secrets::Secret;
use super::{ConfigError, LogFormat, SpawnPolicy};
use crate::base::environment::is_variable_name;
use crate::config::forges::ForgeTable;

/// The whole file. Every key is optional, and unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileConfig {
    pub(super) shutdown_seconds: Option<u64>,
    pub(super) key: Key,
    pub(super) database: Database,
    pub(super) listen: Listen,
    pub(super) audit: Audit,
    pub(super) log: Log,
    pub(super) spawn: Spawn,
    pub(super) launch: Launch,
    pub(super) network: NetworkTable,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) forges: BTreeMap<String, ForgeTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Key {
    pub(super) keychain: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Database {
    pub(super) url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) tcp: Option<String>,
    pub(super) hosts: Vec<String>,
    pub(super) origins: Vec<String>,
    pub(super) connections: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    pub(super) rows: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) filter: Option<String>,
    pub(super) format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spawn {
    pub(super) policy: Option<SpawnPolicy>,
    pub(super) search_path: Vec<PathBuf>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) live_logins: Option<usize>,
    pub(super) login_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Launch {
    keep: Vec<String>,
}

impl Launch {
    /// Returns the variables that launches let through.
    pub(super) fn keep(self) -> Result<Vec<String>, ConfigError> {
        match self.keep.iter().find(|name| !is_variable_name(name)) {
            Some(name) => Err(ConfigError::Invalid {
                name: "launch.keep".to_owned(),
                reason: format!("{name:?} is not a valid name of an environment variable"),
            }),
            None => Ok(self.keep),
        }
    }
}

impl FileConfig {
    /// Reads the file. A missing file counts as empty.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`], or [`ConfigError::Malformed`] with the line and the key.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        };
        Self::parse(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_owned(), message: error.to_string() })
    }

    /// Parses the text of the file.
    ///
    /// # Errors
    /// The parser's error, with the line.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
