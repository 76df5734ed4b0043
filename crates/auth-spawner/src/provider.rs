//! What the registry can say about a provider. Every field exists because a real CLI needs it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::key_service::KeyService;
use crate::recipe::Recipe;

/// One provider: a CLI that logs in by itself, a service that takes an API key, or both.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Canonical id, lower case, such as `codex`. It is the table's name in the registry file.
    pub id: String,
    /// Other names that mean this provider; unique over the whole registry.
    pub aliases: Vec<String>,
    /// Name for people.
    pub display_name: String,
    /// How its credential is obtained.
    pub class: Class,
    /// The CLI, always present for [`Class::OAuth`].
    pub cli: Option<Cli>,
    /// The key service, always present for [`Class::ApiKey`].
    pub key: Option<KeyService>,
}

impl Provider {
    /// The login recipe with this id, or the default (first) one for an empty id.
    pub fn recipe(&self, id: &str) -> Option<&Recipe> {
        let recipes = &self.cli.as_ref()?.recipes;
        if id.is_empty() { recipes.first() } else { recipes.iter().find(|recipe| recipe.id == id) }
    }
}

/// How a provider's credential is obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Class {
    /// A login in the provider's own CLI.
    #[serde(rename = "oauth")]
    OAuth,
    /// A key that the user pastes.
    #[serde(rename = "api_key")]
    ApiKey,
}

impl Class {
    /// The word used in files and on the wire: `oauth` or `api_key`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::ApiKey => "api_key",
        }
    }
}

/// A provider's command-line tool.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cli {
    /// Executable names, the preferred one first.
    pub binaries: Vec<String>,
    /// One line that tells a person how to install it.
    pub install: String,
    /// Arguments that print the version.
    #[serde(default = "version_args")]
    pub version_args: Vec<String>,
    /// The directory that holds its login.
    pub config_dir: ConfigDir,
    /// Ways to log in; the first is the default.
    #[serde(default)]
    pub recipes: Vec<Recipe>,
    /// Command that says whether a login is usable, where that adds to the file's own proof.
    #[serde(default)]
    pub check: Option<Check>,
    /// Arguments that log out. Most CLIs also revoke the token at the provider.
    #[serde(default)]
    pub logout: Option<Vec<String>>,
    /// The file that proves a login.
    pub credential: CredentialFile,
    /// How a credential is launched that a recipe's login showed on the screen only.
    #[serde(default)]
    pub token: Option<ScreenToken>,
    /// Hosts whose addresses a person may open; `*.example.com` means any host below `example.com`.
    #[serde(default)]
    pub url_hosts: Vec<String>,
    /// Variables set for login, check and launch.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables removed for login, check and launch, because they would shadow the directory's login.
    #[serde(default)]
    pub scrub: Vec<String>,
    /// Variables through which this CLI takes an API key. They are removed like `scrub`.
    #[serde(default)]
    pub key_vars: Vec<String>,
    /// Directories and files inside the config directory that hold the user's history, not the login.
    #[serde(default)]
    pub history: Vec<String>,
    /// Files written before a login when they are absent.
    #[serde(default)]
    pub prepare: Vec<PreparedFile>,
}

fn version_args() -> Vec<String> {
    vec!["--version".to_owned()]
}

/// Where a CLI keeps its login.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConfigDir {
    /// Variable that points the CLI at the directory.
    pub var: String,
    /// Name of the directory inside a bundle, one path segment.
    pub name: String,
    /// The user's own directory, `~/...`; never a bundle's.
    pub ambient: String,
    /// Further variables; `{dir}` in a value stands for the config directory.
    #[serde(default)]
    pub extra_vars: BTreeMap<String, String>,
}

/// A file to write before a login, mode 0600, unless it exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedFile {
    /// Path below the config directory.
    pub path: String,
    /// Whole text of the file.
    pub text: String,
}

/// A credential without a file: the CLI shows it once, and takes it back in a variable.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScreenToken {
    /// The variable that an agent is launched with.
    pub var: String,
    /// How long the provider lets it live, in seconds. The CLI does not say, so this is what it asks for.
    pub lifetime_s: u64,
}

/// A command that says whether a login is usable.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Arguments.
    pub args: Vec<String>,
    /// Exit codes that mean yes.
    #[serde(default = "zero")]
    pub ok: Vec<i32>,
}

fn zero() -> Vec<i32> {
    vec![0]
}

/// The file that proves a login, and where in it the facts stand.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CredentialFile {
    /// Path below the config directory; one `*` is allowed in the last segment, the newest match counts.
    pub path: String,
    /// JSON pointers that must all hold a non-empty string.
    pub requires: Vec<String>,
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

/// Where a text stands: a JSON pointer, optionally in another file, optionally inside a JSON Web Token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Another file of the config directory; the credential file when absent.
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

/// Unit of an end time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryUnit {
    /// Unix milliseconds.
    Ms,
    /// Unix seconds, whole.
    S,
    /// Unix seconds with a fraction.
    FloatS,
    /// The value is a JSON Web Token; its `exp` claim (seconds) counts.
    JwtExp,
}
