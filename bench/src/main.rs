//! The `srvd` benchmark: the daemon alone, and compared with its peers and with the theoretical limit.
//!
//! `scripts/bench.sh` builds and runs it. It measures the built programs from a user's point of view. It does not
//! assert times: figures are printed next to their goals, and a busy machine makes them worse. Only a row without a
//! figure is an error.

mod alone;
mod beside;
mod calls;
mod daemon;
mod deadline;
mod fill;
mod process;
mod report;
mod rounds;
mod servers;
mod socket;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use alone::{Alone, QUICK, WHOLE};
use beside::Plan;
use deadline::within;
use process::Pinned;
use report::{Report, SRVD};
use servers::Programs;

/// The maximum duration of a part. Its rows have shorter limits.
const PART: Duration = Duration::from_hours(3);

/// Measures the built daemon
#[derive(Parser)]
struct Args {
    /// Path of the daemon's program
    #[arg(long, value_name = "FILE")]
    srvd: PathBuf,
    /// Directory of the peer programs
    #[arg(long, value_name = "DIR")]
    peers: PathBuf,
    /// The scripted CLI, an example of auth-spawner; without it, the parts that need it fail
    #[arg(long, value_name = "FILE")]
    fake_cli: Option<PathBuf>,
    /// Directory of the Node peer, with its modules installed; without it, that peer is omitted
    #[arg(long, value_name = "DIR")]
    node: Option<PathBuf>,
    /// An existing directory for all output files; the caller removes it
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// An empty database on a server, on which profiles are measured as well
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Fewer accounts, starts and logins, and fewer and shorter rounds
    #[arg(long)]
    quick: bool,
    /// File to which the figures are written as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Parts to run
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    only: Vec<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Size, start and memory
    Rest,
    /// Time until a login's URL reaches a client
    Urls,
    /// Many logins at once
    Crowds,
    /// Speed of reading output
    Reading,
    /// Time to start a CLI
    Starts,
    /// Time to end a login
    Ends,
    /// `srvd exec`, a shim, and many launches at once
    Exec,
    /// `srvd status` with many accounts
    Status,
    /// Time from a change to its event
    Events,
    /// Time to resolve a launch
    Launches,
    /// Time until a change of a CLI's file reaches a client
    Watching,
    /// Time to find a credential among very many profiles
    Profiles,
    /// Cost of refreshing many tokens
    Refresh,
    /// The build that quickstart users wait for
    Build,
    /// Small requests, sequential and pipelined
    Requests,
    /// One event to many subscribers
    Fanout,
    /// Connections that do nothing
    Idle,
    /// Time from starting the program to an answer
    Start,
    /// `launch.resolve` compared with its own statements, and durable writes
    Launch,
    /// The effect of a flood and of a slow subscriber on others
    Fairness,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A server is stopped when dropped, so leaving early leaves no process behind.
    let report = tokio::select! {
        report = measure(&args) => report?,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    std::io::stdout().write_all(report.to_string().as_bytes())?;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    if report.failures() > 0 {
        report::progress(&format!("rows that failed: {}", report.failures()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &Args) -> Result<Report> {
    let absolute = |path: &PathBuf| std::path::absolute(path).with_context(|| path.display().to_string());
    let programs = Programs::new(&args.srvd, &args.peers, args.node.as_deref())?;
    let alone = Alone {
        srvd: programs.srvd.clone(),
        fake_cli: args.fake_cli.as_ref().map(absolute).transpose()?,
        work: absolute(&args.work)?,
        postgres: args.postgres.clone(),
        amount: if args.quick { QUICK } else { WHOLE },
    };
    let (rounds, slice) = if args.quick { (3, 700) } else { (5, 2000) };
    let plan = Plan { programs, rounds, slice: Duration::from_millis(slice) };
    let mut report = Report::default();
    for part in &args.only {
        // A part that cannot be prepared fails as a row, and the other parts continue.
        if let Err(error) = within(PART, Box::pin(run(*part, &alone, &plan, &mut report))).await {
            let name = part.to_possible_value().map(|value| value.get_name().to_owned());
            report.failed(&format!("part {}", name.unwrap_or_default()), SRVD, &error);
        }
    }
    Ok(report)
}

async fn run(part: Part, alone: &Alone, plan: &Plan, report: &mut Report) -> Result<()> {
    let _pinned = part.has_peers().then(Pinned::generator);
    match part {
        Part::Rest => alone::rest::measure(alone, report).await,
        Part::Urls => alone::urls::measure(alone, report).await,
        Part::Crowds => alone::logins::crowds(alone, report).await,
        Part::Reading => alone::logins::reading(alone, report).await,
        Part::Starts => alone::logins::starts(alone, report).await,
        Part::Ends => alone::logins::ends(alone, report).await,
        Part::Exec => alone::commands::exec(alone, report).await,
        Part::Status => alone::commands::status(alone, report).await,
        Part::Events => alone::events::measure(alone, report).await,
        Part::Launches => alone::launches::measure(alone, report).await,
        Part::Watching => alone::watching::measure(alone, report).await,
        Part::Profiles => alone::profiles::measure(alone, report).await,
        Part::Refresh => alone::refresh::measure(alone, report).await,
        Part::Build => alone::build::measure(alone, report).await,
        Part::Requests => beside::requests::compare(plan, report).await,
        Part::Fanout => beside::fanout::compare(plan, report).await,
        Part::Idle => beside::idle::compare(plan, report).await,
        Part::Start => beside::start::compare(plan, report).await,
        Part::Launch => beside::launch::compare(plan, report).await,
        Part::Fairness => beside::fairness::compare(plan, report).await,
    }
}

impl Part {
    /// Returns whether servers take turns, in which case the generator gets a separate processor.
    fn has_peers(self) -> bool {
        matches!(
            self,
            Self::Requests | Self::Fanout | Self::Idle | Self::Start | Self::Launch | Self::Fairness
        )
    }
}
