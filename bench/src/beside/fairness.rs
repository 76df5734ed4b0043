//! The effect of a flooding connection on another connection that does not flood, and the cost of a subscriber that
//! reads nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::fanout::TOPIC;
use super::requests::Connection;
use super::{Plan, TIMES};
use crate::calls::{Caller, DEPTH, frames};
use crate::deadline::ROW;
use crate::fill;
use crate::report::{Goal, Report, SRVD};
use crate::rounds::Rounds;
use crate::servers::{Running, Server};

const ALONE: &str = "alone";
const BESIDE: &str = "beside a flood";
const P99: &str = "p99";
const WORK: &str = "p99 of a connection at depth 1";
/// The number of requests that the flooding connection keeps in flight.
const FLOOD: usize = 128;
const SLOW: &str = "a subscriber that reads nothing, 20,000 events";
/// The number of calls, each of which publishes one event.
const EVENTS: f64 = 20_000.0;
/// The maximum size of the queue in kilobytes, including what the sockets on both sides hold.
const QUEUE: f64 = 4096.0;

/// Compares the daemon with itself.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let running = plan.programs.start(Server::Srvd).await?;
    if let Some(rounds) = report.attempt(WORK, SRVD, ROW, flooded(plan, &running)).await {
        for name in [ALONE, BESIDE] {
            report.value(WORK, name, "us", rounds.median(name, P99));
        }
        report.ratio(WORK, ALONE, rounds.ratio(BESIDE, ALONE, P99), Goal::at_most(2.0, TIMES));
    }
    if let Some(grown) = report.attempt(SLOW, SRVD, ROW, slow_subscriber(&running)).await {
        report.value(SLOW, SRVD, "KiB more", Some(grown));
        report.ratio(SLOW, "the limit of its queue", Some(grown / QUEUE), Goal::at_most(2.0, TIMES));
    }
    Ok(())
}

async fn flooded(plan: &Plan, running: &Running) -> Result<Rounds> {
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
    Ok(rounds)
}

/// Returns the memory used by the subscriber's pending events, in KiB.
async fn slow_subscriber(running: &Running) -> Result<f64> {
    let mut control = Caller::open(&running.address).await?;
    let bundle = fill::bundles(&mut control, "Changing", 0..1, 0).await?.remove(0);
    let updates = frames(DEPTH, |id| {
        ("bundle.update", json!({"bundleId": bundle, "description": format!("a text that changes, {id}")}))
    });
    // The same work first runs without a subscriber, so that memory left in the allocator is not counted as a queue.
    control.drive(&updates, Duration::from_secs(1)).await?;
    let mut slow = Caller::open(&running.address).await?;
    let topics = json!({"topics": [TOPIC, "identitybundles:*", "identitybundlebindings:*"]});
    slow.call("events.subscribe", &topics).await?;
    let before = running.process.resident()?;
    let mut published = 0.0;
    while published < EVENTS {
        published += control.drive(&updates, Duration::from_millis(500)).await?.count;
    }
    let grown = running.process.resident()?.saturating_sub(before);
    drop(slow);
    Ok(f64::from(u32::try_from(grown)?))
}
