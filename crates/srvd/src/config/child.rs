//! The environment of the daemon's children, and the marks by which they are recognized.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;

use auth_spawner::ChildEnv;

use super::{Config, ConfigError, invalid};
use crate::base::environment::{Environment, is_variable_name};

/// Returns the mark of processes that ask a CLI for its version. It is the same for every daemon of a data directory,
/// so that a later daemon recognizes the processes that an earlier one left behind.
pub(crate) fn probes(config: &Config) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    config.data_dir.hash(&mut hasher);
    format!("probe-{:016x}", hasher.finish())
}

/// Returns the mark of this daemon's own probes. The guard of the previous daemon may still be searching for its
/// probes.
pub(crate) fn probe_mark(config: &Config, epoch: &str) -> String {
    format!("{}.{epoch}", probes(config))
}

/// Returns the environment of a CLI that is asked for its version.
pub(crate) fn probe_env(config: &Config, epoch: &str) -> ChildEnv {
    let mut env = child_env(config);
    env.mark(&probe_mark(config, epoch));
    env
}

/// Returns the mark of CLIs that renew their logins. They outlive a daemon that crashes, so that none is ended while it
/// saves a new token. The next daemon waits for them.
pub(crate) fn keepers(config: &Config) -> String {
    probes(config).replace("probe-", "keeper-")
}

/// Returns the environment of a CLI that renews its login.
pub(crate) fn keeper_env(config: &Config, epoch: &str) -> ChildEnv {
    let mut env = child_env(config);
    env.mark(&format!("{}.{epoch}", keepers(config)));
    env
}

/// Returns the variables of every child. They start from an empty environment, without the daemon's own variables.
pub(crate) fn child_env(config: &Config) -> ChildEnv {
    let mut env = config.base_env.clone();
    let path = std::env::join_paths(config.search.dirs()).unwrap_or_default();
    env.push(("PATH".to_owned(), path.to_string_lossy().into_owned()));
    env.extend(config.network.variables(&config.data_dir));
    env.extend(config.child_env.iter().cloned());
    ChildEnv::from_iter(env)
}

/// Returns the variables that `spawn.environment` sets for every child.
pub(super) fn configured(table: BTreeMap<String, String>) -> Result<Vec<(String, String)>, ConfigError> {
    for (name, value) in &table {
        if !is_variable_name(name) || value.contains('\0') {
            return Err(invalid(
                &format!("spawn.environment.{name}"),
                "not a valid name or value of an environment variable",
            ));
        }
    }
    Ok(table.into_iter().collect())
}

/// Returns the variables that any program needs to run. None is a credential, sets a proxy or loads code. Without a `HOME`
/// of the user, programs get the stand-in, as many of them look up the user's home in the system's list otherwise.
pub(super) fn base_env(environment: &Environment, home: &Path) -> Vec<(String, String)> {
    let names = ["USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"].map(str::to_owned);
    let locale = environment.names_with("LC_");
    let value = |name: String| environment.text(&name).map(str::to_owned).map(|value| (name, value));
    let home = ("HOME".to_owned(), home.to_string_lossy().into_owned());
    std::iter::once(home).chain(names.into_iter().chain(locale).filter_map(value)).collect()
}
