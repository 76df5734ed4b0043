//! The time from the start of the program on an empty database until it accepts connections, and its memory then.

use std::time::Duration;

use anyhow::Result;

use crate::Plan;
use crate::report::{Goal, Report};
use crate::rounds::Rounds;
use crate::servers::Server;

const TIME: &str = "time";
const MEMORY: &str = "memory";
/// The number of starts in each round.
const STARTS: usize = 4;
/// Idle time of a server before its memory is read.
const REST: Duration = Duration::from_millis(500);

/// Compares the daemon with the smallest program that could do its work.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let servers = [Server::Srvd, Server::Floor];
    let mut rounds = Rounds::default();
    for _ in 0..plan.rounds * STARTS {
        for server in servers {
            let running = plan.programs.start(server)?;
            rounds.add(server.name(), TIME, running.took.as_secs_f64() * 1000.0);
            tokio::time::sleep(REST).await;
            let resident = u32::try_from(running.process.resident()?)?;
            rounds.add(server.name(), MEMORY, f64::from(resident) / 1000.0 * 1.024);
        }
    }
    for (what, work, unit, goal) in
        [(TIME, "start to accepting, empty database", "ms", 4.0), (MEMORY, "memory at rest", "MB", 2.5)]
    {
        for server in servers {
            report.figure(work, server.name(), unit, rounds.median(server.name(), what));
        }
        let ratio = rounds.ratio(Server::Srvd.name(), Server::Floor.name(), what);
        report.ratio(work, Server::Floor.name(), ratio, Goal::AtMost(goal));
    }
    Ok(())
}
