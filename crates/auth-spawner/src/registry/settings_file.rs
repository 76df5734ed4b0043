//! Settings that make a CLI use another credential than the login in its directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::config_dir::DIR;
use super::provider::{Cli, System};
use super::reach::Reach;

/// A settings file of a CLI, and the settings in it that take the place of the login.
///
/// A login is not the one that the CLI would use if one of these settings is set in a file of the CLI's directory or of
/// the system. A setting in a project's file has this effect only for programs that are started there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SettingsFile {
    /// The path: below the CLI's directory (`{dir}/` stands for the one that its variable names), absolute for a file of
    /// the system, below the directory of the project for a file of a project. One `*` is allowed in the last segment
    /// of a path outside a project; every match is used.
    pub path: String,
    /// The kind of place.
    #[serde(default)]
    pub scope: SettingsScope,
    /// The place of the file in the user's own setup, `~/...`, if it is not below the CLI's own directory there.
    #[serde(default)]
    pub own: Option<String>,
    /// The systems on which the file exists; empty means all.
    #[serde(default)]
    pub on: Vec<System>,
    /// True if a file of a project counts for the directories below it, up to the root of the repository. Otherwise it
    /// counts only for programs that are started in its project directory.
    #[serde(default)]
    pub upward: bool,
    /// The format of the file.
    #[serde(default)]
    pub format: SettingsFormat,
    /// Pointers to settings that have this effect with any value. A segment `*` stands for every member.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Pointers to settings that have this effect with one of these texts.
    #[serde(default)]
    pub values: BTreeMap<String, Vec<String>>,
    /// Pointers to settings that have this effect with any other text.
    #[serde(default)]
    pub other_than: BTreeMap<String, Vec<String>>,
    /// A pointer to a table of variables that the CLI sets for itself; empty for the entire file. Those that the entry
    /// removes from an environment count.
    #[serde(default)]
    pub variables: Option<String>,
}

/// The kind of place of a [`SettingsFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsScope {
    /// The CLI's directory.
    #[default]
    Home,
    /// The entire machine.
    System,
    /// The directory in which the CLI is started, or one above it.
    Project,
}

/// The format of a [`SettingsFile`]. Pointers are resolved in every format as if it were JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsFormat {
    /// JSON, with or without comments.
    #[default]
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// Lines of the form `NAME=value`.
    Env,
}

impl SettingsFile {
    /// Returns the names of the document's members that decide, in no order.
    pub(crate) fn members(&self) -> Vec<String> {
        let pointers = self.keys.iter().chain(self.values.keys()).chain(self.other_than.keys());
        let names = pointers.chain(&self.variables).filter_map(|pointer| pointer.split('/').nth(1));
        names.map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
    }

    /// Returns whether the file exists on this kind of system.
    fn is_here(&self) -> bool {
        self.on.is_empty() || self.on.iter().any(|system| system.is_this())
    }
}

/// Returns those of the files that are in one kind of place and exist on this kind of system.
pub(crate) fn settings_of(
    files: &[SettingsFile],
    scope: SettingsScope,
) -> impl Iterator<Item = &SettingsFile> {
    files.iter().filter(move |file| file.scope == scope && file.is_here())
}

impl Cli {
    /// Returns the settings files of one kind of place that exist on this kind of system.
    pub(crate) fn settings_in(&self, scope: SettingsScope) -> impl Iterator<Item = &SettingsFile> {
        settings_of(&self.shadows, scope)
    }

    /// Returns the names of the variables that make the CLI use another credential or another server.
    pub(crate) fn overriding_variables(&self) -> impl Iterator<Item = &str> {
        self.key_vars.iter().chain(&self.scrub).map(String::as_str)
    }

    /// Returns the path of a settings file of the CLI's directory, where `dir` is the one that the variable names, or
    /// would name. `None` if the user's environment decides where the file is.
    pub(crate) fn settings_place(&self, file: &SettingsFile, dir: &Path, reach: Reach) -> Option<PathBuf> {
        let own = file.own.as_deref().and_then(|own| own.strip_prefix("~/"));
        match (reach, own, file.path.strip_prefix(DIR).map(|rest| rest.trim_start_matches('/'))) {
            (Reach::Usual, Some(own), _) => Some(self.config_dir.home_above(dir)?.join(own)),
            (Reach::Usual | Reach::Bundle, _, Some(rest)) => Some(dir.join(rest)),
            (Reach::Variable, _, Some(_)) => None,
            (_, _, None) => Some(self.config_dir.inside(dir).join(&file.path)),
        }
    }
}
