//! Comparison of `srvd` with its peers and with the limit, in one run on one machine, as ratios.
//!
//! Every server is a process of its own, started the same way and driven by the same generator. Servers take turns in
//! each round, so that a change in the speed of the machine affects all of them. A ratio is the median of the ratios of
//! each round. `scripts/bench.sh` builds and runs the comparison.

mod calls;
mod fairness;
mod fanout;
mod growth;
mod idle;
mod launch;
mod load;
mod process;
mod pure;
mod report;
mod rounds;
mod servers;
mod socket;
mod start;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use report::Report;
use servers::Programs;

/// Measures the built daemon against its peers
#[derive(Parser)]
struct Args {
    /// Path of the daemon's program
    #[arg(long, value_name = "FILE")]
    srvd: PathBuf,
    /// Directory of the peers' programs
    #[arg(long, value_name = "DIR")]
    peers: PathBuf,
    /// Directory of the Node peer, with its modules installed; without it that peer is left out
    #[arg(long, value_name = "DIR")]
    node: Option<PathBuf>,
    /// Rounds of each comparison
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds that one server is driven in one round
    #[arg(long, default_value_t = 2000)]
    slice_ms: u64,
    /// File to which the figures are written as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Parts to run; without it all of them
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Small requests, one after the other and pipelined
    Requests,
    /// One event to many subscribers
    Fanout,
    /// Connections that do nothing
    Idle,
    /// Time from the start of the program to an answer
    Start,
    /// `launch.resolve` beside its own statements, and durable writes
    Launch,
    /// The router, in process
    Dispatch,
    /// The reading of output, in process
    Scan,
    /// The effect of a flood and of a slow subscriber on others
    Fairness,
    /// The cost of one unit when there are many
    Growth,
}

/// The settings that all parts share.
struct Plan {
    programs: Programs,
    rounds: usize,
    slice: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A server is ended when it is dropped, so leaving early leaves no process behind.
    let report = tokio::select! {
        report = measure(&args) => report?,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    report::print(&report.to_string())?;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn measure(args: &Args) -> Result<Report> {
    process::pin_generator();
    let plan = Plan {
        programs: Programs::new(&args.srvd, &args.peers, args.node.as_deref())?,
        rounds: args.rounds,
        slice: Duration::from_millis(args.slice_ms),
    };
    let mut report = Report::default();
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    if wanted(Part::Requests) {
        load::compare(&plan, &mut report).await?;
    }
    if wanted(Part::Fanout) {
        fanout::compare(&plan, &mut report).await?;
    }
    if wanted(Part::Idle) {
        idle::compare(&plan, &mut report).await?;
    }
    if wanted(Part::Start) {
        start::compare(&plan, &mut report).await?;
    }
    if wanted(Part::Launch) {
        launch::compare(&plan, &mut report).await?;
    }
    if wanted(Part::Dispatch) {
        pure::dispatch(&plan, &mut report)?;
    }
    if wanted(Part::Scan) {
        pure::scan(&plan, &mut report)?;
    }
    if wanted(Part::Fairness) {
        fairness::compare(&plan, &mut report).await?;
    }
    if wanted(Part::Growth) {
        growth::measure(&plan, &mut report).await?;
    }
    Ok(report)
}
