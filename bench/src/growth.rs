//! The same work at one, ten and a hundred times the size. The daemon's cost of one unit should not change.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::Plan;
use crate::calls::{Caller, frames};
use crate::fanout::{self, BURST};
use crate::report::Report;
use crate::servers::{Running, Server};

/// Sizes, as multiples of the smallest.
const SIZES: [usize; 3] = [1, 10, 100];
const DEPTH: usize = 16;
/// Accounts in one bundle.
const EACH: usize = 16;
/// The time that calls that change something are measured.
const SLICE: Duration = Duration::from_secs(1);

/// Fills the table of growth.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let running = plan.programs.start(Server::Srvd)?;
    requests(plan, &running, report).await?;
    connections(&running, report).await?;
    subscriptions(&running, report).await?;
    events(&running, report).await?;
    sessions(&running, report).await?;
    let running = plan.programs.start(Server::Srvd)?;
    accounts(&running, report).await
}

/// Returns the daemon's processor time for each unit that `work` counts, in microseconds.
async fn each(running: &Running, work: impl Future<Output = Result<f64>>) -> Result<f64> {
    let before = running.process.cpu()?;
    let count = work.await?;
    Ok((running.process.cpu()? - before) / count)
}

fn row(report: &mut Report, what: &str, size: usize, cost: f64) {
    report.figure(&format!("growth: {what}"), &size.to_string(), "us CPU each", Some(cost));
}

async fn requests(plan: &Plan, running: &Running, report: &mut Report) -> Result<()> {
    let mut caller = Caller::open(&running.address).await?;
    let pings = frames(DEPTH, |_| ("srvd.ping", json!({"text": "a text"})));
    caller.drive(&pings, plan.slice / 10).await?;
    for size in SIZES {
        let slice = Duration::from_millis(30) * u32::try_from(size)?;
        let cost = each(running, async { Ok(caller.drive(&pings, slice).await?.count) }).await?;
        row(report, "requests on one connection, for so many times 30 ms", size, cost);
    }
    Ok(())
}

async fn connections(running: &Running, report: &mut Report) -> Result<()> {
    let pings = frames(1, |_| ("srvd.ping", json!({"text": "a text"})));
    for size in SIZES {
        let mut callers = try_join_all((0..size * 10).map(|_| Caller::open(&running.address))).await?;
        let cost = each(running, async {
            let driven = try_join_all(callers.iter_mut().map(|caller| caller.drive(&pings, SLICE))).await?;
            Ok(driven.iter().map(|driven| driven.count).sum())
        });
        row(report, "requests at depth 1, on so many connections", size * 10, cost.await?);
    }
    Ok(())
}

async fn subscriptions(running: &Running, report: &mut Report) -> Result<()> {
    // Sizes with few deliveries in a burst have more bursts, because the cost of the transactions is subtracted.
    for (size, bursts) in SIZES.into_iter().zip([60, 20, 5]) {
        let subscribed = size * 40;
        let transactions = fanout::srvd(running, 0, bursts).await?;
        let cpu = fanout::srvd(running, subscribed, bursts).await? - transactions;
        let deliveries = f64::from(u32::try_from(BURST * bursts * subscribed)?);
        row(report, "deliveries to so many subscribers", subscribed, cpu / deliveries);
    }
    Ok(())
}

/// Measures events. Each is a transaction that changes a bundle, with its row in the table of events.
async fn events(running: &Running, report: &mut Report) -> Result<()> {
    let mut control = Caller::open(&running.address).await?;
    let made = control.call("bundle.create", &json!({"name": "a bundle that changes"})).await?;
    let bundle = made.get("id").cloned().with_context(|| made.to_string())?;
    let update = |id| json!({"bundleId": bundle, "description": format!("a text that changes, {id}")});
    for size in SIZES {
        let count = size * 100;
        let cost = each(running, async {
            for id in 0..count {
                control.call("bundle.update", &update(id)).await?;
            }
            Ok(f64::from(u32::try_from(count)?))
        });
        row(report, "events, published by so many transactions", count, cost.await?);
    }
    Ok(())
}

/// Measures whole logins, one after the other. The CLI's own time is not counted.
async fn sessions(running: &Running, report: &mut Report) -> Result<()> {
    let mut control = Caller::open(&running.address).await?;
    let mut number = 0;
    for size in SIZES {
        let count = size * 3;
        let cost = each(running, async {
            for _ in 0..count {
                number += 1;
                login(&mut control, &format!("login {number}")).await?;
            }
            Ok(f64::from(u32::try_from(count)?))
        });
        row(report, "logins from their start to their end, so many", count, cost.await?);
    }
    Ok(())
}

async fn login(control: &mut Caller, bundle: &str) -> Result<()> {
    let start = json!({"providerId": "bench-login", "bundleName": bundle});
    let session = control.call("auth.start", &start).await?;
    let session = session.get("sessionId").cloned().with_context(|| session.to_string())?;
    let mut seen = json!(0);
    loop {
        let poll = json!({"sessionId": session, "afterRevision": seen, "waitMs": 30_000});
        let now = control.call("auth.poll", &poll).await?;
        match now.get("status").and_then(Value::as_str) {
            Some("success") => return Ok(()),
            Some("failed") => anyhow::bail!("a login failed: {now}"),
            _ => seen = now.get("revision").cloned().with_context(|| now.to_string())?,
        }
    }
}

async fn accounts(running: &Running, report: &mut Report) -> Result<()> {
    let mut control = Caller::open(&running.address).await?;
    let mut held = 0;
    let mut bundles: Vec<Value> = Vec::new();
    for size in SIZES {
        let wanted = size * 100;
        let cost = each(running, async {
            let before = held;
            while held < wanted {
                bundles.push(control.filled_bundle(bundles.len(), EACH).await?);
                held += EACH;
            }
            Ok(f64::from(u32::try_from(held - before)?))
        });
        row(report, "keys stored, until there are so many accounts", wanted, cost.await?);
        let launches = frames(DEPTH, |id| {
            ("launch.resolve", json!({"bundleId": bundles[id * 37 % bundles.len()], "providerId": "bench-0"}))
        });
        control.drive(&launches, SLICE / 4).await?;
        let cost = each(running, async { Ok(control.drive(&launches, SLICE).await?.count) });
        row(report, "launch.resolve among so many accounts", wanted, cost.await?);
        let cost = each(running, async {
            control.call("account.list", &json!({})).await?;
            Ok(f64::from(u32::try_from(held)?))
        });
        row(report, "account.list, per account", wanted, cost.await?);
    }
    Ok(())
}
