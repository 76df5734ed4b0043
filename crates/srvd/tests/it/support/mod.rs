//! Parts of tests: a daemon with its own directories, programs and terminals to drive, and the fake CLI.

mod clis;
mod daemon;
pub(crate) mod fake;
pub(crate) mod namespace;
pub(crate) mod planted;
mod processes;
pub(crate) mod program;
pub(crate) mod terminal;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use clis::{clis, optional};
pub(crate) use daemon::{
    Daemon, Endpoint, Home, KEY, attached, event, is_over, now, private_directory, private_file, store,
    unrooted_store,
};
pub(crate) use processes::{has_variable, left_over, processes, standing_in};

/// Longest time that a step may take before a test fails. The limit is generous, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The database server of the tests. One test at a time uses it, because one daemon at a time may serve a database.
pub(crate) struct Postgres {
    pub(crate) url: String,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// Waits for the turn of this test at the database server.
pub(crate) async fn postgres() -> Postgres {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let url = std::env::vars().find(|(name, _)| name == "SRVD_TEST_POSTGRES");
    let (_, url) = url.expect("SRVD_TEST_POSTGRES is not set: run scripts/test.sh, which starts a server");
    Postgres { url, _turn: TURN.lock().await }
}

/// Waits until the condition holds, and returns the duration.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

/// Returns the variables that a launch sets, without those by which the shipped registry's CLIs find their homes. Every
/// launch sets these, whether or not it has an account of the provider.
pub(crate) fn credentials(launch: &Value) -> Value {
    let registry = auth_spawner::Registry::builtin().unwrap();
    let mut set = launch["set"].as_object().unwrap().clone();
    set.retain(|name, _| !name.starts_with("XDG_"));
    for cli in registry.iter().filter_map(|provider| provider.cli.as_ref()) {
        let leads = std::iter::once(&cli.config_dir.var).chain(cli.config_dir.extra_vars.keys());
        leads.chain(cli.env.keys()).chain(cli.logged_out.keys()).for_each(|name| {
            set.remove(name);
        });
    }
    set.into()
}

/// Repeats a step while its result is that the machine was too busy, and returns the first other result.
pub(crate) fn patiently<T>(step: impl Fn() -> T, was_late: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let done = step();
        if !was_late(&done) || begun.elapsed() > PATIENCE {
            return done;
        }
    }
}

/// Returns whether a message says that a CLI had too little time to answer.
pub(crate) fn is_late(message: &str) -> bool {
    message.contains("did not answer within") || message.contains("no time left to ask")
}

/// Returns every regular file below a directory.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
