//! What the registry can say about a service that takes an API key.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A service that takes an API key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyService {
    /// Variables that carry the key to an agent at launch.
    pub vars: Vec<String>,
    /// Where the service answers, without a trailing slash.
    pub base_url: String,
    /// A request that shows whether a key is accepted.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// Fewest characters of a key.
    #[serde(default = "eight")]
    pub min_length: usize,
    /// What every key begins with.
    #[serde(default)]
    pub prefix: Option<String>,
}

fn eight() -> usize {
    8
}

/// A request that shows whether a key is accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// HTTP method.
    #[serde(default = "http_get")]
    pub method: String,
    /// Path below the base address, beginning with `/`.
    pub path: String,
    /// Headers; `{key}` in a value stands for the key.
    pub headers: BTreeMap<String, String>,
    /// Statuses that mean the key works.
    #[serde(default = "accepted")]
    pub accepted: Vec<u16>,
    /// Statuses that mean the key is refused; every other one means "cannot tell".
    #[serde(default = "rejected")]
    pub rejected: Vec<u16>,
}

fn http_get() -> String {
    "GET".to_owned()
}

fn accepted() -> Vec<u16> {
    vec![200]
}

fn rejected() -> Vec<u16> {
    vec![401, 403]
}
