//! `launch.resolve` over the socket compared with its own statement in process, and durable writes compared with a
//! plain pool.

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::Plan;
use crate::calls::{Caller, Driven, frames};
use crate::report::{Goal, Report};
use crate::rounds::Rounds;
use crate::servers::Server;

const CPU: &str = "CPU";
const RATE: &str = "rate";
/// Calls in flight on the one connection, each for its own bundle.
const DEPTH: usize = 16;
const KEY: &str = "sk-a-key-of-the-benchmark-0123456789";
const RESOLVE: &str = "launch.resolve, 16 in flight";
const WRITE: &str = "16 concurrent durable credential writes";

/// Compares the daemon with the statements alone. The peer reads and writes a database with the daemon's own schema.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rounds = Rounds::default();
    let running = plan.programs.start(Server::Srvd)?;
    let peer = plan.programs.start(Server::Floor)?;
    let (ours, theirs) = (Server::Srvd.name(), Server::Floor.name());
    let mut caller = Caller::open(&running.address).await?;
    let mut alone = Alone(BufReader::new(TcpStream::connect(peer.address.socket).await?));
    let mut bundles = Vec::new();
    for number in 0..DEPTH {
        bundles.push(caller.filled_bundle(number, 1).await?);
    }
    let launches = frames(DEPTH, |id| ("launch.resolve", json!({"bundleId": bundles[id]})));
    let write = |id| json!({"userId": format!("user-{id}"), "agentId": "agent", "providerId": "openai", "apiKey": KEY});
    let writes = frames(DEPTH, |id| ("profile.upsert", write(id)));
    for _ in 0..plan.rounds {
        let before = running.process.cpu()?;
        let ours_done = caller.drive(&launches, plan.slice).await?;
        rounds.add(ours, CPU, (running.process.cpu()? - before) / ours_done.count);
        let before = peer.process.cpu()?;
        let theirs_done = alone.drive("resolve", plan).await?;
        rounds.add(theirs, CPU, (peer.process.cpu()? - before) / theirs_done.count);

        let written = caller.drive(&writes, plan.slice).await?;
        rounds.add(ours, RATE, written.count / written.seconds);
        let written = alone.drive("write", plan).await?;
        rounds.add(theirs, RATE, written.count / written.seconds);
    }
    for server in [ours, theirs] {
        report.figure(RESOLVE, server, "us CPU/call", rounds.median(server, CPU));
        report.figure(WRITE, server, "writes/s", rounds.median(server, RATE));
    }
    report.ratio(RESOLVE, theirs, rounds.ratio(ours, theirs, CPU), Goal::AtMost(1.5));
    report.ratio(WRITE, theirs, rounds.ratio(ours, theirs, RATE), Goal::AtLeast(4.0));
    Ok(())
}

/// The peer, which does the work in its own process.
struct Alone(BufReader<TcpStream>);

impl Alone {
    async fn drive(&mut self, work: &str, plan: &Plan) -> Result<Driven> {
        self.0.write_all(format!("{work} {}\n", plan.slice.as_millis()).as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let (count, seconds) = line.trim().split_once(' ').context("the peer broke off")?;
        Ok(Driven { count: count.parse()?, seconds: seconds.parse()? })
    }
}
