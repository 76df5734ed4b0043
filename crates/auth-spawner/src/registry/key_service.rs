//! The registry's description of a service that accepts an API key.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::variables::Variable;

/// A service that accepts an API key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeyService {
    /// Variables that each carry the complete key to an agent at launch. Empty if the key is a pair.
    #[serde(default)]
    pub vars: Vec<String>,
    /// Variables that each carry one part of the key, instead of `vars`.
    #[serde(default)]
    pub pair: Option<Pair>,
    /// Base URL of the service, without a trailing slash.
    pub base_url: String,
    /// Variables that give an agent the base URL, for an account that has another one. In a value `{base}` stands
    /// for the URL and `{host}` for its host and port.
    #[serde(default)]
    pub base_url_vars: BTreeMap<String, String>,
    /// Variables to use instead of `vars` for an account at a host that the vendor does not run.
    #[serde(default)]
    pub other_hosts: Option<OtherHosts>,
    /// Variables removed at a launch, because they would replace the key with another credential or the service with
    /// another server.
    #[serde(default)]
    pub scrub: Vec<String>,
    /// The class and the scope of variables for which the other lists say too little.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    /// A request that shows whether a key is accepted.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// The minimum number of characters of a key.
    #[serde(default = "eight")]
    pub min_length: usize,
    /// Text that every key begins with.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The page of the vendor on which a person gets a key.
    #[serde(default)]
    pub page: Option<String>,
}

impl KeyService {
    /// Returns all variables that carry the key or a part of it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let other = self.other_hosts.iter().flat_map(|other| &other.vars);
        let pair = self.pair.iter().flat_map(|pair| &pair.vars);
        self.vars.iter().chain(pair).chain(other).map(String::as_str)
    }

    /// Returns the variables that each carry the complete key to an agent, for an account at this URL.
    #[must_use]
    pub fn variables_at(&self, base_url: &str) -> &[String] {
        match &self.other_hosts {
            Some(other) if !other.usual(base_url) => &other.vars,
            _ => &self.vars,
        }
    }

    /// Returns all variables through which an agent would take another key, or send this one to another URL.
    pub fn shadowing(&self) -> impl Iterator<Item = &str> {
        let others = self.base_url_vars.keys().chain(&self.scrub).map(String::as_str);
        self.variables().chain(others)
    }

    /// Returns the variables that point an agent at this URL; empty if the registry knows none.
    #[must_use]
    pub fn addressed(&self, base_url: &str) -> BTreeMap<String, String> {
        let host = url::Url::parse(base_url).map_or_else(|_| String::new(), |url| url.authority().to_owned());
        let fill = |value: &String| value.replace(BASE, base_url).replace(HOST, &host);
        self.base_url_vars.iter().map(|(name, value)| (name.clone(), fill(value))).collect()
    }

    /// Returns the same service at another URL.
    #[must_use]
    pub fn at(&self, base_url: Option<&str>) -> Self {
        let base_url = base_url.unwrap_or(&self.base_url).to_owned();
        Self { base_url, ..self.clone() }
    }
}

/// The variables for a key at a host that the vendor does not run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherHosts {
    /// The vendor's own hosts, for which the usual variables are used; `*.example.com` means any host below it.
    pub usual: Vec<String>,
    /// Variables that each carry the complete key for any other host.
    pub vars: Vec<String>,
}

impl OtherHosts {
    fn usual(&self, base_url: &str) -> bool {
        let url = url::Url::parse(base_url).ok();
        let Some(host) = url.as_ref().and_then(url::Url::host_str) else { return false };
        self.usual.iter().any(|entry| match entry.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(parent).is_some_and(|below| below.ends_with('.')),
            None => host == entry,
        })
    }
}

/// Placeholder for an account's base URL.
pub(crate) const BASE: &str = "{base}";
/// Placeholder for the host and port of the URL.
pub(crate) const HOST: &str = "{host}";

/// A key that consists of several texts, such as an id and its secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The variables, in the order of the parts.
    pub vars: Vec<String>,
    /// Text between the parts. The last part may contain it, too.
    pub separator: String,
}

impl Pair {
    /// Returns the parts in the order of the variables; `None` when one is missing or empty.
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
    /// HTTP method of the request.
    #[serde(default = "http_get")]
    pub method: String,
    /// Path below the base URL, beginning with `/`.
    pub path: String,
    /// Headers of the request; `{key}` in a value stands for the key.
    pub headers: BTreeMap<String, String>,
    /// Statuses that mean the key works.
    #[serde(default = "accepted")]
    pub accepted: Vec<u16>,
    /// Statuses that mean that the key was rejected. Any other status means that the result is unknown.
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
    fn key_service_sets_url_and_host_variables_from_base_url() {
        let service: KeyService = toml::from_str(
            "vars = ['A']\nbase-url = 'https://a.test'\nbase-url-vars = { A_URL = '{base}/v1', A_HOST = '{host}' }\nscrub = ['B']",
        )
        .unwrap();
        let led = service.addressed("https://b.test:8443/api");
        let expected = [("A_HOST", "b.test:8443"), ("A_URL", "https://b.test:8443/api/v1")];
        assert_eq!(
            led.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(service.shadowing().collect::<Vec<_>>(), ["A", "A_HOST", "A_URL", "B"]);
    }

    #[test]
    fn key_goes_to_other_variables_when_the_vendor_does_not_run_the_host() {
        let github = crate::Registry::builtin().unwrap().provider("github").unwrap().key.clone().unwrap();
        let (usual, other) = (
            ["GITHUB_TOKEN", "GH_TOKEN"].map(str::to_owned),
            ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"].map(str::to_owned),
        );
        for base in ["https://api.github.com", "https://github.com/x", "https://api.corp.ghe.com"] {
            assert_eq!(github.variables_at(base), usual, "{base}");
        }
        for base in
            ["https://ghe.corp.example/api/v3", "https://notghe.com", "https://github.com.evil.example"]
        {
            assert_eq!(github.variables_at(base), other, "{base}");
        }
        assert!(github.shadowing().any(|name| name == "GH_ENTERPRISE_TOKEN"));
    }

    #[test]
    fn key_pair_splits_only_when_every_part_is_present() {
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
