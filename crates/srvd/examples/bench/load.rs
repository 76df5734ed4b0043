//! The cost of logins under load: many at once, much output, many connections, or processes left behind.

use anyhow::Result;

use crate::daemon::{Daemon, Home, TERMINALS};
use crate::table::{Spread, Table, megabytes, milliseconds, progress};
use crate::{REST, courses, crowd};

/// Complete logins that run at the same time.
const CROWD: usize = 100;
const THREADS_TARGET: &str = "at most 8 threads more";
/// Connections that are open while a CLI is started.
const CONNECTIONS: usize = 5000;
/// Descriptors that this program and the daemon need in addition to those.
const DESCRIPTORS: usize = 500;
const END_TARGET: &str = "p99 < 300 ms";

/// Measures many complete logins at once. Each terminal has its own daemon.
pub(crate) async fn crowds(table: &mut Table, home: &Home) -> Result<()> {
    for (terminal, _) in TERMINALS {
        let daemon = home.start_unseen().await?;
        tokio::time::sleep(REST).await;
        let crowd = crowd::crowd(home, &daemon, &format!("crowd-{terminal}"), CROWD).await?;
        let name = format!("{CROWD} logins at once, {terminal}");
        table.row(&format!("{name}: until all have shown their URL"), milliseconds(crowd.shown), "");
        table.row(&format!("{name}: from then on until all are stored"), milliseconds(crowd.saved), "");
        table.row(&format!("{name}: the daemon before"), crowd.idle.to_string(), "");
        table.row(&format!("{name}: the daemon at most"), crowd.peak.to_string(), THREADS_TARGET);
        tokio::time::sleep(REST).await;
        table.row(&format!("{name}: afterwards"), daemon.memory(), "");
    }
    Ok(())
}

/// Measures how fast output is read, and the resources that this takes.
pub(crate) async fn reading(table: &mut Table, home: &Home) -> Result<()> {
    let daemon = home.start_unseen().await?;
    let client = daemon.client().await?;
    for (terminal, _) in TERMINALS {
        let before = daemon.usage();
        let time = crowd::scanning(&client, &format!("flood-{terminal}")).await?;
        let speed = u128::from(courses::FLOOD) / time.as_micros().max(1);
        let memory = daemon.usage().memory.saturating_sub(before.memory);
        let figure = format!("{speed} MB/s ({} in {})", megabytes(courses::FLOOD), milliseconds(time));
        table.row(&format!("output read, {terminal}"), figure, "");
        table.row(&format!("output read, {terminal}: memory gained"), megabytes(memory), "");
    }
    Ok(())
}

/// Measures the time from a request to the CLI's first output, with no other connection and with many.
pub(crate) async fn starts(table: &mut Table, home: &Home, count: usize) -> Result<()> {
    let most = descriptors().saturating_sub(DESCRIPTORS).min(CONNECTIONS);
    for connections in [0, most] {
        let daemon = home.start_unseen().await?;
        let client = daemon.client().await?;
        let others = connected(&daemon, connections).await?;
        for (terminal, _) in TERMINALS {
            let recipe = format!("url-{terminal}");
            let mut times = Vec::new();
            for _ in 0..=count {
                times.push(crowd::spawning(&client, &recipe).await?);
            }
            // The first login runs with cold caches and is not counted.
            let spread = Spread::of(times.into_iter().skip(1));
            let name = format!("start to the CLI's first words, {terminal}, {connections} other connections");
            table.row(&name, spread.to_string(), "");
        }
        drop(others);
    }
    Ok(())
}

/// Raises the limit of descriptors, which the daemon inherits, as far as possible and returns it.
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most = if raised.is_ok() { limit.maximum } else { limit.current };
    most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

async fn connected(daemon: &Daemon, count: usize) -> Result<Vec<rpc_engine::Client>> {
    let mut clients = Vec::with_capacity(count);
    for number in 0..count {
        clients.push(daemon.client().await?);
        if number % 1000 == 999 {
            progress(&format!("{} of {count} connections open", number + 1));
        }
    }
    Ok(clients)
}

/// Measures the time from the CLI's end to the session's end while a remaining process holds the output open.
pub(crate) async fn ends(table: &mut Table, home: &Home, count: usize) -> Result<()> {
    let daemon = home.start_unseen().await?;
    let client = daemon.client().await?;
    let left = [
        ("polite", "ends when asked to", count),
        ("session", "is in a session of its own", count),
        // Each takes as long as the grace period for such a process.
        ("stubborn", "does not end when asked to", count / 10),
    ];
    for (course, what, count) in left {
        for (terminal, _) in TERMINALS {
            let mut times = Vec::new();
            while times.len() < count {
                times.extend(crowd::ending(&client, &format!("{course}-{terminal}")).await?);
            }
            let name = format!("CLI's end to session's end, {terminal}, what it leaves {what}");
            table.row(&name, Spread::of(times).to_string(), END_TARGET);
        }
    }
    Ok(())
}
