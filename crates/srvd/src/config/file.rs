//! The format of `srvd.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::network::NetworkTable;
use super::secrets::Secret;
use super::{ConfigError, LogFormat, SpawnPolicy, invalid};
use crate::base::environment::is_variable_name;
use crate::base::trust::Trust;
use crate::config::forges::ForgeTable;

/// The longest file of settings that is read, in bytes.
pub(crate) const LONGEST_FILE: u64 = 1024 * 1024;

/// The whole file. Every key is optional, and unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileConfig {
    pub(super) shutdown_seconds: Option<u64>,
    pub(super) console: Option<bool>,
    pub(super) trusted_paths: Vec<PathBuf>,
    pub(super) key: Key,
    pub(super) database: Database,
    pub(super) listen: Listen,
    pub(super) audit: Audit,
    pub(super) log: Log,
    pub(super) spawn: Spawn,
    pub(super) launch: Launch,
    pub(super) keepalive: KeepAliveTable,
    pub(super) network: NetworkTable,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) forges: BTreeMap<String, ForgeTable>,
    pub(super) forge_watch: ForgeWatch,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ForgeWatch {
    seconds: Option<u64>,
}

impl ForgeWatch {
    /// Returns the time between two looks at the watched repositories; `None` or 0 seconds turn the looks off.
    pub(super) fn interval(&self) -> Result<Option<Duration>, ConfigError> {
        match self.seconds {
            None | Some(0) => Ok(None),
            seconds => within("forge_watch.seconds", seconds, 60, 1..=86_400)
                .map(|seconds| Some(Duration::from_secs(seconds))),
        }
    }
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
pub(super) struct KeepAliveTable {
    pub(super) enabled: Option<bool>,
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
    /// Reads the file. A missing file counts as empty. A file that another user can change is not read.
    ///
    /// # Errors
    /// [`ConfigError::Untrusted`] or [`ConfigError::Malformed`] with the line and the key.
    pub(crate) fn read(path: &Path, trust: &Trust) -> Result<Self, ConfigError> {
        let Some(text) = trust.read_text(path, LONGEST_FILE).map_err(ConfigError::Untrusted)? else {
            return Ok(Self::default());
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

/// Returns the value of a key, or its default, if it is in the range.
pub(super) fn within<T: PartialOrd + std::fmt::Display + Copy>(
    name: &str,
    value: Option<T>,
    default: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, ConfigError> {
    let value = value.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(invalid(name, format!("{value} is not in the range from {} to {}", range.start(), range.end())))
}
