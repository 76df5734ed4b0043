//! One publisher, many subscribers, events in bursts: what one delivery costs the server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Plan;
use crate::report::{Goal, Report};
use crate::rounds::Rounds;
use crate::servers::{Address, Running, Server};
use crate::socket::{Socket, encode};

const CPU: &str = "CPU";
const SUBSCRIBERS: usize = 1000;
/// Events that leave at once. Deleting a bundle of so many accounts is such a burst, and one bundle event beside it.
const BURST: usize = 16;
const BURSTS: usize = 10;
/// About what an event of the daemon takes in its frame.
const EVENT_BYTES: usize = 200;
const WORK: &str = "event to 1,000 subscribers, bursts of 16";
const TOPIC: &str = "identityaccounts:changed:*";
/// How long the deliveries of a burst may take.
const PATIENCE: Duration = Duration::from_secs(30);

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
            let cost = match server {
                Server::Redis => redis(running).await?,
                Server::Srvd => srvd(running).await?,
                _ => jsonrpsee(running).await?,
            };
            rounds.add(server.name(), CPU, cost);
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

/// Microseconds of the server for each delivery.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn each(cpu: f64) -> f64 {
    cpu / (BURST * BURSTS * SUBSCRIBERS) as f64
}

async fn subscribers(address: &Address, request: &str) -> Result<Vec<Socket>> {
    try_join_all((0..SUBSCRIBERS).map(|_| async {
        let mut socket = Socket::open(address).await?;
        call(&mut socket, request).await?;
        Ok(socket)
    }))
    .await
}

/// Waits until each subscriber has got so many frames that look like an event.
async fn delivered(sockets: &mut [Socket], count: usize) -> Result<()> {
    let each = sockets.iter_mut().map(|socket| async move {
        let mut seen = 0;
        while seen < count {
            socket.receive(|frame| seen += usize::from(contains(frame, b"\"method\":\"event\""))).await?;
        }
        ensure!(seen == count, "{seen} events instead of {count}");
        Ok(())
    });
    tokio::time::timeout(PATIENCE, try_join_all(each)).await.context("events did not arrive")??;
    Ok(())
}

fn contains(frame: &[u8], part: &[u8]) -> bool {
    // It stands at the beginning of the frame.
    frame.get(..64).unwrap_or(frame).windows(part.len()).any(|window| window == part)
}

/// Sends a request and waits for its answer.
async fn call(socket: &mut Socket, request: &str) -> Result<Value> {
    socket.send(&encode(request)).await?;
    let mut answer = None;
    while answer.is_none() {
        socket
            .receive(|frame| {
                if !contains(frame, b"\"method\":\"event\"") {
                    answer = Some(serde_json::from_slice::<Value>(frame));
                }
            })
            .await?;
    }
    let answer = answer.context("no answer")??;
    ensure!(answer.get("error").is_none(), "{request} was refused: {answer}");
    Ok(answer)
}

fn request(method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

async fn srvd(running: &Running) -> Result<f64> {
    let mut control = Socket::open(&running.address).await?;
    let bundles = filled_bundles(&mut control).await?;
    let subscribe = request("events.subscribe", &json!({"topics": [TOPIC]}));
    let mut sockets = subscribers(&running.address, &subscribe).await?;
    let before = running.process.cpu()?;
    for bundle in bundles {
        call(&mut control, &request("bundle.delete", &json!({"bundleId": bundle}))).await?;
        delivered(&mut sockets, BURST).await?;
    }
    Ok(each(running.process.cpu()? - before))
}

/// Bundles with as many accounts as a burst has events.
async fn filled_bundles(control: &mut Socket) -> Result<Vec<Value>> {
    let mut bundles = Vec::new();
    for _ in 0..BURSTS {
        let mut bundle = Value::Null;
        for number in 0..BURST {
            let params = json!({
                "providerId": format!("bench-{number}"),
                "intoBundleId": bundle,
                "apiKey": "a-key-of-the-benchmark-0123456789",
                "accountName": "bench",
                "validate": false,
            });
            let answer = call(control, &request("auth.submitapikey", &params)).await?;
            bundle = answer.pointer("/result/bundleId").cloned().with_context(|| answer.to_string())?;
        }
        bundles.push(bundle);
    }
    Ok(bundles)
}

async fn jsonrpsee(running: &Running) -> Result<f64> {
    let mut control = Socket::open(&running.address).await?;
    let mut sockets = subscribers(&running.address, &request("subscribe", &json!([]))).await?;
    let publish = request("publish", &json!({"count": BURST, "bytes": EVENT_BYTES}));
    let before = running.process.cpu()?;
    for _ in 0..BURSTS {
        call(&mut control, &publish).await?;
        delivered(&mut sockets, BURST).await?;
    }
    Ok(each(running.process.cpu()? - before))
}

async fn redis(running: &Running) -> Result<f64> {
    const SUBSCRIBED: usize = "*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n".len();
    let connect = || TcpStream::connect(running.address.socket);
    let mut sockets = try_join_all((0..SUBSCRIBERS).map(|_| async {
        let mut socket = connect().await?;
        socket.write_all(b"SUBSCRIBE t\r\n").await?;
        socket.read_exact(&mut [0; SUBSCRIBED]).await?;
        anyhow::Ok(socket)
    }))
    .await?;
    let payload = "x".repeat(EVENT_BYTES);
    let publish = format!("PUBLISH t {payload}\r\n").repeat(BURST);
    let message = format!("*3\r\n$7\r\nmessage\r\n$1\r\nt\r\n${EVENT_BYTES}\r\n{payload}\r\n").len();
    let mut control = connect().await?;
    let before = running.process.cpu()?;
    for _ in 0..BURSTS {
        let began = Instant::now();
        control.write_all(publish.as_bytes()).await?;
        let each = sockets.iter_mut().map(|socket| async move {
            let mut burst = vec![0; message * BURST];
            socket.read_exact(&mut burst).await
        });
        try_join_all(each).await?;
        ensure!(began.elapsed() < PATIENCE, "messages did not arrive");
    }
    Ok(each(running.process.cpu()? - before))
}
