//! The effect of a connection that floods on another connection that does not, and the cost of a subscriber that reads
//! nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::Plan;
use crate::calls::{Caller, frames};
use crate::fanout::TOPIC;
use crate::load::Connection;
use crate::report::{Goal, Report};
use crate::rounds::Rounds;
use crate::servers::{Running, Server};

const ALONE: &str = "alone";
const BESIDE: &str = "beside a flood";
const P99: &str = "p99";
const WORK: &str = "p99 of a connection at depth 1";
/// Requests that the flooding connection keeps in flight.
const FLOOD: usize = 128;
const SLOW: &str = "a subscriber that reads nothing, 20,000 events";
/// The number of calls, each of which publishes one event.
const EVENTS: f64 = 20_000.0;
const DEPTH: usize = 16;
/// Kilobytes that the queue may hold, together with what the sockets of both sides take.
const QUEUE: f64 = 4096.0;

/// Compares the daemon with itself.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let running = plan.programs.start(Server::Srvd)?;
    let mut quiet = Connection::open(Server::Srvd, &running.address, 1).await?;
    let mut flood = Connection::open(Server::Srvd, &running.address, FLOOD).await?;
    let mut rounds = Rounds::default();
    for _ in 0..plan.rounds {
        quiet.forget();
        quiet.run(Instant::now() + plan.slice).await?;
        rounds.add(ALONE, P99, f64::from(u32::try_from(quiet.p99())?));
        quiet.forget();
        let until = Instant::now() + plan.slice;
        tokio::try_join!(quiet.run(until), flood.run(until))?;
        rounds.add(BESIDE, P99, f64::from(u32::try_from(quiet.p99())?));
    }
    for name in [ALONE, BESIDE] {
        report.figure(WORK, name, "us", rounds.median(name, P99));
    }
    report.ratio(WORK, ALONE, rounds.ratio(BESIDE, ALONE, P99), Goal::AtMost(2.0));
    slow_subscriber(&running, report).await
}

async fn slow_subscriber(running: &Running, report: &mut Report) -> Result<()> {
    let mut control = Caller::open(&running.address).await?;
    let made = control.call("bundle.create", &json!({"name": "a bundle that changes"})).await?;
    let bundle = made.get("id").cloned().with_context(|| made.to_string())?;
    let updates = frames(DEPTH, |id| {
        ("bundle.update", json!({"bundleId": bundle, "description": format!("a text that changes, {id}")}))
    });
    // The same work runs without a subscriber first, so that memory left in the allocator does not count as a queue.
    control.drive(&updates, Duration::from_secs(1)).await?;
    let mut slow = Caller::open(&running.address).await?;
    slow.call(
        "events.subscribe",
        &json!({"topics": [TOPIC, "identitybundles:*", "identitybundlebindings:*"]}),
    )
    .await?;
    let before = running.process.resident()?;
    let mut published = 0.0;
    while published < EVENTS {
        published += control.drive(&updates, Duration::from_millis(500)).await?.count;
    }
    let grown = running.process.resident()?.saturating_sub(before);
    let grown = f64::from(u32::try_from(grown)?);
    ensure!(published >= EVENTS, "too few events");
    report.figure(SLOW, Server::Srvd.name(), "KiB more", Some(grown));
    report.ratio(SLOW, "the limit of its queue", Some(grown / QUEUE), Goal::AtMost(2.0));
    drop(slow);
    Ok(())
}
