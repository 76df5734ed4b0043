//! Idle connections: the memory that each costs the server.

use std::time::Duration;

use anyhow::Result;

use crate::Plan;
use crate::report::{Goal, Report};
use crate::rounds::Rounds;
use crate::servers::Server;
use crate::socket::Socket;

const MEMORY: &str = "memory";
const CONNECTIONS: u32 = 5000;
const WORK: &str = "5,000 idle connections";
/// Idle time of a server before its memory is read.
const REST: Duration = Duration::from_secs(1);

/// Compares the servers.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let present = plan.programs.present(&[Server::Srvd, Server::Jsonrpsee, Server::Raw, Server::Node]);
    let mut rounds = Rounds::default();
    // Memory does not depend on the machine's speed, so one round is enough.
    for server in &present {
        let running = plan.programs.start(*server)?;
        // The first connection allocates what all connections share.
        let mut sockets = vec![Socket::open(&running.address).await?];
        tokio::time::sleep(REST).await;
        let before = running.process.resident()?;
        for _ in 0..CONNECTIONS {
            sockets.push(Socket::open(&running.address).await?);
        }
        tokio::time::sleep(REST).await;
        let grown = running.process.resident()?.saturating_sub(before);
        rounds.add(server.name(), MEMORY, f64::from(u32::try_from(grown)?) / f64::from(CONNECTIONS));
        report.figure(WORK, server.name(), "KiB each", rounds.median(server.name(), MEMORY));
    }
    let ratio = rounds.ratio(Server::Srvd.name(), Server::Jsonrpsee.name(), MEMORY);
    report.ratio(WORK, Server::Jsonrpsee.name(), ratio, Goal::AtMost(0.40));
    Ok(())
}
