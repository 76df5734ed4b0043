//! `forge.watch`, `forge.unwatch` and `forge.watched`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Watches a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WatchForgeRepo")]
pub(crate) struct Watch {
    /// The name of the repository with its owner or its groups.
    pub repo: String,
}
method!(
    Watch,
    "forge.watch",
    Watched,
    "Watches a repository of the active forge; at most 200 at each forge. The event forgerepos:changed follows when its default branch or its open requests move, if `[forge_watch]` in srvd.toml sets an interval.",
    seconds = 60
);

/// A watched repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WatchedForgeRepo")]
pub(crate) struct Watched {
    /// The name with its owner or its groups, as the forge spells it.
    pub repo: String,
    /// The default branch; absent for an empty repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The commit at the head of the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// A text that changes with the open requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// The time of the last look, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<i64>,
    /// The time of the last look that found a change, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<i64>,
    /// The reason why the last look failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Stops watching a repository.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UnwatchForgeRepo")]
pub(crate) struct Unwatch {
    /// The name of the repository with its owner or its groups.
    pub repo: String,
}
method!(Unwatch, "forge.unwatch", Unwatched, "Stops watching a repository of the active forge.",);

/// The result of the end of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UnwatchedForgeRepo")]
pub(crate) struct Unwatched {
    /// True if the repository was watched.
    pub removed: bool,
}

/// Lists the watched repositories of the active forge.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListWatchedForgeRepos")]
pub(crate) struct ListWatched {}
method!(ListWatched, "forge.watched", WatchedList, "Lists the watched repositories of the active forge.",);

/// The watched repositories of the active forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WatchedForgeRepos")]
pub(crate) struct WatchedList {
    /// The time between two looks, in seconds; absent if the daemon does not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u64>,
    /// The repositories, by name.
    pub repos: Vec<Watched>,
}
