//! Marks in a CLI's files of a login that only the CLI can read, such as one in the system's keyring.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::credential_file::Format;

/// A file of the CLI that shows that the login itself is in the system's keyring.
///
/// The mark is used only if no credential file proves a login.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyringMark {
    /// Path below the CLI's directory.
    pub path: String,
    /// Format of the file; not [`Format::Sqlite`].
    #[serde(default)]
    pub format: Format,
    /// JSON pointers with the texts accepted at each. An empty list accepts any text. All pointers must match.
    pub when: BTreeMap<String, Vec<String>>,
    /// The place of the login, as a sentence without a full stop.
    pub reason: String,
    /// The next step for the user.
    pub hint: String,
}
