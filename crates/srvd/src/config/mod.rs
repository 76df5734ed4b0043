//! Configuration, in rising precedence: defaults, `srvd.toml`, `SRVD_*` variables, flags. Unknown keys are errors.
//!
//! It holds the forge table, the network, the spawn policy, the sources of the encryption key, the search for CLIs and
//! the environment of children. It uses `base`. It must not open the store or know a request, and starts no process but
//! the login shell.

pub(crate) mod child;
mod file;
pub(crate) mod forges;
pub(crate) mod key;
pub(crate) mod keychain;
pub(crate) mod network;
mod reach;
mod roots;
pub(crate) mod search;
mod secrets;
mod words;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use file::within;
pub(crate) use file::{FileConfig, LONGEST_FILE};
use identity_store::DatabaseUrl;
pub(crate) use secrets::{ExternalSecret, Source};
pub(crate) use words::{LogFormat, SpawnPolicy};

use crate::base::endpoint;
use crate::base::environment::Environment;
use crate::base::programs::Search;
use crate::base::trust::{self, Trust, TrustError};
use forges::ForgeSettings;
use network::Network;

/// The effective configuration.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Directory of `srvd.toml`, `providers.d/` and `encryption.key`.
    pub config_dir: PathBuf,
    /// Directory of the database, the lock and the identities.
    pub data_dir: PathBuf,
    /// Directory of the socket, the token and `endpoint.json`.
    pub runtime_dir: PathBuf,
    /// True if a flag or a variable of srvd names the data directory or the runtime directory.
    pub places_are_named: bool,
    /// The user's home. Children receive it as `HOME`. Only adopted accounts use the CLI directories in it.
    pub home: PathBuf,
    /// True if the console is served to browsers.
    pub console: bool,
    /// True if the encryption key is in the OS keychain.
    pub keychain: bool,
    /// The database of identities.
    pub database: DatabaseUrl,
    /// The TCP listener; `None` when it is off.
    pub listen: Option<SocketAddr>,
    /// Values of `Host` that are served in addition to the loopback names, as `name:port`.
    pub hosts: Vec<String>,
    /// Values of `Origin` that are served; `scheme://*` stands for every host of the scheme.
    pub origins: Vec<String>,
    /// Filter of log messages, such as `info` or `srvd=debug`.
    pub log: String,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// Restrictions on the login command that a client may choose.
    pub spawn_policy: SpawnPolicy,
    /// Directories that are searched for CLIs, in this order; also the `PATH` of children.
    pub search: Search,
    /// True if the configuration names the directories of the search, so that no others are added.
    pub search_path_is_named: bool,
    /// The check of files and directories, with the paths that the operator accepts as they are.
    pub trust: Trust,
    /// The paths that `srvd.toml` accepts as they are.
    pub trusted_paths: Vec<PathBuf>,
    /// Variables of the daemon's own environment that are passed to children unchanged.
    pub base_env: Vec<(String, String)>,
    /// Variables that every child receives in addition to `base_env`, such as proxies and certificate files.
    pub child_env: Vec<(String, String)>,
    /// The way out of this machine, for requests, logins and launches.
    pub network: Network,
    /// Keys that are stored elsewhere, by the name that the operator gave them.
    pub secrets: std::collections::BTreeMap<String, ExternalSecret>,
    /// Maximum number of CLIs that run at once.
    pub live_logins: usize,
    /// Longest time that a login may take, in seconds, if its provider sets none.
    pub login_seconds: u64,
    /// Maximum number of authenticated connections that each listener serves at once.
    pub connections: usize,
    /// Maximum number of rows that the audit log keeps.
    pub audit_rows: u32,
    /// Longest time that a shutdown waits for running work, in seconds.
    pub shutdown_seconds: u64,
    /// Variables that launches let through.
    pub launch_keep: Vec<String>,
    /// True if CLI logins are kept alive, unless their account says otherwise.
    pub keepalive: bool,
    /// The forges at which the daemon is registered as an OAuth client.
    pub forges: Vec<ForgeSettings>,
    /// The time between two looks at the watched repositories of the active forge; `None` for no looks.
    pub forge_watch: Option<std::time::Duration>,
}

/// The directory below the data directory that is the home of a user without `HOME`. It is empty, so no login is found there.
const NO_HOME: &str = "no-home";

/// Command-line flags. They take precedence over all other settings.
#[expect(clippy::doc_markdown, reason = "these comments are help texts, which show what is typed")]
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Flags {
    /// Directory of srvd.toml, providers.d and the key [env: SRVD_CONFIG_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// Directory of the database and the identities [env: SRVD_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of the socket and endpoint.json [env: SRVD_RUNTIME_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// Database, sqlite:PATH or postgres://... [env: SRVD_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// TCP listener on a loopback address, or "off" [env: SRVD_LISTEN]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Log filter, such as "info" or "srvd=debug" [env: SRVD_LOG]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// Log format [env: SRVD_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Errors that make the configuration unusable. Each ends the program with exit code 78.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// `HOME` is not set and the directories are not given.
    #[error(
        "HOME is not set, so there is no place for srvd's files; set HOME or SRVD_CONFIG_DIR, SRVD_DATA_DIR and SRVD_RUNTIME_DIR"
    )]
    NoHome,
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// A file or directory is not used, because another user can change it or because it is not what it should be.
    #[error(transparent)]
    Untrusted(TrustError),
    /// A file cannot be parsed.
    #[error("{path}: {message}")]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// The parser's message, with the position.
        message: String,
    },
    /// A value cannot be used.
    #[error("{name}: {reason}")]
    Invalid {
        /// The key, variable or flag that holds the value.
        name: String,
        /// The problem with the value.
        reason: String,
    },
    /// A variable that starts with `SRVD_` but is not a setting.
    #[error("{0} is not a setting of srvd (known: {known})", known = VARIABLES.join(", "))]
    UnknownVariable(String),
}

const VARIABLES: &[&str] = &[
    "SRVD_CONFIG_DIR",
    "SRVD_DATA_DIR",
    "SRVD_RUNTIME_DIR",
    "SRVD_DATABASE_URL",
    "SRVD_LISTEN",
    "SRVD_LOG",
    "SRVD_LOG_FORMAT",
    trust::VARIABLE,
];

/// `SRVD_*` variables that are not settings: the mark of CLIs that a daemon started, and the variables that launches
/// and shims pass to each other (`cli/here.rs`, `cli/launch/shim.rs`).
#[rustfmt::skip]
const MARKS: &[&str] = &[
    "SRVD_SESSION", "SRVD_BUNDLE", "SRVD_INSTANCE", "SRVD_AGENT", "SRVD_USER", "SRVD_LAUNCHED", "SRVD_SHIM", "SRVD_DEPTH",
];

impl Config {
    /// Combines the layers into one configuration.
    ///
    /// # Errors
    /// [`ConfigError`], which names the value, key or variable that cannot be used.
    pub(crate) fn load(environment: &Environment, flags: &Flags) -> Result<Self, ConfigError> {
        refuse_unknown_variables(environment)?;
        let dirs = environment.directories();
        let dir = |flag: &Option<PathBuf>, default: Option<PathBuf>| {
            flag.clone().or(default).ok_or(ConfigError::NoHome)
        };
        let config_dir = dir(&flags.config_dir, dirs.as_ref().map(|dirs| dirs.config.clone()))?;
        let data_dir = roots::behind_link(dir(&flags.data_dir, dirs.as_ref().map(|dirs| dirs.data.clone()))?);
        let default_runtime = match (&flags.data_dir, dirs) {
            (Some(data), Some(dirs)) if dirs.runtime.starts_with(&dirs.data) => Some(data.join("run")),
            (_, dirs) => dirs.map(|dirs| dirs.runtime),
        };
        let runtime_dir = dir(&flags.runtime_dir, default_runtime)?;
        let named = |name: &str| environment.path(name).is_some();
        let places_are_named = flags.data_dir.is_some()
            || flags.runtime_dir.is_some()
            || named("SRVD_DATA_DIR")
            || named("SRVD_RUNTIME_DIR");
        let trust = Trust::of_process(environment.text(trust::VARIABLE));
        let file = FileConfig::read(&config_dir.join("srvd.toml"), &trust)?;
        let trusted_paths = search::absolute(trust::KEY, file.trusted_paths)?;
        let trust = trust.accepting(trusted_paths.clone());
        let home = environment.home().unwrap_or_else(|| data_dir.join(NO_HOME));
        let pick = |flag: &Option<String>, variable: &str, file: Option<String>| {
            flag.clone().or_else(|| environment.text(variable).map(str::to_owned)).or(file)
        };
        let database = pick(&flags.database_url, "SRVD_DATABASE_URL", file.database.url)
            .unwrap_or_else(|| format!("sqlite:{}", data_dir.join("srvd.db").display()));
        let listen =
            pick(&flags.listen, "SRVD_LISTEN", file.listen.tcp).unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let log_format = match (flags.log_format, environment.text("SRVD_LOG_FORMAT")) {
            (Some(format), _) => format,
            (None, Some(word)) => <LogFormat as clap::ValueEnum>::from_str(word, false)
                .map_err(|_| invalid("SRVD_LOG_FORMAT", "must be text or json"))?,
            (None, None) => file.log.format.unwrap_or(LogFormat::Text),
        };
        Ok(Self {
            console: file.console.unwrap_or(true),
            keychain: file.key.keychain,
            database: database.parse().map_err(|error| invalid("database.url", error))?,
            listen: reach::listener(&listen)?,
            hosts: reach::each("listen.hosts", file.listen.hosts, reach::check_host)?,
            origins: reach::each("listen.origins", file.listen.origins, crate::base::origin::check)?,
            log: pick(&flags.log, "SRVD_LOG", file.log.filter).unwrap_or_else(|| "info".to_owned()),
            log_format,
            spawn_policy: file.spawn.policy.unwrap_or(SpawnPolicy::Registered),
            search_path_is_named: !file.spawn.search_path.is_empty(),
            search: Search::new(
                search::configured(file.spawn.search_path, environment, &home)?,
                trust.clone(),
            ),
            trust,
            trusted_paths,
            base_env: child::base_env(environment, &home),
            network: Network::read(file.network, environment, &file.spawn.environment)?,
            child_env: child::configured(file.spawn.environment)?,
            secrets: secrets::read(file.secrets, environment)?,
            live_logins: within("spawn.live_logins", file.spawn.live_logins, 32, 1..=1024)?,
            login_seconds: within("spawn.login_seconds", file.spawn.login_seconds, 900, 5..=86_400)?,
            connections: within("listen.connections", file.listen.connections, 64, 1..=100_000)?,
            audit_rows: within("audit.rows", file.audit.rows, 100_000, 1000..=100_000_000)?,
            shutdown_seconds: within("shutdown_seconds", file.shutdown_seconds, 10, 0..=600)?,
            launch_keep: file.launch.keep()?,
            forge_watch: file.forge_watch.interval()?,
            keepalive: file.keepalive.enabled.unwrap_or(true),
            forges: forges::check(file.forges)
                .map_err(|(key, reason)| invalid(&format!("forges.{key}"), reason))?,
            config_dir,
            data_dir,
            runtime_dir,
            places_are_named,
            home,
        })
    }

    /// Returns the places that may hold the encryption key.
    pub(crate) fn key_sources(&self) -> key::Sources {
        let (config_dir, trust) = (self.config_dir.clone(), self.trust.clone());
        key::Sources { config_dir, keychain: self.keychain, trust }
    }

    /// Path of the Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime_dir.join("srvd.sock")
    }

    /// Returns the directories that may hold the endpoint file of the daemon, in the order in which clients look: the
    /// runtime directory and the data directory. If neither is named, the user's daemon can also be one of a login
    /// session or of a system unit.
    pub(crate) fn endpoint_dirs(&self) -> Vec<PathBuf> {
        search::unique(endpoint::dirs(&self.runtime_dir, &self.data_dir, self.places_are_named))
    }

    /// The directory in which bundles keep their CLI directories.
    pub(crate) fn identities(&self) -> PathBuf {
        self.data_dir.join("identities")
    }

    /// The directory of CLI data that all bundles share: caches, never credentials.
    pub(crate) fn shared(&self) -> PathBuf {
        self.data_dir.join("shared")
    }

    /// Returns the configuration in the format of `srvd.toml`, without secrets, for `--print-config`.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        let quoted = |value: &str| toml::Value::from(value).to_string();
        let list = |values: &[String]| toml::Value::from(values.to_vec()).to_string();
        let shown = |paths: &[PathBuf]| {
            list(&paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>())
        };
        let listen = self.listen.map_or_else(|| "off".to_owned(), |address| address.to_string());
        let format = if self.log_format == LogFormat::Json { "json" } else { "text" };
        let policy = if self.spawn_policy == SpawnPolicy::Checked { "checked" } else { "registered" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# config directory:  {}\n# data directory:    {}\n# runtime directory: {}\n\
             console = {}\nshutdown_seconds = {}\ntrusted_paths = {}\n\n[key]\nkeychain = {}\n\n[database]\nurl = {}\n\n\
             [listen]\ntcp = {}\nhosts = {}\norigins = {}\nconnections = {}\n\n[audit]\nrows = {}\n\n[log]\nfilter = {}\nformat = {}\n\n\
             [launch]\nkeep = {}\n\n[keepalive]\nenabled = {}\n\n[spawn]\npolicy = {}\nsearch_path = {}\nlive_logins = {}\nlogin_seconds = {}\n\n[spawn.environment]\n",
            self.config_dir.display(),
            self.data_dir.display(),
            self.runtime_dir.display(),
            self.console,
            self.shutdown_seconds,
            shown(&self.trusted_paths),
            self.keychain,
            quoted(&self.database.to_string()),
            quoted(&listen),
            list(&self.hosts),
            list(&self.origins),
            self.connections,
            self.audit_rows,
            quoted(&self.log),
            quoted(format),
            list(&self.launch_keep),
            self.keepalive,
            quoted(policy),
            shown(self.search.dirs()),
            self.live_logins,
            self.login_seconds,
        );
        for (name, _) in &self.child_env {
            let _ = writeln!(text, "{name} = \"[REDACTED]\"");
        }
        text.push_str(&self.network.print());
        text.extend(self.secrets.iter().map(|(name, secret)| secret.print(name)));
        for forge in &self.forges {
            text.push_str(&forge.print());
        }
        let _ = write!(
            text,
            "\n[forge_watch]\nseconds = {}\n",
            self.forge_watch.map_or(0, |every| every.as_secs())
        );
        text
    }
}

fn refuse_unknown_variables(environment: &Environment) -> Result<(), ConfigError> {
    // Variables of the form SRVD_TEST_* are reserved for test scripts.
    let means_something = |name: &String| {
        VARIABLES.contains(&name.as_str()) || MARKS.contains(&name.as_str()) || name.starts_with("SRVD_TEST_")
    };
    match environment.names_with("SRVD_").into_iter().find(|name| !means_something(name)) {
        Some(name) => Err(ConfigError::UnknownVariable(name)),
        None => Ok(()),
    }
}

fn invalid(name: &str, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Invalid { name: name.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
