//! `[network]`: the way out of this machine, for the daemon's own requests, for logins and for launches.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::{ConfigError, invalid};
use crate::base::environment::Environment;
use crate::hint::{Hint, Step};

/// The table in `srvd.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NetworkTable {
    proxy: Option<String>,
    no_proxy: Vec<String>,
    ca_file: Option<PathBuf>,
    from_environment: bool,
}

/// The way out of this machine. `Debug` shows no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// The address of the proxy, with its user and password if it has any.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy, besides this machine's own names.
    pub no_proxy: Vec<String>,
    /// A PEM file with certificate authorities that are trusted in addition to those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Names of variables about proxies and certificates in the daemon's own environment that no setting takes over.
    pub left_aside: Vec<&'static str>,
}

/// Variables with the address of a proxy, the most specific one first. All requests that matter here are for `https`.
const PROXY: &[&str] = &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy"];
const CA_FILE: &[&str] = &["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"];
/// Names of this machine, which no proxy can reach. CLIs receive the answers of browsers there.
const LOCAL: &str = "localhost,127.0.0.1,::1";
/// Name of the file with the authorities of this machine and those of `ca_file`, in the data directory.
const BUNDLE: &str = "ca-bundle.pem";

impl Network {
    /// Reads the table. Its own keys take precedence over the environment. `of_children` is `[spawn.environment]`, which may
    /// set the same variables for CLIs.
    ///
    /// # Errors
    /// [`ConfigError`], with the key that cannot be used.
    pub(super) fn read(
        table: NetworkTable,
        environment: &Environment,
        of_children: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, environment.text(name)?.to_owned())))
        };
        let inherited = |names| if table.from_environment { first(names) } else { None };
        let proxy = named("network.proxy", table.proxy).or_else(|| inherited(PROXY));
        let ca_file = table.ca_file.map(|path| ("network.ca_file", path));
        let ca_file = ca_file.or_else(|| inherited(CA_FILE).map(|(name, path)| (name, PathBuf::from(path))));
        let no_proxy = match inherited(NO_PROXY) {
            Some((_, list)) if table.no_proxy.is_empty() => {
                list.split(',').map(str::trim).map(str::to_owned).collect()
            }
            _ => table.no_proxy,
        };
        if let Some(bad) = no_proxy.iter().find(|host| host.contains([',', ' '])) {
            return Err(invalid("network.no_proxy", format!("{bad} is not a host; write one in each text")));
        }
        let set = [PROXY, CA_FILE].concat().into_iter().filter(|name| environment.text(name).is_some());
        let set = set.filter(|name| !of_children.keys().any(|own| own.eq_ignore_ascii_case(name)));
        Ok(Self {
            left_aside: if proxy.is_some() || ca_file.is_some() { Vec::new() } else { set.collect() },
            proxy: proxy.map(|(name, address)| checked_proxy(name, &address)).transpose()?,
            no_proxy: no_proxy.into_iter().filter(|host| !host.is_empty()).collect(),
            ca_file: ca_file.map(|(name, path)| checked_file(name, path)).transpose()?,
        })
    }

    /// Returns the address of the proxy without user and password.
    pub(crate) fn shown_proxy(&self) -> Option<String> {
        let mut address = Url::parse(self.proxy.as_deref()?).ok()?;
        // These fail only for an address without a host, which is refused when it is read.
        let _ = address.set_username("");
        let _ = address.set_password(None);
        Some(address.to_string())
    }

    /// Returns the list of hosts without a proxy, as variables have it.
    pub(crate) fn excepted(&self) -> String {
        std::iter::once(LOCAL).chain(self.no_proxy.iter().map(String::as_str)).collect::<Vec<_>>().join(",")
    }

    /// Returns the path of the file with all authorities, for programs that read one file only.
    pub(crate) fn bundle(data_dir: &Path) -> PathBuf {
        data_dir.join(BUNDLE)
    }

    /// Returns the variables by which programs take the setting over. Programs differ in the case of the names.
    pub(crate) fn variables(&self, data_dir: &Path) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        if let Some(proxy) = &self.proxy {
            let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
            variables.extend(names.map(|name| (name.to_owned(), proxy.clone())));
            variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name.to_owned(), self.excepted())));
            // Node's own client heeds the variables only with this one.
            variables.push(("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()));
        }
        if let Some(file) = &self.ca_file {
            variables.push(("NODE_EXTRA_CA_CERTS".to_owned(), file.display().to_string()));
            let bundle = Self::bundle(data_dir);
            let whole = if bundle.is_file() { bundle.display() } else { file.display() }.to_string();
            let names = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
            variables.extend(names.map(|name| (name.to_owned(), whole.clone())));
        }
        variables
    }

    /// Returns the next step after a request that failed on the network, if this setting may be the reason.
    pub(crate) fn advice(&self) -> Option<Hint> {
        if let Some(proxy) = self.shown_proxy() {
            return Some(Step::CheckProxy { proxy }.into());
        }
        let variable = (*self.left_aside.first()?).to_owned();
        Some(Step::UseDaemonsNetwork { variable }.into())
    }

    /// Returns the table in the format of `srvd.toml`, without the proxy's password.
    pub(super) fn print(&self) -> String {
        let quoted = |text: String| toml::Value::from(text).to_string();
        let mut text = "\n[network]\n".to_owned();
        // Writing to a String cannot fail.
        if let Some(proxy) = self.shown_proxy() {
            let _ = writeln!(text, "proxy = {}", quoted(proxy));
        }
        let _ = writeln!(text, "no_proxy = {}", toml::Value::from(self.no_proxy.clone()));
        if let Some(file) = &self.ca_file {
            let _ = writeln!(text, "ca_file = {}", quoted(file.display().to_string()));
        }
        text
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("proxy", &self.shown_proxy())
            .field("no_proxy", &self.no_proxy)
            .field("ca_file", &self.ca_file)
            .field("left_aside", &self.left_aside)
            .finish()
    }
}

fn named(name: &'static str, value: Option<String>) -> Option<(&'static str, String)> {
    value.map(|value| (name, value))
}

fn checked_proxy(name: &str, address: &str) -> Result<String, ConfigError> {
    // Variables often hold an address without a scheme.
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    // The reasons do not repeat the address, which may hold a password.
    let parsed = Url::parse(&whole)
        .map_err(|_| invalid(name, "is not an address such as http://proxy.example:3128"))?;
    if parsed.scheme() != "http" {
        return Err(invalid(name, format!("{}:// proxies are not supported; use http://", parsed.scheme())));
    }
    if parsed.host_str().is_none_or(str::is_empty) || parsed.path() != "/" || parsed.query().is_some() {
        return Err(invalid(name, "is not an address such as http://proxy.example:3128"));
    }
    Ok(whole.trim_end_matches('/').to_owned())
}

fn checked_file(name: &str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(invalid(name, format!("{} is not an absolute path", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str, vars: &[(&'static str, &str)]) -> Result<Network, String> {
        let environment = Environment::of(vars.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Network::read(toml::from_str(toml).unwrap(), &environment, &BTreeMap::new())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn network_takes_the_environment_over_only_when_it_is_told_to() {
        let vars = [
            ("HTTPS_PROXY", "proxy.corp:3128"),
            ("NO_PROXY", "a.corp, .b.corp,"),
            ("NODE_EXTRA_CA_CERTS", "/ca.pem"),
        ];
        let ignored = read("", &vars).unwrap();
        assert_eq!((&ignored.proxy, &ignored.ca_file), (&None, &None));
        assert_eq!(ignored.left_aside, ["HTTPS_PROXY", "NODE_EXTRA_CA_CERTS"]);
        assert!(ignored.advice().unwrap().as_str().contains("[network]"));
        assert!(ignored.variables(Path::new("/d")).is_empty());
        let own = [("https_proxy".to_owned(), String::new())].into();
        let environment = Environment::of([("HTTPS_PROXY", "p:1".to_owned())]);
        let told = Network::read(NetworkTable::default(), &environment, &own).unwrap();
        assert!(told.left_aside.is_empty(), "the CLIs get another one");
        let taken = read("from_environment = true", &vars).unwrap();
        assert_eq!(taken.proxy.as_deref(), Some("http://proxy.corp:3128"));
        assert_eq!(taken.no_proxy, ["a.corp", ".b.corp"]);
        assert_eq!(taken.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        assert!(taken.left_aside.is_empty());
        let own =
            read("from_environment = true\nproxy = \"http://own:1\"\nno_proxy = [\"c\"]", &vars).unwrap();
        assert_eq!((own.proxy.as_deref(), own.no_proxy), (Some("http://own:1"), vec!["c".to_owned()]));
        assert_eq!(read("", &[]).unwrap(), Network::default());
        assert_eq!(Network::default().advice(), None);
    }

    #[test]
    fn network_variables_have_both_cases_and_never_send_this_machine_to_the_proxy() {
        let network =
            read("proxy = \"http://u:secret@p:1/\"\nno_proxy = [\".corp\"]\nca_file = \"/ca.pem\"", &[])
                .unwrap();
        let variables: BTreeMap<_, _> = network.variables(Path::new("/no-such-dir")).into_iter().collect();
        for (name, value) in [
            ("HTTPS_PROXY", "http://u:secret@p:1"),
            ("https_proxy", "http://u:secret@p:1"),
            ("HTTP_PROXY", "http://u:secret@p:1"),
            ("NO_PROXY", "localhost,127.0.0.1,::1,.corp"),
            ("no_proxy", "localhost,127.0.0.1,::1,.corp"),
            ("NODE_EXTRA_CA_CERTS", "/ca.pem"),
            ("SSL_CERT_FILE", "/ca.pem"),
        ] {
            assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
        }
        for text in [format!("{network:?}"), network.print(), network.advice().unwrap().to_string()] {
            assert!(!text.contains("secret") && text.contains("http://p:1/"), "{text}");
        }
    }

    #[test]
    fn network_refuses_values_that_cannot_work_without_repeating_a_password() {
        for (toml, expect) in [
            ("proxy = \"socks5://u:secret@p:1\"", "network.proxy: socks5:// proxies are not supported"),
            ("proxy = \"https://p:1\"", "network.proxy: https:// proxies are not supported"),
            ("proxy = \"http://u:secret@\"", "network.proxy: is not an address"),
            ("proxy = \"http://p:1/path\"", "network.proxy: is not an address"),
            ("no_proxy = [\"a,b\"]", "network.no_proxy: a,b is not a host"),
            ("ca_file = \"ca.pem\"", "network.ca_file: ca.pem is not an absolute path"),
        ] {
            let error = read(toml, &[]).unwrap_err();
            assert!(error.contains(expect) && !error.contains("secret"), "{error}");
        }
    }
}
