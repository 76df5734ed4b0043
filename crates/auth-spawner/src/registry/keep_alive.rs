//! The way in which a CLI renews its own login without a user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::config_dir::{ConfigDir, DIR};
use super::forms::{is_relative, is_var, is_version, loads_code};
use super::recipe::Pattern;
use super::versions::is_older;

/// The way in which a CLI renews its own login, and the signs of its work in the directory.
///
/// Only the credential file proves a renewal: the pointers `expires`, `issued` and `refresh` of the credential.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeepAlive {
    /// The kind of command that makes the CLI renew its login.
    pub by: KeepAliveBy,
    /// Arguments of the CLI.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables set for the command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The request to an app server.
    #[serde(default)]
    pub request: Option<AppRequest>,
    /// The parameters of the request that renew a login before its window.
    #[serde(default)]
    pub forced: Option<Value>,
    /// The CLI renews the access token when less than this time is left, in seconds.
    #[serde(default)]
    pub window_s: u32,
    /// True if the login is renewed only when it is about to be used by a launch.
    #[serde(default)]
    pub at_launch_only: bool,
    /// The maximum run time of the command, in seconds.
    #[serde(default = "limit")]
    pub limit_s: u32,
    /// True if each renewal replaces the refresh token, so that a copy of the login becomes invalid.
    #[serde(default = "yes")]
    pub rotates: bool,
    /// The oldest version that is known to have the command. An older one could take it for a prompt.
    #[serde(default)]
    pub since: Option<String>,
    /// The traces of a refusal by the provider in the credential file.
    #[serde(default)]
    pub refusal: Refusal,
    /// Lines of the CLI's output that show the provider's refusal, for a CLI that leaves its file as it is. Colours are
    /// removed before.
    #[serde(default)]
    pub refusal_lines: Vec<Pattern>,
    /// The CLI's own lock files and lock directories.
    #[serde(default)]
    pub locks: Vec<LockFile>,
    /// The reason why nothing is run, for `none` and for `at-launch-only`.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The kind of command that makes a CLI renew its login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepAliveBy {
    /// A server that reads JSON-RPC requests from its standard input, one on each line. It can renew a login at any time.
    AppServer,
    /// A command that renews the login if it is in its window, and exits.
    Command,
    /// A program that renews an expired login when it starts. It is ended after that.
    Start,
    /// No harmless command is known.
    None,
}

impl KeepAliveBy {
    /// Returns the word used in files and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppServer => "app_server",
            Self::Command => "command",
            Self::Start => "start",
            Self::None => "none",
        }
    }
}

/// A request to an app server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRequest {
    /// The method.
    pub method: String,
    /// The parameters.
    #[serde(default)]
    pub params: Value,
    /// JSON pointer into the result that holds `null` or nothing if the CLI has no usable login.
    #[serde(default)]
    pub account: Option<String>,
}

/// The traces that a refusal by the provider leaves in the credential file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The file is unchanged. The CLI's answer names no account.
    #[default]
    Untouched,
    /// The CLI empties the tokens.
    Wiped,
    /// The CLI replaces the tokens with a tombstone.
    Tombstone,
}

/// A lock of the CLI.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockFile {
    /// Path below the CLI's directory. A path that begins with `{dir}` is beside the directory. One `*` is allowed in the
    /// last segment.
    pub path: String,
    /// The age from which the CLI itself disregards the lock, in seconds. Without it, the lock is released with its process.
    #[serde(default)]
    pub stale_s: Option<u32>,
    /// True if the CLI holds the lock while it renews the login.
    #[serde(default)]
    pub renewing: bool,
}

impl KeepAlive {
    /// Returns whether a version of the CLI is too old for the command. An unknown version is.
    #[must_use]
    pub fn is_too_old(&self, version: Option<&str>) -> bool {
        is_too_old(self.since.as_deref(), version)
    }

    /// Returns a broken rule of the entry, in words.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let runs = self.by != KeepAliveBy::None;
        let told = self.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
        let inside = |lock: &LockFile| match lock.path.strip_prefix(DIR) {
            Some(ending) => !ending.is_empty() && !ending.contains('/'),
            None => is_relative(&lock.path),
        };
        let rules = [
            (runs || told, "`by = \"none\"` needs a `reason`"),
            (
                self.request.is_some() == (self.by == KeepAliveBy::AppServer),
                "`request` is for `app_server`, which needs it",
            ),
            (self.forced.is_none() || self.request.is_some(), "`forced` needs a `request`"),
            (
                self.locks.iter().all(inside),
                "a lock is below the CLI's directory, or is `{dir}` and an ending",
            ),
        ];
        let broken = rules.into_iter().find(|(holds, _)| !holds).map(|(_, words)| words);
        broken.or_else(|| {
            let args = if runs { self.args.as_slice() } else { &[String::new()] };
            command_problem(args, &self.env, self.limit_s, self.since.as_deref())
        })
    }

    /// Returns whether the command can renew a login long before its end.
    #[must_use]
    pub fn renews_early(&self) -> bool {
        self.forced.is_some()
    }
}

/// Returns whether a version is older than the first one that is known to have a command. An unknown version is.
pub(super) fn is_too_old(since: Option<&str>, version: Option<&str>) -> bool {
    let Some(since) = since else { return false };
    version.is_none_or(|version| is_older(version, since).unwrap_or(true))
}

impl LockFile {
    /// Returns the path of the lock, where `dir` is the directory that the CLI's variable names. Its last segment may
    /// contain `*`.
    #[must_use]
    pub fn place(&self, config: &ConfigDir, dir: &Path) -> PathBuf {
        let inside = config.inside(dir);
        match self.path.strip_prefix(DIR) {
            Some(ending) => {
                let mut beside = inside.into_os_string();
                beside.push(ending);
                PathBuf::from(beside)
            }
            None => inside.join(&self.path),
        }
    }

    /// Returns whether the lock is beside the CLI's directory.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        self.path.starts_with(DIR)
    }
}

/// Returns a broken rule of a command, in words.
pub(super) fn command_problem(
    args: &[String],
    env: &BTreeMap<String, String>,
    limit_s: u32,
    since: Option<&str>,
) -> Option<&'static str> {
    let rules = [
        (!args.is_empty(), "needs `args`"),
        ((1..=600).contains(&limit_s), "`limit-s` must be 1 to 600"),
        (since.is_none_or(is_version), "`since` must be a version"),
        (
            env.keys().all(|name| is_var(name) && !loads_code(name)),
            "`env` must name variables that load no code",
        ),
    ];
    rules.into_iter().find(|(holds, _)| !holds).map(|(_, words)| words)
}

fn limit() -> u32 {
    60
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn lock_is_inside_or_beside_the_directory() {
        let registry = Registry::builtin().unwrap();
        let cli = registry.provider("claude").unwrap().cli.as_ref().unwrap();
        let dir = Path::new("/data/identities/work/claude");
        let locks = cli.keep_alive.iter().flat_map(|keep| &keep.locks);
        let places: Vec<PathBuf> = locks.map(|lock| lock.place(&cli.config_dir, dir)).collect();
        for expected in
            ["/data/identities/work/claude.lock", "/data/identities/work/claude/.oauth_refresh.lock"]
        {
            assert!(places.contains(&PathBuf::from(expected)), "{expected} {places:?}");
        }
    }

    #[test]
    fn version_is_too_old_when_it_is_unknown_or_older_than_the_first_tested_one() {
        let registry = Registry::builtin().unwrap();
        let keep = registry.provider("claude").unwrap().cli.as_ref().unwrap().keep_alive.clone().unwrap();
        for (version, expected) in
            [(Some("2.1.332"), false), (Some("1.0.0"), true), (Some("?"), true), (None, true)]
        {
            assert_eq!(keep.is_too_old(version), expected, "{version:?}");
        }
    }
}
