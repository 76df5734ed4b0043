//! One publisher, many subscribers, events in bursts: the server's cost of one delivery beyond the cost of publishing.

use anyhow::Result;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Plan;
use crate::calls::{Caller, within};
use crate::report::{Goal, Report};
use crate::rounds::Rounds;
use crate::servers::{Address, Running, Server};

const CPU: &str = "CPU";
const SUBSCRIBERS: usize = 1000;
/// Events sent at once. Deleting a bundle of this many accounts causes such a burst, with one bundle event beside it.
pub(crate) const BURST: usize = 16;
const BURSTS: usize = 10;
/// The approximate size of an event of the daemon in its frame, in bytes.
const EVENT_BYTES: usize = 200;
const WORK: &str = "event to 1,000 subscribers, bursts of 16";
pub(crate) const TOPIC: &str = "identityaccounts:changed:*";

/// Compares the servers.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let present = plan.programs.present(&[Server::Srvd, Server::Jsonrpsee, Server::Redis]);
    let mut rounds = Rounds::default();
    let servers = present
        .iter()
        .map(|server| Ok((*server, plan.programs.start(*server)?)))
        .collect::<Result<Vec<_>>>()?;
    for _ in 0..plan.rounds {
        for (server, running) in &servers {
            let published = bursts(*server, running, 0).await?;
            let cpu = bursts(*server, running, SUBSCRIBERS).await? - published;
            rounds.add(server.name(), CPU, cpu / f64::from(u32::try_from(BURST * BURSTS * SUBSCRIBERS)?));
        }
    }
    for server in &present {
        report.figure(WORK, server.name(), "us CPU/delivery", rounds.median(server.name(), CPU));
    }
    for (peer, goal) in [(Server::Jsonrpsee, 0.12), (Server::Redis, 0.90)] {
        let ratio = rounds.ratio(Server::Srvd.name(), peer.name(), CPU);
        report.ratio(WORK, peer.name(), ratio, Goal::AtMost(goal));
    }
    Ok(())
}

/// Returns the server's processor time for all bursts, in microseconds. The cost of publishing them, such as the
/// daemon's transactions, is the cost without subscribers.
async fn bursts(server: Server, running: &Running, subscribed: usize) -> Result<f64> {
    match server {
        Server::Redis => redis(running, subscribed).await,
        Server::Srvd => srvd(running, subscribed, BURSTS).await,
        _ => jsonrpsee(running, subscribed).await,
    }
}

/// Opens connections that each make this call.
pub(crate) async fn subscribers(
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
pub(crate) async fn srvd(running: &Running, subscribed: usize, bursts: usize) -> Result<f64> {
    let mut control = Caller::open(&running.address).await?;
    let mut bundles = Vec::new();
    for number in 0..bursts {
        bundles.push(control.filled_bundle(number, BURST).await?);
    }
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
    let connect = || TcpStream::connect(running.address.socket);
    let mut sockets = try_join_all((0..subscribed).map(|_| async {
        let mut socket = connect().await?;
        socket.write_all(b"SUBSCRIBE t\r\n").await?;
        socket.read_exact(&mut [0; SUBSCRIBED]).await?;
        anyhow::Ok(socket)
    }))
    .await?;
    let payload = "x".repeat(EVENT_BYTES);
    let publish = format!("PUBLISH t {payload}\r\n").repeat(BURST);
    let message = format!("*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n${EVENT_BYTES}\r\n{payload}\r\n").len();
    // Each command is answered with its number of receivers.
    let answers = format!(":{subscribed}\r\n").len() * BURST;
    let mut control = connect().await?;
    let before = running.process.cpu()?;
    for _ in 0..BURSTS {
        control.write_all(publish.as_bytes()).await?;
        let answered = async { Ok(control.read_exact(&mut vec![0; answers]).await?) };
        within(answered).await?;
        let each = sockets.iter_mut().map(|socket| async move {
            let mut burst = vec![0; message * BURST];
            socket.read_exact(&mut burst).await
        });
        within(async { Ok(try_join_all(each).await?) }).await?;
    }
    Ok(running.process.cpu()? - before)
}
