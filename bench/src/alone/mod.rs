//! Parts that measure only the daemon, from a user's point of view: at its sockets and with its commands.
//!
//! Each part starts its own daemon and uses the modules at the top level of this crate. This module knows nothing about
//! the peers, which belong in [`crate::beside`].

pub(crate) mod build;
pub(crate) mod commands;
mod courses;
mod crowd;
pub(crate) mod events;
mod issuer;
pub(crate) mod launches;
pub(crate) mod logins;
pub(crate) mod profiles;
pub(crate) mod refresh;
pub(crate) mod rest;
pub(crate) mod urls;
pub(crate) mod watching;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::daemon::Home;

/// The time for which a daemon is left idle before its memory is measured.
const REST: Duration = Duration::from_secs(2);

/// The settings of these parts.
pub(crate) struct Alone {
    pub(crate) srvd: PathBuf,
    /// The scripted CLI, which is an example of `auth-spawner`.
    pub(crate) fake_cli: Option<PathBuf>,
    /// An existing directory for all output files. The caller removes it.
    pub(crate) work: PathBuf,
    /// An empty database on a server, on which profiles are measured as well.
    pub(crate) postgres: Option<String>,
    pub(crate) amount: Amount,
}

impl Alone {
    /// Creates the directories of a daemon. Each part has separate ones.
    fn home(&self, part: &str) -> Result<Home> {
        Home::new(&self.work.join(part), &self.srvd)
    }

    /// Creates the directories of a daemon whose provider `fake` is the scripted CLI.
    fn home_with_fake_cli(&self, part: &str) -> Result<Home> {
        let home = self.home(part)?;
        let program = self.fake_cli.as_ref().context("this part requires --fake-cli")?;
        courses::install(&home, program)?;
        Ok(home)
    }
}

/// The number of items and repetitions.
pub(crate) struct Amount {
    accounts: usize,
    boots: usize,
    logins: usize,
    /// Starts and exits of a CLI, and runs of a command.
    runs: usize,
    /// Calls of one kind.
    calls: usize,
    /// Watched logins.
    watched: usize,
    changes: usize,
    profiles: usize,
    /// Tokens due for a refresh.
    tokens: usize,
}

pub(crate) const WHOLE: Amount = Amount {
    accounts: 10_000,
    boots: 20,
    logins: 200,
    runs: 100,
    calls: 2000,
    watched: 2000,
    changes: 600,
    profiles: 100_000,
    tokens: 10_000,
};

pub(crate) const QUICK: Amount = Amount {
    accounts: 1000,
    boots: 5,
    logins: 40,
    runs: 20,
    calls: 400,
    watched: 100,
    changes: 100,
    profiles: 5000,
    tokens: 400,
};

/// Returns the Unix time in microseconds, from the same clock that the scripted CLI uses.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros())
}

/// Returns the time in a URL printed by the scripted CLI.
fn written(url: &str) -> Result<u128> {
    let (_, time) = url.split_once("t=").context("the URL has no time")?;
    Ok(time.parse()?)
}

fn since(from: u128, to: u128) -> Duration {
    Duration::from_micros(u64::try_from(to.saturating_sub(from)).unwrap_or(u64::MAX))
}

/// Converts kilobytes (1024 bytes) to megabytes of 10^6 bytes.
fn megabytes(kilobytes: u64) -> f64 {
    f64::from(u32::try_from(kilobytes).unwrap_or(u32::MAX)) * 1.024 / 1000.0
}

/// Converts a count to a floating-point number.
fn count(items: usize) -> f64 {
    f64::from(u32::try_from(items).unwrap_or(u32::MAX))
}
