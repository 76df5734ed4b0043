//! Idle connections: the server memory that each one costs.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{Plan, TIMES, Turns};
use crate::report::{Goal, Report};
use crate::servers::{Running, Server};
use crate::socket::Socket;

const MEMORY: &str = "memory";
const CONNECTIONS: usize = 5000;
/// The number of connections opened at a time.
const BATCH: usize = 50;
const WORK: &str = "5,000 idle connections";
/// The time for which a server is left idle before its memory is measured.
const REST: Duration = Duration::from_secs(1);

/// Compares the servers.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let servers = [Server::Srvd, Server::Jsonrpsee, Server::Raw, Server::Node];
    let mut turns = Turns::start(plan, report, WORK, &servers).await;
    // Memory does not depend on the machine's speed, so one round is enough.
    turns.round(report, async |_, running| Ok(vec![(MEMORY, grown(running).await?)])).await;
    turns.figures(report, MEMORY, "KiB each");
    turns.ratio(report, Server::Jsonrpsee, MEMORY, Goal::at_most(0.40, TIMES));
    Ok(())
}

async fn grown(running: &Running) -> Result<f64> {
    // The first connection allocates what all connections share.
    let mut sockets = vec![Socket::open(&running.address).await?];
    tokio::time::sleep(REST).await;
    let before = running.process.resident()?;
    while sockets.len() <= CONNECTIONS {
        sockets.extend(try_join_all((0..BATCH).map(|_| Socket::open(&running.address))).await?);
    }
    tokio::time::sleep(REST).await;
    let grown = running.process.resident()?.saturating_sub(before);
    Ok(f64::from(u32::try_from(grown)?) / f64::from(u32::try_from(CONNECTIONS)?))
}
