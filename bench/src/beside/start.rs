//! The time from starting the program with an empty database until it accepts connections, and its memory at that
//! point.

use std::time::Duration;

use anyhow::Result;

use super::{Plan, TIMES};
use crate::deadline::ROW;
use crate::report::{Goal, Report, SRVD};
use crate::rounds::Rounds;
use crate::servers::Server;

const TIME: &str = "time";
const MEMORY: &str = "memory";
const ROWS: [(&str, &str, &str, f64); 2] = [
    (TIME, "start to accepting, empty database", "ms", 4.0),
    (MEMORY, "memory at rest, one process", "MB", 2.5),
];
/// The number of starts per round.
const STARTS: usize = 4;
/// The time for which a server is left idle before its memory is measured.
const REST: Duration = Duration::from_millis(500);

/// Compares the daemon with the smallest program that could do its work.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut servers = vec![Server::Srvd, Server::Floor];
    let mut rounds = Rounds::default();
    let [(_, row, ..), _] = ROWS;
    for _ in 0..plan.rounds * STARTS {
        for server in servers.clone() {
            let started = async {
                let running = plan.programs.start(server).await?;
                tokio::time::sleep(REST).await;
                Ok((running.took, u32::try_from(running.process.resident()?)?))
            };
            if let Some((took, resident)) = report.attempt(row, server.name(), ROW, started).await {
                rounds.add(server.name(), TIME, took.as_secs_f64() * 1000.0);
                rounds.add(server.name(), MEMORY, f64::from(resident) / 1000.0 * 1.024);
            } else {
                servers.retain(|other| *other != server);
                rounds.forget(server.name());
            }
        }
    }
    for (what, row, unit, goal) in ROWS {
        for server in [Server::Srvd, Server::Floor] {
            report.value(row, server.name(), unit, rounds.median(server.name(), what));
        }
        let ratio = rounds.ratio(SRVD, Server::Floor.name(), what);
        report.ratio(row, Server::Floor.name(), ratio, Goal::at_most(goal, TIMES));
    }
    Ok(())
}
