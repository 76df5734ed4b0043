//! What the registry can say about the file that proves a login.

use serde::Deserialize;

use crate::selection::{Mode, Slot, Template};

/// The file that proves a login, and where in it the facts stand.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CredentialFile {
    /// Path below the CLI's directory; one `*` is allowed in the last segment, the newest match counts.
    pub path: String,
    /// How the file is written.
    #[serde(default)]
    pub format: Format,
    /// Where in a database the document stands; present exactly for [`Format::Sqlite`].
    #[serde(default)]
    pub sqlite: Option<Cell>,
    /// JSON pointers that must all hold a non-empty string. A segment `*` stands for the member that `slot` names, or
    /// else for the first one, in order of name, for which all of them hold. The other pointers mean the same member.
    pub requires: Vec<String>,
    /// The member that `*` stands for.
    #[serde(default)]
    pub slot: Option<Slot>,
    /// The setting that makes the CLI use another credential in place of this login.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// The account's email address.
    #[serde(default)]
    pub email: Option<Place>,
    /// The provider's own id of the account.
    #[serde(default)]
    pub subject: Option<Place>,
    /// End of the access token.
    #[serde(default)]
    pub expires: Option<Expiry>,
    /// JSON pointer to the refresh token.
    #[serde(default)]
    pub refresh: Option<String>,
    /// End of the refresh token: after it only a person can renew the login.
    #[serde(default)]
    pub refresh_expires: Option<Expiry>,
}

impl CredentialFile {
    /// The other files of the CLI's directory that say whether this is a login, and whose.
    pub(crate) fn other_files(&self) -> impl Iterator<Item = &str> {
        let named = self.slot.iter().flat_map(|slot| &slot.names);
        let slots = named.flat_map(Template::places).filter_map(|(file, _)| file);
        let mode = self.mode.iter().filter_map(|mode| mode.file.as_deref());
        let people = [&self.email, &self.subject].into_iter().flatten();
        people.filter_map(|place| place.file.as_deref()).chain(mode).chain(slots)
    }
}

/// How a credential file is written. Whatever it is, pointers go into it as if it were JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// JSON with comments and trailing commas.
    Jsonc,
    /// YAML; one document.
    Yaml,
    /// A value in a `SQLite` database; the value is JSON text.
    Sqlite,
    /// TOML.
    Toml,
}

impl Format {
    /// The word used in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonc => "jsonc",
            Self::Yaml => "yaml",
            Self::Sqlite => "sqlite",
            Self::Toml => "toml",
        }
    }
}

/// One value of a `SQLite` database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cell {
    /// The table; views are not read.
    pub table: String,
    /// The column that holds the key.
    pub key_column: String,
    /// The key of the row.
    pub key: String,
    /// The column that holds the value.
    pub value_column: String,
}

/// Where a text stands: a JSON pointer, optionally in another file, optionally inside a JSON Web Token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Another JSON file of the CLI's directory; the credential file when absent.
    #[serde(default)]
    pub file: Option<String>,
    /// JSON pointer.
    pub pointer: String,
    /// When given, the pointed-at text is a JSON Web Token and this is a pointer into its claims.
    #[serde(default)]
    pub claim: Option<String>,
}

/// Where an end time stands, and in which unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expiry {
    /// JSON pointer into the credential file.
    pub pointer: String,
    /// Its unit.
    pub unit: ExpiryUnit,
}

/// Unit of an end time. A number may have a fraction and may be written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryUnit {
    /// Unix milliseconds.
    Ms,
    /// Unix seconds.
    S,
    /// The same as [`Self::S`], which entries of format 1 used for whole seconds only.
    FloatS,
    /// A date and time as in RFC 3339, section 5.6.
    Rfc3339,
    /// The value is a JSON Web Token; its `exp` claim (seconds) counts.
    JwtExp,
}
