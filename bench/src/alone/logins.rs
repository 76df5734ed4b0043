//! The cost of logins under load: many concurrent ones, much output, many connections, or processes left behind.

use anyhow::Result;
use futures_util::future::try_join_all;

use super::courses::{FLOOD, TERMINALS};
use super::crowd::{self, Usage};
use super::rest::held;
use super::{Alone, REST, count};
use crate::calls::Caller;
use crate::daemon::Home;
use crate::deadline::ROW;
use crate::report::{Figure, Goal, Report, SRVD, milliseconds};

/// The number of complete logins that run concurrently.
const CROWD: usize = 100;
const THREADS: Goal = Goal::at_most(8.0, "more threads");
/// The number of open connections while a CLI is started.
const CONNECTIONS: usize = 5000;
/// The number of connections opened at a time.
const BATCH: usize = 100;
/// The number of additional descriptors needed by this program and the daemon.
const DESCRIPTORS: usize = 500;
const END: Goal = Goal::at_most(300.0, "ms p99");

/// Measures many complete concurrent logins. Each terminal has its own daemon.
pub(crate) async fn crowds(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home_with_fake_cli("crowds")?;
    for (terminal, _) in TERMINALS {
        let row = format!("{CROWD} logins at once, {terminal}");
        let measured = async {
            let daemon = home.start().await?;
            tokio::time::sleep(REST).await;
            let crowd = crowd::crowd(&home, &daemon, &format!("crowd-{terminal}"), CROWD).await?;
            tokio::time::sleep(REST).await;
            Ok((crowd, held(&daemon)?))
        };
        let Some((crowd, after)) = report.attempt(&row, SRVD, ROW, measured).await else { continue };
        let times =
            [(milliseconds(crowd.shown), "ms to all URLs"), (milliseconds(crowd.saved), "ms to all stored")];
        report.figure(&row, SRVD, Figure::of(times), None);
        let more = crowd.peak.threads.saturating_sub(crowd.idle.threads);
        let peak = Figure::of([
            (crowd.idle.memory, "MB before"),
            (crowd.peak.memory, "MB peak"),
            (count(more), "more threads"),
        ]);
        report.figure(&format!("{row}: the daemon"), SRVD, peak, Some(THREADS));
        report.figure(&format!("{row}: memory afterwards"), SRVD, after, None);
    }
    Ok(())
}

/// Measures how fast output is read, and how much memory this takes.
pub(crate) async fn reading(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home_with_fake_cli("reading")?;
    for (terminal, _) in TERMINALS {
        let row = format!("output of a CLI read, {terminal}");
        let measured = async {
            let daemon = home.start().await?;
            let before = Usage::of(&daemon)?.memory;
            let time = crowd::reading(&mut home.connect().await?, &format!("flood-{terminal}")).await?;
            let speed = f64::from(FLOOD) / 1e6 / time.as_secs_f64();
            let memory = (Usage::of(&daemon)?.memory - before).max(0.0);
            Ok(Figure::of([(speed, "MB/s"), (memory, "MB extra memory")]))
        };
        if let Some(figure) = report.attempt(&row, SRVD, ROW, measured).await {
            report.figure(&row, SRVD, figure, None);
        }
    }
    Ok(())
}

/// Measures the time from a request to the CLI's first output, both without other connections and with many.
pub(crate) async fn starts(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home_with_fake_cli("starts")?;
    let most = descriptors().saturating_sub(DESCRIPTORS).min(CONNECTIONS);
    for connections in [0, most] {
        let daemon = home.start().await?;
        let others = connected(&home, connections).await?;
        let mut caller = home.connect().await?;
        for (terminal, _) in TERMINALS {
            let row =
                format!("login start to the CLI's first output, {terminal}, {connections} other connections");
            let recipe = format!("url-{terminal}");
            let measured = async {
                let mut times = Vec::new();
                for _ in 0..=alone.amount.runs {
                    times.push(crowd::starting(&mut caller, &recipe).await?);
                }
                // The first login runs with cold caches and does not count.
                Ok(Figure::spread(times.into_iter().skip(1)))
            };
            if let Some(figure) = report.attempt(&row, SRVD, ROW, measured).await {
                report.figure(&row, SRVD, figure, None);
            }
        }
        drop((others, daemon));
    }
    Ok(())
}

/// Raises the descriptor limit, which the daemon inherits, as far as possible and returns it.
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most = if raised.is_ok() { limit.maximum } else { limit.current };
    most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

async fn connected(home: &Home, count: usize) -> Result<Vec<Caller>> {
    let mut callers = Vec::with_capacity(count);
    while callers.len() < count {
        let batch = BATCH.min(count - callers.len());
        callers.extend(try_join_all((0..batch).map(|_| home.connect())).await?);
    }
    Ok(callers)
}

/// Measures the time from the CLI's exit to the end of the session, while a leftover process holds the output open.
pub(crate) async fn ends(alone: &Alone, report: &mut Report) -> Result<()> {
    let home = alone.home_with_fake_cli("ends")?;
    let _daemon = home.start().await?;
    let runs = alone.amount.runs;
    let left = [
        ("polite", "ends when asked to", runs),
        ("session", "is in a session of its own", runs),
        // Each takes as long as the grace period for such a process.
        ("stubborn", "does not end when asked to", runs / 10),
    ];
    for (course, what, count) in left {
        for (terminal, _) in TERMINALS {
            let row = format!("CLI's end to session's end, {terminal}, a process that remains {what}");
            let measured = async {
                let mut caller = home.connect().await?;
                let mut times = Vec::new();
                while times.len() < count {
                    times.extend(crowd::ending(&mut caller, &format!("{course}-{terminal}")).await?);
                }
                Ok(Figure::spread(times))
            };
            if let Some(figure) = report.attempt(&row, SRVD, ROW, measured).await {
                report.figure(&row, SRVD, figure, Some(END));
            }
        }
    }
    Ok(())
}
