//! `srvd wait`: for scripts that start the daemon and go on when it answers.

use std::time::{Duration, Instant};

use super::client::Connection;
use super::failure::{Failure, code};
use crate::api::daemon::Info;
use crate::config::Config;

/// Between two looks; a daemon is up within a few of these.
const INTERVAL: Duration = Duration::from_millis(25);

/// `srvd wait`.
#[derive(Debug, clap::Args)]
pub(super) struct WaitArgs {
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    timeout: u64,
}

/// Looks again and again, and says why the last look failed when the time is over.
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
    Connection::open(config).await?.call(&Info {}).await?;
    Ok(())
}
