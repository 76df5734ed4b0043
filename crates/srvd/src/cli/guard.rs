//! `srvd __guard`: the process that outlives the daemon for as long as it takes to end the logins' processes.

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;

/// Watches until the daemon is gone and ends what it left.
pub(super) fn run() -> Result<(), Failure> {
    deafen()?;
    auth_spawner::watch_over(std::io::stdin().lock());
    Ok(())
}

/// Takes over the signals that are meant for the daemon, which a service manager or a terminal sends to everybody.
/// The handlers stay in place, and do nothing, when the runtime that installed them is gone.
fn deafen() -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_io().build().map_err(Failure::io)?;
    let _context = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        drop(signal(kind).map_err(Failure::io)?);
    }
    Ok(())
}
