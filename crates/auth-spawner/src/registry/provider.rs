//! The registry's description of a provider. Each field is needed by at least one real CLI.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::config_dir::ConfigDir;
use super::credential_file::CredentialFile;
use super::host::HostChoice;
use super::keep_alive::KeepAlive;
use super::key_home::KeyHome;
use super::key_service::KeyService;
use super::keyring_mark::KeyringMark;
use super::quota::QuotaQuestion;
use super::recipe::{Pattern, Recipe};
use super::settings_file::SettingsFile;
use super::share::ShareRule;
use super::token_endpoint::TokenEndpoint;
use super::variables::Variable;
use super::versions::{VersionRange, is_newer};
use super::who_am_i::WhoAmI;

/// A provider: a CLI with its own login, a service that accepts an API key, or both.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Canonical id, lower case, such as `codex`. It is the table's name in the registry file.
    pub id: String,
    /// Other names of this provider; unique in the registry.
    pub aliases: Vec<String>,
    /// Name for display.
    pub display_name: String,
    /// The kind of its credential.
    pub class: Class,
    /// The provider's CLI, always present for [`Class::OAuth`].
    pub cli: Option<Cli>,
    /// The provider's key service, always present for [`Class::ApiKey`].
    pub key: Option<KeyService>,
    /// True for one of the user's own tools, such as `gh`, which a launch may leave as it is. False for an agent, and for
    /// a service that agents use.
    pub tool: bool,
    /// The provider whose CLI has taken the place of this one's.
    pub superseded_by: Option<String>,
    /// The endpoint that refreshes tokens that users supply. Without it they are used until they expire.
    pub oauth: Option<TokenEndpoint>,
    /// The table of a CLI that can log in to several hosts, before a host was filled in.
    pub(crate) template: Option<Arc<toml::Value>>,
}

impl Provider {
    /// Returns the login recipe with this id, or the default one for an empty id, for this version of the CLI.
    ///
    /// Of several recipes with the id, the first one whose range contains the version is used. If the version is unknown
    /// or in no range, it is the first one, which is the newest.
    pub fn recipe(&self, id: &str, version: Option<&str>) -> Option<Recipe> {
        let recipes = &self.cli.as_ref()?.recipes;
        let id = if id.is_empty() { &recipes.first()?.id } else { id };
        let named = || recipes.iter().filter(|recipe| recipe.id == id);
        let fits = |recipe: &&Recipe| VersionRange::applies(recipe.versions.as_ref(), version);
        named().find(fits).or_else(|| named().next()).map(|recipe| recipe.at(version))
    }
}

/// The way in which a provider's credential is obtained.
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
    /// Returns the word used in files and on the wire: `oauth` or `api_key`.
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
    /// Installation instruction for the user, in one line.
    pub install: String,
    /// Arguments that print the version.
    #[serde(default = "version_args")]
    pub version_args: Vec<String>,
    /// First arguments with which the CLI only reports about itself or updates itself. A shim then runs it without an
    /// account, because it needs no login.
    #[serde(default = "completion")]
    pub plain_commands: Vec<String>,
    /// Pattern for a line that this CLI prints for its version, with an optional group `version`. A program of the same
    /// name that prints no such line is another program.
    #[serde(default)]
    pub version_pattern: Option<Pattern>,
    /// The version that the entry was tested with.
    #[serde(default)]
    pub tested: Option<String>,
    /// The directory that contains the CLI's login.
    pub config_dir: ConfigDir,
    /// Ways to log in; the first is the default.
    #[serde(default)]
    pub recipes: Vec<Recipe>,
    /// Command that checks whether a login is usable, if that adds to the file's own proof.
    #[serde(default)]
    pub check: Option<Check>,
    /// Command that names the credential that the CLI would use.
    #[serde(default)]
    pub who_am_i: Option<WhoAmI>,
    /// The way in which the CLI renews its own login.
    #[serde(default)]
    pub keep_alive: Option<KeepAlive>,
    /// The question about the limits of a login.
    #[serde(default)]
    pub quota: Option<QuotaQuestion>,
    /// Settings that make the CLI use another credential than its login.
    #[serde(default)]
    pub shadows: Vec<SettingsFile>,
    /// Arguments that log out. Most CLIs also revoke the token at the provider.
    #[serde(default)]
    pub logout: Option<Vec<String>>,
    /// True if the logout is known to revoke the login at the provider, for every copy of the directory.
    #[serde(default)]
    pub logout_revokes: bool,
    /// The launch data for a credential that a recipe's login showed on the screen only.
    #[serde(default)]
    pub token: Option<ScreenToken>,
    /// The variable through which the CLI takes the access token of a login that was made elsewhere.
    #[serde(default)]
    pub access_token_var: Option<String>,
    /// The variable through which the CLI takes the text of its credential file. A launch sets it in place of the
    /// directory, for a CLI that reads no variable for that.
    #[serde(default)]
    pub credential_var: Option<String>,
    /// The files that prove a login; the first valid one is used. Empty only for a CLI that has no login.
    #[serde(default, deserialize_with = "one_or_many")]
    pub credential: Vec<CredentialFile>,
    /// Further files that prove a login, tried after `credential`. After a registry is read, they are part of
    /// `credential`. They are separate so that an overlay can change the one table `credential`.
    #[serde(default)]
    pub(crate) other_credentials: Vec<CredentialFile>,
    /// Marks of a login in the system's keyring, read if no credential file proves a login.
    #[serde(default)]
    pub elsewhere: Vec<KeyringMark>,
    /// The choice of hosts, for a CLI that can log in to other hosts than the vendor's.
    #[serde(default)]
    pub host: Option<HostChoice>,
    /// Hosts whose URLs a user may open; `*.example.com` means any host below `example.com`.
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
    /// Those of `key_vars` that the CLI was seen to ignore while it has a login.
    #[serde(default)]
    pub login_first: Vec<String>,
    /// Prefixes of variables that only this CLI reads. An unknown variable below one of them is removed at a launch if its
    /// name has a word that marks a credential.
    #[serde(default)]
    pub environment_prefixes: Vec<String>,
    /// The class and the scope of variables for which the other lists say too little.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// Variables set while the CLI has no account in a launch and is started by another program. They keep it from a login
    /// that it would take from another program.
    #[serde(default)]
    pub logged_out: BTreeMap<String, String>,
    /// The preparation of a directory for an API key, by the provider of the key. A CLI without an entry for a key
    /// cannot be started with it.
    #[serde(default)]
    pub keys: BTreeMap<String, KeyHome>,
    /// Directories and files inside the CLI's directory that hold the user's history, not the login.
    #[serde(default)]
    pub history: Vec<String>,
    /// Files written before a login if they are absent.
    #[serde(default)]
    pub prepare: Vec<PreparedFile>,
    /// The parts of the user's own setup that a home may have.
    #[serde(default)]
    pub share: Vec<ShareRule>,
    /// Systems on which the CLI may keep its login in the system's keychain instead of a file.
    #[serde(default)]
    pub keychain: Vec<System>,
    /// The options that the tested version names in its help texts. A check shows what has changed.
    #[serde(default)]
    pub help: Vec<HelpText>,
    /// Parts of the entry that were not tested with the real program, as sentences for display.
    #[serde(default)]
    pub untested: Vec<String>,
}

impl Cli {
    /// Returns the ids of the recipes, each once; the first is the default.
    #[must_use]
    pub fn recipe_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for recipe in &self.recipes {
            if !ids.contains(&recipe.id.as_str()) {
                ids.push(&recipe.id);
            }
        }
        ids
    }

    /// Returns whether the entry was not tested with this version of the program: it is newer than the tested one, or it
    /// cannot be compared with it and differs. An entry without a tested version is always untested.
    #[must_use]
    pub fn is_untested(&self, version: Option<&str>) -> bool {
        match (&self.tested, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(tested), Some(version)) => is_newer(version, tested).unwrap_or(version != tested),
        }
    }

    /// Returns the variables that the CLI uses instead of its login. `all` includes those that the tested version ignores
    /// while it has one.
    pub fn key_variables_before_login(&self, all: bool) -> impl Iterator<Item = &str> {
        let counts = move |name: &&String| all || !self.login_first.contains(name);
        self.key_vars.iter().chain(&self.scrub).filter(counts).map(String::as_str)
    }

    /// Returns whether the version of the program decides how it logs in.
    #[must_use]
    pub fn depends_on_version(&self) -> bool {
        let ranged = |recipe: &Recipe| {
            recipe.versions.is_some() || recipe.expressions().any(|pattern| pattern.versions().is_some())
        };
        self.recipes.iter().any(ranged)
    }

    /// Returns the paths of the user's history, relative to the directory that the variable names.
    #[must_use]
    pub fn history_paths(&self) -> Vec<PathBuf> {
        let inner = Path::new(&self.config_dir.inner);
        self.history.iter().map(|path| inner.join(path)).collect()
    }

    /// Returns whether the CLI may keep its login in this system's keychain, which only the CLI itself may read.
    #[must_use]
    pub fn keeps_in_keychain(&self) -> bool {
        self.keychain.iter().any(|system| system.is_this())
    }
}

/// A kind of operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// Linux, whose keychain is the Secret Service.
    Linux,
    /// macOS.
    Macos,
}

impl System {
    /// Returns the word used in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Macos => "macos",
        }
    }

    pub(super) fn is_this(self) -> bool {
        match self {
            Self::Linux => cfg!(target_os = "linux"),
            Self::Macos => cfg!(target_os = "macos"),
        }
    }
}

fn completion() -> Vec<String> {
    vec!["completion".to_owned()]
}

fn version_args() -> Vec<String> {
    vec!["--version".to_owned()]
}

/// Reads a list of tables, or one table as a list of one.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<CredentialFile>, D::Error> {
    // An untagged enum would lose the error in the table.
    match toml::Value::deserialize(deserializer)? {
        toml::Value::Array(tables) => tables
            .into_iter()
            .enumerate()
            .map(|(position, table)| {
                let read: Result<CredentialFile, _> = table.try_into();
                read.map_err(|error| serde::de::Error::custom(format!("credential {position}: {error}")))
            })
            .collect(),
        table => {
            let one: CredentialFile = table.try_into().map_err(serde::de::Error::custom)?;
            Ok(vec![one])
        }
    }
}

/// A file to write before a login, mode 0600, unless it exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparedFile {
    /// Path below the CLI's directory.
    pub path: String,
    /// The complete text of the file.
    pub text: String,
}

/// A credential without a file: the CLI shows it once, and accepts it in a variable.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScreenToken {
    /// The variable that carries the credential when an agent is launched.
    pub var: String,
    /// Lifetime of the credential at the provider, in seconds. The CLI does not report it, so this is the lifetime that
    /// it requests.
    pub lifetime_s: u64,
}

/// A help text of a CLI.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelpText {
    /// Arguments that print the text.
    pub args: Vec<String>,
    /// The long options in it, in order of name.
    pub options: Vec<String>,
}

/// A command that checks whether a login is usable.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Arguments of the CLI.
    pub args: Vec<String>,
    /// Exit codes that mean that the login is usable.
    #[serde(default = "zero")]
    pub ok: Vec<i32>,
}

fn zero() -> Vec<i32> {
    vec![0]
}
