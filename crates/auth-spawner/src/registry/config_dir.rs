//! The directory of a CLI: the variable that names it, and its place in a bundle and in the user's own home.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The location of a CLI's login.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConfigDir {
    /// Variable that points the CLI at the directory.
    pub var: String,
    /// Option that names the directory to the CLI, if the CLI reads no variable. It is added to the arguments of logins,
    /// checks and logouts; a launch needs `credential-var` of the CLI.
    #[serde(default)]
    pub option: Option<String>,
    /// Name of the directory inside a bundle, one path segment.
    pub name: String,
    /// The CLI's own directory below the one that `var` names; empty if they are the same.
    #[serde(default)]
    pub inner: String,
    /// The user's own directory, `~/...`; never a bundle's. It ends in `inner` if there is one.
    pub ambient: String,
    /// Files that the CLI keeps elsewhere while the variable is not set. Maps their path below its own directory to
    /// their path then, `~/...`.
    #[serde(default)]
    pub ambient_files: BTreeMap<String, String>,
    /// Further variables. `{dir}` in a value stands for the directory that `var` names, `{shared}` for one that all
    /// bundles share and that holds caches, never credentials.
    #[serde(default)]
    pub extra_vars: BTreeMap<String, String>,
}

impl ConfigDir {
    /// Returns the CLI's own directory, where `dir` is the one that the variable names.
    #[must_use]
    pub fn inside(&self, dir: &Path) -> PathBuf {
        if self.inner.is_empty() { dir.to_owned() } else { dir.join(&self.inner) }
    }

    /// Returns the value of the variable that means the user's own directory, where `home` is the user's home.
    #[must_use]
    pub fn own(&self, home: &Path) -> PathBuf {
        let mut dir = home.join(self.ambient_below());
        for _ in Path::new(&self.inner).components() {
            dir.pop();
        }
        dir
    }

    /// Returns the user's home, where `dir` is the usual directory of the CLI in it; `None` for another directory.
    pub(crate) fn home_above(&self, dir: &Path) -> Option<PathBuf> {
        let (inside, below) = (self.inside(dir), self.ambient_below());
        let home = inside.ancestors().nth(below.components().count()).filter(|_| inside.ends_with(below));
        home.map(Path::to_owned)
    }

    /// Returns the user's own directory, relative to the user's home.
    pub(crate) fn ambient_below(&self) -> &Path {
        Path::new(self.ambient.strip_prefix("~/").unwrap_or(&self.ambient))
    }

    /// Returns the variables that point the CLI at `dir`; `shared` is the directory that all bundles share.
    #[must_use]
    pub fn variables(&self, dir: &Path, shared: &Path) -> BTreeMap<String, String> {
        let (dir, shared) = (dir.to_string_lossy(), shared.to_string_lossy());
        let fill = |value: &String| {
            // One pass keeps a directory whose name contains braces unchanged.
            let parts: Vec<String> = value.split(DIR).map(|part| part.replace(SHARED, &shared)).collect();
            parts.join(&dir)
        };
        let mut variables: BTreeMap<String, String> =
            self.extra_vars.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        // The variable is set last, so that no other value can redirect the CLI.
        variables.insert(self.var.clone(), dir.into_owned());
        variables
    }

    /// Returns the arguments of a command that uses `dir`.
    pub(crate) fn arguments(&self, args: &[String], dir: &Path) -> Vec<String> {
        let named =
            self.option.iter().flat_map(|option| [option.clone(), dir.to_string_lossy().into_owned()]);
        args.iter().cloned().chain(named).collect()
    }

    /// Returns whether a variable's value names the shared directory.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.extra_vars.values().any(|value| value.contains(SHARED))
    }
}

/// Placeholder for the directory that `var` names.
pub(crate) const DIR: &str = "{dir}";
/// Placeholder for the directory that all bundles share.
pub(crate) const SHARED: &str = "{shared}";
