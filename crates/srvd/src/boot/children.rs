//! What every child of the daemon is given, and how it is known again.

use std::hash::{Hash as _, Hasher as _};

use auth_spawner::{ChildEnv, GuardCommand};

use crate::config::Config;

/// How the guard process is started. On Linux it is this very program, whatever lies at its path by now, and it is not
/// called `srvd`, so that a `pkill -9 srvd` leaves it to do its work.
pub(super) fn guard_command() -> std::io::Result<GuardCommand> {
    let own = std::path::PathBuf::from("/proc/self/exe");
    Ok(GuardCommand {
        program: if own.exists() { own } else { std::env::current_exe()? },
        name: "srvd".into(),
        args: vec![crate::cli::GUARD.into()],
    })
}

/// The mark of whatever asks a CLI for its version: the same for every daemon of a data directory, so that a later one
/// knows what an earlier one left behind.
pub(super) fn probes(config: &Config) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    config.data_dir.hash(&mut hasher);
    format!("probe-{:016x}", hasher.finish())
}

/// The mark of this daemon's: the guard of the one before may still be looking for its own.
pub(super) fn probe_mark(config: &Config, epoch: &str) -> String {
    format!("{}.{epoch}", probes(config))
}

/// What a CLI gets that is asked for its version.
pub fn probe_env(config: &Config, epoch: &str) -> ChildEnv {
    let mut env = child_env(config);
    env.mark(&probe_mark(config, epoch));
    env
}

/// The variables that every child gets, from an empty environment: nothing of the daemon's own.
pub fn child_env(config: &Config) -> ChildEnv {
    let mut env = config.base_env.clone();
    let path = std::env::join_paths(&config.search_path).unwrap_or_default();
    env.push(("PATH".to_owned(), path.to_string_lossy().into_owned()));
    env.extend(config.child_env.iter().cloned());
    ChildEnv::from_iter(env)
}
