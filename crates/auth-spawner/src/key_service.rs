//! What the registry can say about a service that takes an API key.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A service that takes an API key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyService {
    /// Variables that each carry the whole key to an agent at launch; empty where the key is a pair.
    #[serde(default)]
    pub vars: Vec<String>,
    /// Instead of `vars`: variables that each carry one part of the key.
    #[serde(default)]
    pub pair: Option<Pair>,
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

impl KeyService {
    /// All variables that carry the key or a part of it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.vars.iter().chain(self.pair.iter().flat_map(|pair| &pair.vars)).map(String::as_str)
    }
}

/// A key that is several texts in one, such as an id and its secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The variables, in the order of the parts.
    pub vars: Vec<String>,
    /// What stands between the parts. The last part may hold it, too.
    pub separator: String,
}

impl Pair {
    /// The parts in the order of the variables; `None` when one is missing or empty.
    pub fn split<'a>(&self, key: &'a str) -> Option<Vec<&'a str>> {
        let parts: Vec<&str> = key.splitn(self.vars.len(), self.separator.as_str()).collect();
        (parts.len() == self.vars.len() && parts.iter().all(|part| !part.is_empty())).then_some(parts)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_all_its_parts() {
        let pair = Pair { vars: vec!["A".to_owned(), "B".to_owned()], separator: ":".to_owned() };
        let check =
            |key: &str, expect: Option<&[&str]>| assert_eq!(pair.split(key).as_deref(), expect, "{key}");
        check("id:secret", Some(&["id", "secret"]));
        check("id:se:cret", Some(&["id", "se:cret"]));
        check("id", None);
        check("id:", None);
        check(":secret", None);
        check(":", None);
    }
}
