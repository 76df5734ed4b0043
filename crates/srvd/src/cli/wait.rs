//! `srvd wait`: waits until the daemon answers, for scripts that start it.

use std::time::{Duration, Instant};

use super::client::Connection;
use super::failure::{Failure, code};
use crate::base::endpoint::Endpoint;
use crate::config::Config;
use crate::wire::daemon::Info;

/// The time between two tries. A daemon starts within a few of these.
const INTERVAL: Duration = Duration::from_millis(25);

/// The maximum number of further looks for the file in the daemon's runtime directory.
const ANNOUNCING: u32 = 80;

/// Arguments of `srvd wait`.
#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    /// Longest time to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    timeout: u64,
}

/// Tries to connect until the time is over, and then returns the failure of the last try.
pub(super) async fn run(args: &WaitArgs, config: &Config) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(INTERVAL);
        let failure = match tokio::time::timeout(left, look(config)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(code::UNAVAILABLE, "the daemon did not answer in time"),
        };
        if Instant::now() >= deadline {
            return Err(failure);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn look(config: &Config) -> Result<(), Failure> {
    let daemon = Connection::open(config).await?;
    daemon.call(&Info {}).await?;
    // A daemon that was found by its other file writes this one last, and scripts read it next.
    let announced = || daemon.endpoint.socket.parent().is_none_or(|dir| Endpoint::path(dir).exists());
    for _ in 0..ANNOUNCING {
        if announced() {
            break;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}
