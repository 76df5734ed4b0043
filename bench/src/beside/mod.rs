//! Parts that compare the daemon with its peers, as ratios within one run.
//!
//! The servers take turns in each round, so that a change in the machine's speed affects all of them. A ratio is the
//! median of the ratios of all rounds. A server that fails is dropped from the row, and the others continue.
//! Measurements of the daemon alone belong in [`crate::alone`].

pub(crate) mod fairness;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod launch;
pub(crate) mod requests;
pub(crate) mod start;

use std::time::Duration;

use anyhow::Result;

use crate::deadline::ROW;
use crate::report::{Goal, Report, SRVD};
use crate::rounds::Rounds;
use crate::servers::{Programs, Running, Server};

/// The unit of a ratio.
const TIMES: &str = "x";

/// The settings of these parts.
pub(crate) struct Plan {
    pub(crate) programs: Programs,
    pub(crate) rounds: usize,
    /// The time for which one server is driven in one round.
    pub(crate) slice: Duration,
}

/// The servers of one row, which take turns.
struct Turns {
    row: String,
    servers: Vec<(Server, Running)>,
    rounds: Rounds,
}

impl Turns {
    /// Starts the servers that are installed.
    async fn start(plan: &Plan, report: &mut Report, row: &str, wanted: &[Server]) -> Self {
        let mut servers = Vec::new();
        for server in plan.programs.present(report, wanted) {
            let start = plan.programs.start(server);
            servers.extend(
                report.attempt(row, server.name(), ROW, start).await.map(|running| (server, running)),
            );
        }
        Self { row: row.to_owned(), servers, rounds: Rounds::default() }
    }

    /// Measures each server once. A server that fails is stopped and takes no further turns.
    async fn round(
        &mut self,
        report: &mut Report,
        work: impl AsyncFn(Server, &Running) -> Result<Vec<(&'static str, f64)>>,
    ) {
        for (server, running) in std::mem::take(&mut self.servers) {
            match report.attempt(&self.row, server.name(), ROW, work(server, &running)).await {
                Some(figures) => {
                    for (what, figure) in figures {
                        self.rounds.add(server.name(), what, figure);
                    }
                    self.servers.push((server, running));
                }
                None => self.rounds.forget(server.name()),
            }
        }
    }

    /// Adds the median of each server to the table.
    fn figures(&self, report: &mut Report, what: &'static str, unit: &'static str) {
        for (server, _) in &self.servers {
            report.value(&self.row, server.name(), unit, self.rounds.median(server.name(), what));
        }
    }

    /// Adds the daemon's ratio to a peer.
    fn ratio(&self, report: &mut Report, peer: Server, what: &'static str, goal: Goal) {
        let ratio = self.rounds.ratio(SRVD, peer.name(), what);
        report.ratio(&format!("{}: {what}", self.row), peer.name(), ratio, goal);
    }
}
