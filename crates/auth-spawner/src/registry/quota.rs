//! The way in which a CLI tells what is left of a subscription's limits.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::keep_alive::{AppRequest, command_problem, is_too_old};
use super::recipe::Pattern;

/// The question to a CLI about the limits of a login. It must cost nothing and never be taken for a prompt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuotaQuestion {
    /// Arguments of the CLI.
    pub args: Vec<String>,
    /// Variables set for the command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The request to an app server; without it the command prints its answer as lines.
    #[serde(default)]
    pub request: Option<AppRequest>,
    /// The lines of the answer, in the order of display.
    #[serde(default)]
    pub windows: Vec<QuotaLine>,
    /// The oldest version that is known to have the command.
    #[serde(default)]
    pub since: Option<String>,
    /// The maximum run time, in seconds.
    #[serde(default = "limit")]
    pub limit_s: u32,
}

/// A line about one limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaLine {
    /// The name of the window, such as `5h` or `7d:sonnet`.
    pub key: String,
    /// The length of the window, in seconds.
    pub seconds: u32,
    /// The line, with the group `used` (percent) and the optional group `resets` (a time in UTC).
    pub pattern: Pattern,
}

impl QuotaQuestion {
    /// Returns a broken rule of the entry, in words.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.request.is_none() && self.windows.is_empty() {
            return Some("needs `request` or `windows`");
        }
        if !self.windows.iter().all(|line| line.pattern.names("used")) {
            return Some("each pattern needs a group named `used`");
        }
        command_problem(&self.args, &self.env, self.limit_s, self.since.as_deref())
    }

    /// Returns whether a version of the CLI is too old for the question. An unknown version is.
    #[must_use]
    pub fn is_too_old(&self, version: Option<&str>) -> bool {
        is_too_old(self.since.as_deref(), version)
    }
}

fn limit() -> u32 {
    30
}
