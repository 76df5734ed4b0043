//! The directory in which a CLI runs with an API key.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::settings_file::SettingsFile;

/// The preparation of a CLI's directory for an API key of one provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyHome {
    /// Settings that the directory must have.
    #[serde(default)]
    pub files: Vec<KeyFile>,
    /// Variables to set. `{base}` in a value stands for the URL of the service.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Further variables that carry the complete key.
    #[serde(default)]
    pub vars: Vec<String>,
    /// Settings that make the CLI use another credential than the key; absent if they are those of a login.
    #[serde(default)]
    pub shadows: Option<Vec<SettingsFile>>,
}

/// Settings that are merged into a file of the CLI. Other settings of the file stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyFile {
    /// Path below the CLI's directory.
    pub path: String,
    /// The format of the file.
    pub format: MergeFormat,
    /// The settings. `{base}` in a text stands for the URL of the service, `{tail}` for the last 20 characters of
    /// the key.
    pub text: String,
    /// True if the CLI locks the file by a directory of the same name with `.lock` at its end.
    #[serde(default)]
    pub locked: bool,
}

/// The format of a file that settings are merged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergeFormat {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

/// The number of characters of a key that `{tail}` stands for.
const TAIL: usize = 20;
/// Placeholder for the URL of the service.
pub(crate) const KEY_BASE: &str = "{base}";
/// Placeholder for the end of the key.
pub(crate) const KEY_TAIL: &str = "{tail}";

impl KeyHome {
    /// Returns whether a file stores a part of the key.
    #[must_use]
    pub fn stores_tail(&self) -> bool {
        self.files.iter().any(|file| file.text.contains(KEY_TAIL))
    }

    /// Returns the variables to set, for a service at this URL.
    #[must_use]
    pub fn env_at(&self, base_url: &str) -> BTreeMap<String, String> {
        let fill = |value: &String| value.replace(KEY_BASE, base_url);
        self.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect()
    }
}

/// The last characters of a key, which a CLI compares to know a key that was approved.
#[must_use]
pub fn key_tail(key: &str) -> String {
    let skipped = key.chars().count().saturating_sub(TAIL);
    key.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_tail_is_the_end_and_never_more_than_twenty_characters() {
        let key = format!("sk-ant-{}", "0123456789".repeat(4));
        assert_eq!(key_tail(&key), "01234567890123456789");
        assert_eq!(key_tail("short"), "short");
    }
}
