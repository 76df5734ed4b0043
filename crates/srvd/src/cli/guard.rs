//! `srvd __guard`: the process that ends the logins' processes after the daemon has ended.

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;

/// Waits until the daemon has ended, and then ends the processes that it left.
pub(super) fn run() -> Result<(), Failure> {
    deafen()?;
    auth_spawner::watch_over(std::io::stdin().lock());
    Ok(())
}

/// Handles the signals that are meant for the daemon, because a service manager or a terminal sends them to all
/// processes. The handlers do nothing. They stay installed after their runtime has been dropped.
fn deafen() -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_io().build().map_err(Failure::io)?;
    let _context = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        drop(signal(kind).map_err(Failure::io)?);
    }
    Ok(())
}
