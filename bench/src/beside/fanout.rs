//! One publisher, many subscribers, events in bursts: the server's cost of one delivery, without the cost of
//! publishing.

use anyhow::Result;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Plan, TIMES, Turns};
use crate::calls::Caller;
use crate::deadline::{ANSWER, within};
use crate::fill;
use crate::report::{Goal, Report};
use crate::servers::{Address, Running, Server};
use crate::socket::connect;

const CPU: &str = "CPU";
const SUBSCRIBERS: usize = 1000;
/// The number of events sent at once. Deleting a bundle with this many accounts causes such a burst, plus one bundle
/// event.
const BURST: usize = 16;
const BURSTS: usize = 10;
/// The approximate size of one of the daemon's events in its frame, in bytes.
const EVENT_BYTES: usize = 200;
const WORK: &str = "event to 1,000 subscribers, bursts of 16";
pub(super) const TOPIC: &str = "identityaccounts:changed:*";

/// Compares the servers.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut turns = Turns::start(plan, report, WORK, &[Server::Srvd, Server::Jsonrpsee, Server::Redis]).await;
    let deliveries = f64::from(u32::try_from(BURST * BURSTS * SUBSCRIBERS)?);
    for _ in 0..plan.rounds {
        let round = async |server, running: &Running| {
            let published = bursts(server, running, 0).await?;
            let cpu = bursts(server, running, SUBSCRIBERS).await? - published;
            Ok(vec![(CPU, cpu / deliveries)])
        };
        turns.round(report, round).await;
    }
    turns.figures(report, CPU, "us CPU/delivery");
    turns.ratio(report, Server::Jsonrpsee, CPU, Goal::at_most(0.12, TIMES));
    turns.ratio(report, Server::Redis, CPU, Goal::at_most(0.90, TIMES));
    Ok(())
}

/// Returns the server's processor time for all bursts, in microseconds. The cost of publishing them, such as the
/// daemon's transactions, is measured without subscribers.
async fn bursts(server: Server, running: &Running, subscribed: usize) -> Result<f64> {
    match server {
        Server::Redis => redis(running, subscribed).await,
        Server::Srvd => srvd(running, subscribed).await,
        _ => jsonrpsee(running, subscribed).await,
    }
}

/// Opens connections, each of which makes this call.
async fn subscribers(
    address: &Address,
    count: usize,
    (method, params): (&str, &Value),
) -> Result<Vec<Caller>> {
    try_join_all((0..count).map(|_| async {
        let mut caller = Caller::open(address).await?;
        caller.call(method, params).await?;
        Ok(caller)
    }))
    .await
}

async fn delivered(callers: &mut [Caller], count: usize) -> Result<()> {
    try_join_all(callers.iter_mut().map(|caller| caller.events(count))).await?;
    Ok(())
}

/// Returns the daemon's processor time in microseconds, including the transactions that cause the events.
async fn srvd(running: &Running, subscribed: usize) -> Result<f64> {
    let mut control = Caller::open(&running.address).await?;
    let bundles = fill::bundles(&mut control, "Burst", 0..BURSTS, BURST).await?;
    let subscribe = json!({"topics": [TOPIC]});
    let mut callers = subscribers(&running.address, subscribed, ("events.subscribe", &subscribe)).await?;
    let before = running.process.cpu()?;
    for bundle in bundles {
        control.call("bundle.delete", &json!({"bundleId": bundle})).await?;
        delivered(&mut callers, BURST).await?;
    }
    Ok(running.process.cpu()? - before)
}

async fn jsonrpsee(running: &Running, subscribed: usize) -> Result<f64> {
    let mut control = Caller::open(&running.address).await?;
    let mut callers = subscribers(&running.address, subscribed, ("subscribe", &json!([]))).await?;
    let before = running.process.cpu()?;
    for _ in 0..BURSTS {
        control.call("publish", &json!({"count": BURST, "bytes": EVENT_BYTES})).await?;
        delivered(&mut callers, BURST).await?;
    }
    Ok(running.process.cpu()? - before)
}

async fn redis(running: &Running, subscribed: usize) -> Result<f64> {
    const SUBSCRIBED: usize = "*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n".len();
    let mut sockets = try_join_all((0..subscribed).map(|_| async {
        let mut socket = connect(running.address.socket).await?;
        let answered = async {
            socket.write_all(b"SUBSCRIBE t\r\n").await?;
            Ok(socket.read_exact(&mut [0; SUBSCRIBED]).await?)
        };
        within(ANSWER, answered).await?;
        anyhow::Ok(socket)
    }))
    .await?;
    let payload = "x".repeat(EVENT_BYTES);
    let publish = format!("PUBLISH t {payload}\r\n").repeat(BURST);
    let message = format!("*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n${EVENT_BYTES}\r\n{payload}\r\n").len();
    // The reply to each command is its number of receivers.
    let answers = format!(":{subscribed}\r\n").len() * BURST;
    let mut control = connect(running.address.socket).await?;
    let before = running.process.cpu()?;
    for _ in 0..BURSTS {
        let answered = async {
            control.write_all(publish.as_bytes()).await?;
            Ok(control.read_exact(&mut vec![0; answers]).await?)
        };
        within(ANSWER, answered).await?;
        let each = sockets.iter_mut().map(|socket| async move {
            let mut burst = vec![0; message * BURST];
            socket.read_exact(&mut burst).await
        });
        within(ANSWER, async { Ok(try_join_all(each).await?) }).await?;
    }
    Ok(running.process.cpu()? - before)
}
