//! The registry's description of a user's own setup: the settings that the homes of identities may have in common
//! with the user's own directory.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::provider::Cli;

/// Files of the user's own setup that are treated alike.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShareRule {
    /// The way in which the files get into a home.
    pub kind: ShareKind,
    /// Paths below the CLI's own directory. One that ends in `/` is a directory, one that ends in `/*` means every entry
    /// of a directory, except hidden ones.
    pub paths: Vec<String>,
    /// The place of the paths in a home, below the directory that the CLI's variable names. Without it, it is the CLI's
    /// own directory.
    #[serde(default)]
    pub home: Option<String>,
    /// The place of the paths in the user's setup, `~/...`. Without it, it is the user's own directory of the CLI.
    #[serde(default)]
    pub own: Option<String>,
    /// True for files that are shared only on request: the user's history.
    #[serde(default)]
    pub history: bool,
    /// Format of the files that are copied or merged.
    #[serde(default)]
    pub format: ShareFormat,
    /// Places that are left out of a copy: JSON pointers, in which a segment `*` means every member.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// Places that are also left out if the preceding place was left out.
    #[serde(default)]
    pub leave_out_with: BTreeMap<String, Vec<String>>,
    /// Places of maps whose members are shared completely or not at all, such as MCP servers.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Places of maps from the names of environment variables to values.
    #[serde(default)]
    pub variables: Vec<String>,
    /// Places in a copy that the CLI itself changes. Changes there do not count, and they stay.
    #[serde(default)]
    pub own_members: Vec<String>,
    /// Places of the maps that are merged, member by member.
    #[serde(default)]
    pub take: Vec<String>,
    /// Name of the directory that the CLI creates next to the file while it changes the file.
    #[serde(default)]
    pub lock: Option<String>,
}

/// The way in which shared files get into a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareKind {
    /// A symbolic link, for what the CLI only reads.
    Link,
    /// A copy without credentials, for what the CLI also writes.
    Copy,
    /// Individual members that are added to a file of the CLI.
    Merge,
}

impl ShareKind {
    /// Returns the word used in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Copy => "copy",
            Self::Merge => "merge",
        }
    }
}

/// Format of a file that is copied or merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareFormat {
    /// JSON.
    #[default]
    Json,
    /// JSON with comments and trailing commas. A copy is JSON without them.
    Jsonc,
    /// YAML with one document.
    Yaml,
    /// TOML.
    Toml,
    /// Text without a structure. A text with a credential is not shared.
    Text,
}

impl ShareRule {
    /// Returns the reason why the rule cannot be part of this CLI's entry, if there is one.
    pub(super) fn problem(&self, cli: &Cli) -> Option<&'static str> {
        let relative = |path: &str| {
            !path.is_empty()
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !path.contains('*')
        };
        let plain = |path: &String| {
            let bare = path.strip_suffix("/*").or(path.strip_suffix('/'));
            relative(bare.unwrap_or(path)) && (bare.is_none() || self.kind == ShareKind::Link)
        };
        let pointers = || {
            let with =
                self.leave_out_with.iter().flat_map(|(place, more)| std::iter::once(place).chain(more));
            [&self.leave_out, &self.servers, &self.variables, &self.own_members, &self.take]
                .into_iter()
                .flatten()
                .chain(with)
        };
        let below = |own: &String| own.strip_prefix("~/").is_some_and(relative);
        if self.paths.is_empty() || !self.paths.iter().all(plain) {
            return Some("`paths` must be paths without `..`; only a link may be a directory");
        }
        if !self.home.as_deref().is_none_or(relative) || !self.own.as_ref().is_none_or(below) {
            return Some("`home` must be a path without `..`, and `own` one that begins with ~/");
        }
        if !pointers().all(|pointer| pointer.starts_with('/')) {
            return Some("places in a file must be JSON pointers");
        }
        if (self.kind == ShareKind::Merge) == self.take.is_empty() {
            return Some("`take` must name what is merged, and only that");
        }
        if self.history && self.kind != ShareKind::Link {
            return Some("history can only be linked");
        }
        let first = |pointer: &str| pointer.split('/').nth(1).map(str::to_owned);
        let taken = |pointer: &String| self.take.iter().any(|place| first(place) == first(pointer));
        let (inner, ambient) = (Path::new(&cli.config_dir.inner), Path::new(&cli.config_dir.ambient));
        let home = self.home.as_deref().map_or(inner, Path::new);
        let own = self.own.as_deref().map_or(ambient, Path::new);
        let credential = |path: &String| {
            let shared = path.trim_end_matches(['/', '*']);
            cli.credential.iter().any(|credential| {
                let login = &credential.path;
                let named = inner.join(login).starts_with(home.join(shared))
                    || ambient.join(login).starts_with(own.join(shared));
                // Other members of a file with a login may be merged.
                named && (self.kind != ShareKind::Merge || credential.requires.iter().any(taken))
            })
        };
        self.paths.iter().any(credential).then_some("a credential must not be shared")
    }
}
