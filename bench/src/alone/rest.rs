//! The daemon without logins: its size, its start and its memory.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Alone, REST, count, megabytes};
use crate::daemon::Home;
use crate::deadline::{FILL, ROW};
use crate::fill;
use crate::report::{Figure, Goal, Report, SRVD};
use crate::servers::Running;

const BOOT: Goal = Goal::at_most(50.0, "ms p99");
/// The goal for the daemon and its guard together.
const MEMORY: Goal = Goal::at_most(15.0, "MB together");

/// Measures the daemon with an empty database, and with many accounts.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    let size = std::fs::metadata(&alone.srvd).with_context(|| alone.srvd.display().to_string())?.len();
    report.figure("size of the program", SRVD, Figure::of([(megabytes(size / 1024), "MB")]), None);
    let amount = &alone.amount;
    let empty = alone.home("empty")?;
    boots(report, &empty, "no database yet", 1).await;
    boots(report, &empty, "empty database", amount.boots).await;
    memory(report, &empty, "empty database").await;

    let full = alone.home("full")?;
    let named = format!("{} accounts", amount.accounts);
    let filled = async {
        let _daemon = full.start().await?;
        fill::accounts(&mut full.connect().await?, amount.accounts).await
    };
    if report.attempt(&format!("{named} stored"), SRVD, FILL, filled).await.is_some() {
        boots(report, &full, &named, amount.boots).await;
        memory(report, &full, &named).await;
    }
    Ok(())
}

/// Measures starts until a client is connected.
async fn boots(report: &mut Report, home: &Home, database: &str, times: usize) {
    let row = format!("boot until a client is connected, {database}");
    let starts = async {
        let mut took = Vec::new();
        for _ in 0..times {
            let begun = Instant::now();
            let daemon = home.start().await?;
            let _client = home.connect().await?;
            took.push(begun.elapsed());
            drop(daemon);
        }
        Ok(Figure::spread(took))
    };
    if let Some(figure) = report.attempt(&row, SRVD, ROW, starts).await {
        report.figure(&row, SRVD, figure, Some(BOOT));
    }
}

/// Measures the memory of one daemon from its start onwards.
async fn memory(report: &mut Report, home: &Home, database: &str) {
    let row = |when: &str| format!("memory at rest, {database}, {when}");
    let (first, second, third) =
        (row("before a client"), row("after a client"), row("after a list of all accounts"));
    let Some(daemon) = report.attempt(&first, SRVD, ROW, home.start()).await else { return };
    for (row, call, goal) in [
        (first, None, Some(MEMORY)),
        (second, Some("bundle.list"), Some(MEMORY)),
        (third, Some("account.list"), None),
    ] {
        let figure = report.attempt(&row, SRVD, ROW, at_rest(home, &daemon, call)).await;
        let Some(figure) = figure else { return };
        report.figure(&row, SRVD, figure, goal);
    }
}

async fn at_rest(home: &Home, daemon: &Running, call: Option<&str>) -> Result<Figure> {
    if let Some(call) = call {
        home.connect().await?.call(call, &json!({})).await?;
    }
    tokio::time::sleep(REST).await;
    held(daemon)
}

/// Returns the memory of the daemon and of its children, of which the guard is the only one without a login. The guard
/// is the same program, so the two share most of their pages: "together" counts a shared page once.
pub(super) fn held(daemon: &Running) -> Result<Figure> {
    let (own, guard) = (daemon.process.resident()?, daemon.process.resident_of_children());
    let figure = Figure::of([(megabytes(own), "MB daemon"), (megabytes(guard), "MB guard")]);
    let together = megabytes(daemon.process.proportional()?);
    Ok(figure.and(together, "MB together").and(count(daemon.process.threads()), "threads"))
}
