//! The benchmark: the daemon's cost at rest, the time of its start, the time until a login's URL reaches a client, and
//! the cost of logins that are many, print much or do not end.
//!
//! `scripts/bench.sh` builds and runs it. It measures a real daemon from the client's side. It asserts no time: the
//! figures are printed beside their targets, and a busy machine makes them worse.

mod bring;
mod cost;
mod courses;
mod crowd;
mod daemon;
mod fill;
mod issuer;
mod launches;
mod load;
mod logins;
mod profiles;
mod refresh;
mod sealing;
mod table;
mod watching;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use srvd::wire::{account, bundle};
use tokio::signal::unix::{SignalKind, signal};

use daemon::{Boot, Home, TERMINALS};
use table::{Spread, Table, megabytes};

/// Memory at rest, in megabytes of 10^6 bytes.
const MEMORY_TARGET: &str = "< 15 MB";
const BOOT_TARGET: &str = "< 50 ms";
const URL_TARGET: &str = "p99 < 5 ms";
/// The time that a daemon is left alone before its memory is read.
const REST: Duration = Duration::from_secs(2);
/// Logins that run at the same time. The result is for information.
const AT_ONCE: usize = 20;

/// Measures a built daemon.
#[derive(Parser)]
struct Args {
    /// The daemon's program
    #[arg(long, value_name = "FILE")]
    srvd: PathBuf,
    /// The scripted CLI, an example of auth-spawner
    #[arg(long, value_name = "FILE")]
    fake_cli: PathBuf,
    /// An existing directory for everything that is written; the caller removes it
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// An empty database on a server, on which profiles are measured as well
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Fewer accounts, starts and logins
    #[arg(long)]
    quick: bool,
    /// Only this part of the benchmark
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Size, start and memory
    Rest,
    /// Time until a URL reaches a client
    Urls,
    /// Many logins at once
    Crowds,
    /// Speed at which output is read
    Reading,
    /// Time to start a CLI
    Starts,
    /// Time to end a login
    Ends,
    /// Time to resolve a launch
    Launches,
    /// Time until a change of a CLI's file reaches a client
    Watching,
    /// Time to find a credential among very many profiles
    Profiles,
    /// Cost of refreshing many tokens
    Refresh,
    /// Cost of sealing and opening a secret
    Sealing,
}

/// Numbers of items and repetitions.
struct Amount {
    accounts: usize,
    boots: usize,
    logins: usize,
    /// Starts and ends of a CLI.
    runs: usize,
    /// Watched logins.
    watched: usize,
    changes: usize,
    profiles: usize,
    /// Tokens that are due for a refresh.
    tokens: usize,
}

const WHOLE: Amount = Amount {
    accounts: 10_000,
    boots: 20,
    logins: 200,
    runs: 100,
    watched: 2000,
    changes: 600,
    profiles: 100_000,
    tokens: 10_000,
};
const QUICK: Amount = Amount {
    accounts: 1000,
    boots: 5,
    logins: 40,
    runs: 20,
    watched: 100,
    changes: 100,
    profiles: 5000,
    tokens: 400,
};

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let amount = if args.quick { QUICK } else { WHOLE };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A dropped daemon is ended, so an early return leaves no process behind.
    tokio::select! {
        table = measure(&args, &amount) => std::io::stdout().write_all(table?.to_string().as_bytes())?,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
    Ok(())
}

async fn measure(args: &Args, amount: &Amount) -> Result<Table> {
    let mut table = Table::default();
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let empty = Home::new(&args.work.join("empty"), &args.srvd, &args.fake_cli)?;
    if wanted(Part::Rest) {
        rest(&mut table, args, amount, &empty).await?;
    }
    if wanted(Part::Urls) {
        urls(&mut table, &empty, amount.logins).await?;
    }
    if wanted(Part::Crowds) {
        load::crowds(&mut table, &empty).await?;
    }
    if wanted(Part::Reading) {
        load::reading(&mut table, &empty).await?;
    }
    if wanted(Part::Starts) {
        load::starts(&mut table, &empty, amount.runs).await?;
    }
    if wanted(Part::Ends) {
        load::ends(&mut table, &empty, amount.runs).await?;
    }
    if wanted(Part::Launches) {
        let home = Home::new(&args.work.join("launches"), &args.srvd, &args.fake_cli)?;
        launches::launches(&mut table, &home, amount.accounts, amount.runs * 20).await?;
    }
    if wanted(Part::Watching) {
        let home = Home::new(&args.work.join("watched"), &args.srvd, &args.fake_cli)?;
        watching::watching(&mut table, &home, amount.watched, amount.changes).await?;
    }
    if wanted(Part::Profiles) {
        profiles(&mut table, args, amount).await?;
    }
    if wanted(Part::Refresh) {
        for load in refresh::loads(amount.tokens) {
            let home = Home::new(&args.work.join(load.place()), &args.srvd, &args.fake_cli)?;
            refresh::refresh(&mut table, &home, &load).await?;
        }
    }
    if wanted(Part::Sealing) {
        sealing::sealing(&mut table, amount.profiles)?;
    }
    Ok(table)
}

/// Measures profiles on both databases.
async fn profiles(table: &mut Table, args: &Args, amount: &Amount) -> Result<()> {
    let (sizes, runs) = ([amount.profiles / 100, amount.profiles], amount.runs * 50);
    let home = |place: &str| Home::new(&args.work.join(place), &args.srvd, &args.fake_cli);
    profiles::profiles(table, &home("profiles")?, sizes, runs).await?;
    if let Some(url) = &args.postgres {
        profiles::profiles(table, &home("profiles-postgres")?.with_server(url)?, sizes, runs).await?;
    }
    Ok(())
}

/// Measures the cost of the daemon without a login.
async fn rest(table: &mut Table, args: &Args, amount: &Amount, empty: &Home) -> Result<()> {
    let size = std::fs::metadata(&args.srvd).with_context(|| args.srvd.display().to_string())?.len();
    table.row("release binary", megabytes(size), "");
    let (_, first) = empty.start().await?;
    table.row("boot, no database yet", first.to_string(), BOOT_TARGET);
    boots(table, empty, "boot, empty database", amount.boots).await?;
    memory(table, empty, "empty database").await?;

    let full = Home::new(&args.work.join("full"), &args.srvd, &args.fake_cli)?;
    fill::accounts(&full, amount.accounts).await?;
    let named = format!("{} accounts", amount.accounts);
    boots(table, &full, &format!("boot, {named}"), amount.boots).await?;
    memory(table, &full, &named).await
}

async fn boots(table: &mut Table, home: &Home, name: &str, count: usize) -> Result<()> {
    let mut measured: Vec<Boot> = Vec::new();
    for _ in 0..count {
        let (daemon, boot) = home.start().await?;
        drop(daemon);
        measured.push(boot);
    }
    let outside = Spread::of(measured.iter().map(|boot| boot.until_connected));
    let inside = Spread::of(measured.iter().map(|boot| boot.by_its_log));
    table.row(&format!("{name}: until a client is connected"), outside.to_string(), BOOT_TARGET);
    table.row(&format!("{name}: boot_ms of its log"), inside.to_string(), BOOT_TARGET);
    Ok(())
}

/// Measures the memory of one daemon from its start on.
async fn memory(table: &mut Table, home: &Home, name: &str) -> Result<()> {
    // `start` measures with a client, but this measures a daemon before its first connection.
    let daemon = home.start_unseen().await?;
    tokio::time::sleep(REST).await;
    table.row(&format!("memory at rest, {name}: after the start"), daemon.memory(), MEMORY_TARGET);
    let client = daemon.client().await?;
    client.call(&bundle::List {}).await?;
    drop(client);
    tokio::time::sleep(REST).await;
    table.row(&format!("memory at rest, {name}: after a client"), daemon.memory(), MEMORY_TARGET);
    let client = daemon.client().await?;
    client.call(&account::List::default()).await?;
    drop(client);
    tokio::time::sleep(REST).await;
    table.row(&format!("memory at rest, {name}: after a list of all accounts"), daemon.memory(), "");
    Ok(())
}

async fn urls(table: &mut Table, home: &Home, count: usize) -> Result<()> {
    let daemon = home.start_unseen().await?;
    let mut watcher = logins::Watcher::new(daemon.client().await?).await?;
    // The first login runs with cold caches and is not counted.
    watcher.measure(&["url-pipe"]).await?;
    for (terminal, _) in TERMINALS {
        let mut samples = Vec::new();
        for _ in 0..count.div_ceil(2) {
            samples.extend(watcher.measure(&[&format!("url-{terminal}")]).await?);
        }
        report(
            table,
            &format!("URL to client, {terminal}, {} one by one", samples.len()),
            &samples,
            URL_TARGET,
        );
    }
    let mix: Vec<&str> = ["url-pipe", "url-pty"].into_iter().cycle().take(AT_ONCE).collect();
    let mut samples = Vec::new();
    for _ in 0..5 {
        samples.extend(watcher.measure(&mix).await?);
    }
    report(table, &format!("URL to client, {AT_ONCE} logins at once"), &samples, "");
    drop(watcher);
    tokio::time::sleep(REST).await;
    table.row("memory at rest, after those logins", daemon.memory(), "");
    Ok(())
}

fn report(table: &mut Table, name: &str, samples: &[logins::Sample], target: &str) {
    let event = Spread::of(samples.iter().map(|sample| sample.event));
    let answer = Spread::of(samples.iter().map(|sample| sample.answer));
    table.row(&format!("{name}: event"), event.to_string(), target);
    table.row(&format!("{name}: auth.poll answered"), answer.to_string(), "");
}

/// Returns the path of the socket in a home.
fn socket(home: &Path) -> PathBuf {
    home.join("run/srvd.sock")
}
