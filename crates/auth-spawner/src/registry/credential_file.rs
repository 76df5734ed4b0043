//! The registry's description of the file that proves a login.

use serde::Deserialize;

use super::selection::{Mode, Slot, Template};

/// The file that proves a login, and the places of the facts in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CredentialFile {
    /// Path below the CLI's directory. One `*` is allowed in the last segment; the newest match is used.
    pub path: String,
    /// Format of the file.
    #[serde(default)]
    pub format: Format,
    /// Place of the document in a database; present exactly for [`Format::Sqlite`].
    #[serde(default)]
    pub sqlite: Option<SqliteValue>,
    /// JSON pointers that must all point to a non-empty string. A segment `*` matches the member that `slot` names. Without
    /// `slot` it matches the first member, in order of name, for which all of them match. The other pointers use the
    /// same member.
    pub requires: Vec<String>,
    /// The member that `*` matches.
    #[serde(default)]
    pub slot: Option<Slot>,
    /// The setting that makes the CLI use another credential in place of this login.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// The account's email address.
    #[serde(default)]
    pub email: Option<TextLocation>,
    /// The provider's own id of the account.
    #[serde(default)]
    pub subject: Option<TextLocation>,
    /// Expiry of the access token.
    #[serde(default)]
    pub expires: Option<Expiry>,
    /// Time at which the access token was issued.
    #[serde(default)]
    pub issued: Option<Expiry>,
    /// JSON pointer to the refresh token.
    #[serde(default)]
    pub refresh: Option<String>,
    /// Expiry of the refresh token. After that, only the user can renew the login.
    #[serde(default)]
    pub refresh_expires: Option<Expiry>,
}

impl CredentialFile {
    /// Returns the other files of the CLI's directory that decide whether this is a login and name its account.
    pub(crate) fn other_files(&self) -> impl Iterator<Item = &str> {
        let named = self.slot.iter().flat_map(|slot| &slot.names);
        let slots = named.flat_map(Template::pointers).filter_map(|(file, _)| file);
        let mode = self.mode.iter().filter_map(|mode| mode.file.as_deref());
        let people = [&self.email, &self.subject].into_iter().flatten();
        people.filter_map(|place| place.file.as_deref()).chain(mode).chain(slots)
    }
}

/// Format of a credential file. Pointers are resolved in every format as if it were JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// JSON with comments and trailing commas.
    Jsonc,
    /// YAML with one document.
    Yaml,
    /// A value in a `SQLite` database. The value is JSON text.
    Sqlite,
    /// TOML.
    Toml,
    /// A file that only the CLI can read, such as an encrypted one. Its complete text is at the pointer `/text`.
    Text,
}

impl Format {
    /// Returns the word used in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonc => "jsonc",
            Self::Yaml => "yaml",
            Self::Sqlite => "sqlite",
            Self::Toml => "toml",
            Self::Text => "text",
        }
    }
}

/// One value of a `SQLite` database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SqliteValue {
    /// Name of the table; views are not read.
    pub table: String,
    /// The column that contains the key.
    pub key_column: String,
    /// The key of the row.
    pub key: String,
    /// The column that contains the value.
    pub value_column: String,
}

/// Place of a text: a JSON pointer, optionally in another file, optionally inside a JSON Web Token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextLocation {
    /// Another JSON file of the CLI's directory; the credential file if absent.
    #[serde(default)]
    pub file: Option<String>,
    /// JSON pointer to the text.
    pub pointer: String,
    /// Pointer into the claims of a JSON Web Token. When it is given, the text at `pointer` is that token.
    #[serde(default)]
    pub claim: Option<String>,
}

/// Place and unit of a time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expiry {
    /// JSON pointer into the credential file.
    pub pointer: String,
    /// Unit of the value.
    pub unit: ExpiryUnit,
}

/// Unit of an expiry time. A number may have a fraction and may be written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryUnit {
    /// Unix milliseconds.
    Ms,
    /// Unix seconds.
    S,
    /// The same as [`Self::S`], which entries of format 1 used for full seconds only.
    FloatS,
    /// A date and time as in RFC 3339, section 5.6.
    Rfc3339,
    /// The value is a JSON Web Token. Its `exp` claim, in seconds, is used.
    JwtExp,
    /// The value is a JSON Web Token. Its `iat` claim, in seconds, is used.
    JwtIat,
}
