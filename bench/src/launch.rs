//! `launch.resolve` over the socket beside its own statements in process, and durable writes beside a plain pool.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::Plan;
use crate::report::{Goal, Report};
use crate::rounds::Rounds;
use crate::servers::{Running, Server};
use crate::socket::{Socket, encode, id_of};

const CPU: &str = "CPU";
const RATE: &str = "rate";
/// Calls that are under way on the one connection.
const DEPTH: usize = 16;
const KEY: &str = "sk-a-key-of-the-benchmark-0123456789";
const RESOLVE: &str = "launch.resolve, 16 in flight";
const WRITE: &str = "16 concurrent durable credential writes";

/// Compares the daemon with the statements alone. The peer reads and writes a database with the daemon's own schema.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rounds = Rounds::default();
    let running = plan.programs.start(Server::Srvd)?;
    let peer = plan.programs.start(Server::Floor)?;
    let mut ours = Driver::open(&running).await?;
    let mut theirs = BufReader::new(TcpStream::connect(peer.address.socket).await?);
    let key = json!({"providerId": "openai", "apiKey": KEY, "accountName": "the first", "validate": false});
    let made = ours.call("auth.submitapikey", &key).await?;
    let bundle = made.pointer("/result/bundleId").cloned().with_context(|| made.to_string())?;
    let resolves = frames(|id| request(id, "launch.resolve", &json!({"bundleId": bundle})));
    let writes = frames(|id| {
        let profile = json!({"userId": format!("user-{id}"), "agentId": "agent", "providerId": "openai", "apiKey": KEY});
        request(id, "profile.upsert", &profile)
    });
    for _ in 0..plan.rounds {
        let before = running.process.cpu()?;
        let (count, _) = ours.drive(&resolves, plan).await?;
        rounds.add(Server::Srvd.name(), CPU, (running.process.cpu()? - before) / count);
        let before = peer.process.cpu()?;
        let (count, _) = alone(&mut theirs, "resolve", plan).await?;
        rounds.add(Server::Floor.name(), CPU, (peer.process.cpu()? - before) / count);

        let (count, seconds) = ours.drive(&writes, plan).await?;
        rounds.add(Server::Srvd.name(), RATE, count / seconds);
        let (count, seconds) = alone(&mut theirs, "write", plan).await?;
        rounds.add(Server::Floor.name(), RATE, count / seconds);
    }
    for server in [Server::Srvd, Server::Floor] {
        report.figure(RESOLVE, server.name(), "us CPU/call", rounds.median(server.name(), CPU));
        report.figure(WRITE, server.name(), "writes/s", rounds.median(server.name(), RATE));
    }
    let (ours, theirs) = (Server::Srvd.name(), Server::Floor.name());
    report.ratio(RESOLVE, theirs, rounds.ratio(ours, theirs, CPU), Goal::AtMost(1.5));
    report.ratio(WRITE, theirs, rounds.ratio(ours, theirs, RATE), Goal::AtLeast(4.0));
    Ok(())
}

/// Lets the peer do its work by itself: how often, and in how many seconds.
async fn alone(peer: &mut BufReader<TcpStream>, work: &str, plan: &Plan) -> Result<(f64, f64)> {
    peer.write_all(format!("{work} {}\n", plan.slice.as_millis()).as_bytes()).await?;
    let mut line = String::new();
    peer.read_line(&mut line).await?;
    let (count, seconds) = line.trim().split_once(' ').context("the peer broke off")?;
    Ok((count.parse()?, seconds.parse()?))
}

/// A connection that keeps calls of one kind under way.
struct Driver(Socket);

impl Driver {
    async fn open(running: &Running) -> Result<Self> {
        Ok(Self(Socket::open(&running.address).await?))
    }

    async fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.0.send(&encode(&request(0, method, params))).await?;
        let mut answer = None;
        while answer.is_none() {
            self.0.receive(|frame| answer = Some(serde_json::from_slice::<Value>(frame))).await?;
        }
        let answer = answer.context("no answer")??;
        ensure!(answer.get("error").is_none(), "{method} was refused: {answer}");
        Ok(answer)
    }

    /// How many calls there were, and in how many seconds.
    async fn drive(&mut self, frames: &[Vec<u8>], plan: &Plan) -> Result<(f64, f64)> {
        self.0.send(&frames.concat()).await?;
        let started = Instant::now();
        let (mut under_way, mut count, mut failures) = (DEPTH, 0.0, 0);
        while under_way > 0 {
            let mut ready = Vec::new();
            self.0
                .receive(|reply| {
                    ready.extend(id_of(reply));
                    failures += usize::from(reply.windows(8).any(|window| window == b"\"error\":"));
                })
                .await?;
            ensure!(failures == 0, "a call was refused");
            under_way -= ready.len();
            count += f64::from(u32::try_from(ready.len())?);
            if started.elapsed() < plan.slice {
                let again: Vec<u8> =
                    ready.iter().filter_map(|id| frames.get(*id)).flatten().copied().collect();
                self.0.send(&again).await?;
                under_way += ready.len();
            }
        }
        Ok((count, started.elapsed().as_secs_f64()))
    }
}

/// One call for each place; its id is the place.
fn frames(one: impl Fn(usize) -> String) -> Vec<Vec<u8>> {
    (0..DEPTH).map(|id| encode(&one(id))).collect()
}

fn request(id: usize, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}
