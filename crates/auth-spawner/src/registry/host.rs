//! The host that a CLI logs in to, for services that are not run by the vendor alone.

use std::fmt;

use serde::Deserialize;
use toml::Value;

use super::provider::{Cli, Provider};

/// Placeholder for the host in a CLI's table.
pub(crate) const HOST: &str = "{host}";

/// The way to point a CLI at another host than the vendor's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostChoice {
    /// The vendor's own host.
    pub default: Host,
    /// The variable that contains the host if it is not the default one.
    pub var: String,
}

/// A DNS host name in lower case: no port, no address, no dot at the end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Host(String);

/// A text that is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name such as github.example.com, without a scheme, a port or a path")]
pub struct InvalidHost;

impl Host {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let name = text.to_ascii_lowercase();
        let is_label = |label: &str| {
            let sound = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            matches!(label.len(), 1..=63) && sound && !label.starts_with('-') && !label.ends_with('-')
        };
        // Programs read a name whose last label is a number as an address.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_address = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
        if name.len() <= 253 && name.split('.').all(is_label) && !is_address {
            return Ok(Self(name));
        }
        Err(InvalidHost)
    }
}

impl TryFrom<String> for Host {
    type Error = InvalidHost;

    fn try_from(text: String) -> Result<Self, InvalidHost> {
        text.parse()
    }
}

impl Provider {
    /// Returns the default host of the provider's CLI; `None` if there is no choice of hosts.
    #[must_use]
    pub fn default_host(&self) -> Option<&Host> {
        Some(&self.cli.as_ref()?.host.as_ref()?.default)
    }

    /// Returns the provider for logins at this host; `None` if its CLI has no choice of hosts.
    #[must_use]
    pub fn at_host(&self, host: &Host) -> Option<Self> {
        let choice = self.cli.as_ref()?.host.clone()?;
        let mut cli: Cli = filled(self.template.as_ref()?, host).try_into().ok()?;
        if *host != choice.default {
            cli.env.insert(choice.var, host.to_string());
        }
        Some(Self { cli: Some(cli), ..self.clone() })
    }
}

/// Returns a CLI's table with the host in the place of [`HOST`], in names and in texts.
pub(crate) fn filled(table: &Value, host: &Host) -> Value {
    let text = |text: &str| text.replace(HOST, host.as_str());
    match table {
        Value::String(found) => Value::String(text(found)),
        Value::Array(values) => Value::Array(values.iter().map(|value| filled(value, host)).collect()),
        Value::Table(members) => {
            let member = |(name, value): (&String, &Value)| (text(name), filled(value, host));
            Value::Table(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

/// Returns whether a table has the placeholder anywhere.
pub(crate) fn has_placeholder(table: &Value) -> bool {
    match table {
        Value::String(text) => text.contains(HOST),
        Value::Array(values) => values.iter().any(has_placeholder),
        Value::Table(members) => {
            members.iter().any(|(name, value)| name.contains(HOST) || has_placeholder(value))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn host_is_rejected_when_it_is_not_a_dns_name() {
        let long = format!("{}.example", "a".repeat(64));
        let bad = [
            "",
            ".",
            "-x",
            "--with-token",
            "a b",
            "a/b",
            "a/../b",
            "https://ghe.example",
            "ghe.example:8443",
            "ghe.example.",
            "ghe..example",
            "ghe-.example",
            "g_e.example",
            "user@ghe.example",
            "10.0.0.1",
            "0x7f000001",
            "[::1]",
            "ghe.exa\nmple",
            "ghé.example",
            "{host}",
            "a~1b",
            &long,
        ];
        for text in bad {
            assert_eq!(text.parse::<Host>(), Err(InvalidHost), "{text:?}");
        }
        for text in ["github.com", "ghe", "ghe.corp.example", "xn--gh-bja.example", "1and1.example"] {
            assert_eq!(text.parse::<Host>().map(|host| host.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("GHE.Corp.Example".parse::<Host>().unwrap().as_str(), "ghe.corp.example");
    }

    #[test]
    fn provider_uses_chosen_host_everywhere_when_it_is_not_the_default() {
        let registry = Registry::builtin().unwrap();
        let github = registry.provider("github").unwrap();
        let host: Host = "ghe.corp.example".parse().unwrap();
        let there = github.at_host(&host).unwrap();
        let (cli, usual) = (there.cli.as_ref().unwrap(), github.cli.as_ref().unwrap());
        assert_eq!(usual.env.get("GH_HOST"), None);
        assert_eq!(cli.env.get("GH_HOST").map(String::as_str), Some("ghe.corp.example"));
        for recipe in &cli.recipes {
            assert!(recipe.args.contains(&host.to_string()), "{:?}", recipe.args);
        }
        assert_eq!(cli.url_hosts, ["ghe.corp.example"]);
        assert_eq!(cli.credential[0].requires, ["/ghe.corp.example/oauth_token"]);
        let subject = cli.credential[0].subject.as_ref().unwrap();
        assert_eq!(subject.pointer, "/ghe.corp.example/user");
        assert!(cli.logout.as_ref().unwrap().contains(&host.to_string()));
        let whole = format!("{cli:?}");
        assert!(!whole.replace("default: Host(\"github.com\")", "").contains("github.com\""), "{whole}");
        let back = there.at_host(github.default_host().unwrap()).unwrap();
        assert_eq!(format!("{:?}", back.cli), format!("{:?}", github.cli));
        assert!(registry.provider("codex").unwrap().at_host(&host).is_none());
    }

    #[test]
    fn placeholder_is_rejected_when_there_is_no_choice_of_hosts() {
        let text = "[providers.codex.cli]\nurl-hosts = [\"{host}\"]";
        let overlay = crate::Overlay { source: "own.toml".to_owned(), text: text.to_owned() };
        let error = Registry::with_overlays(&[overlay]).unwrap_err();
        assert!(error.to_string().contains("[cli.host]"), "{error}");
    }
}
