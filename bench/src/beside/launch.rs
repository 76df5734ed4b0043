//! `launch.resolve` over the socket compared with its own SQL statement in process, and durable writes compared with a
//! plain connection pool.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Plan, TIMES};
use crate::calls::{Caller, DEPTH, Driven, frames};
use crate::deadline::{ANSWER, ROW, within};
use crate::fill;
use crate::report::{Goal, Report, SRVD};
use crate::rounds::Rounds;
use crate::servers::{Running, Server};
use crate::socket::connect;

const CPU: &str = "CPU";
const RATE: &str = "rate";
const KEY: &str = "sk-a-key-of-the-benchmark-0123456789";
const RESOLVE: &str = "launch.resolve, 16 in flight";
const WRITE: &str = "16 concurrent durable credential writes";

/// A server that is ready to be driven.
enum Driver {
    /// The daemon, with the read calls and the write calls. Each launch uses a different bundle.
    Srvd { caller: Caller, launches: Vec<Vec<u8>>, writes: Vec<Vec<u8>> },
    /// The peer, which does the work in its own process.
    Floor(BufReader<TcpStream>),
}

/// Compares the daemon with the statements alone. The peer reads and writes a database with the daemon's schema.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut drivers = Vec::new();
    for server in [Server::Srvd, Server::Floor] {
        let ready = async {
            let running = plan.programs.start(server).await?;
            let driver = Driver::new(server, &running).await?;
            Ok((server.name(), running, driver))
        };
        drivers.extend(report.attempt(RESOLVE, server.name(), ROW, ready).await);
    }
    let mut rounds = Rounds::default();
    for _ in 0..plan.rounds {
        for (row, what) in [(RESOLVE, CPU), (WRITE, RATE)] {
            let mut ready = Vec::new();
            for (name, running, mut driver) in std::mem::take(&mut drivers) {
                let measured = async {
                    let before = running.process.cpu()?;
                    let done = driver.drive(row == WRITE, plan.slice).await?;
                    let cpu = (running.process.cpu()? - before) / done.count;
                    Ok(if what == CPU { cpu } else { done.count / done.seconds })
                };
                if let Some(figure) = report.attempt(row, name, ROW, measured).await {
                    rounds.add(name, what, figure);
                    ready.push((name, running, driver));
                } else {
                    rounds.forget(name);
                }
            }
            drivers = ready;
        }
    }
    for (name, ..) in &drivers {
        report.value(RESOLVE, name, "us CPU/call", rounds.median(name, CPU));
        report.value(WRITE, name, "writes/s", rounds.median(name, RATE));
    }
    let floor = Server::Floor.name();
    report.ratio(RESOLVE, floor, rounds.ratio(SRVD, floor, CPU), Goal::at_most(1.5, TIMES));
    report.ratio(WRITE, floor, rounds.ratio(SRVD, floor, RATE), Goal::at_least(4.0, TIMES));
    Ok(())
}

impl Driver {
    async fn new(server: Server, running: &Running) -> Result<Self> {
        if server == Server::Floor {
            return Ok(Self::Floor(BufReader::new(connect(running.address.socket).await?)));
        }
        let mut caller = Caller::open(&running.address).await?;
        let bundles = fill::bundles(&mut caller, "Bundle", 0..DEPTH, 1).await?;
        let launches = frames(DEPTH, |id| ("launch.resolve", json!({"bundleId": bundles[id]})));
        let write = |id| json!({"userId": format!("user-{id}"), "agentId": "agent", "providerId": "openai", "apiKey": KEY});
        let writes = frames(DEPTH, |id| ("profile.upsert", write(id)));
        Ok(Self::Srvd { caller, launches, writes })
    }

    async fn drive(&mut self, write: bool, slice: Duration) -> Result<Driven> {
        match self {
            Self::Srvd { caller, launches, writes } => {
                caller.drive(if write { writes } else { launches }, slice).await
            }
            Self::Floor(stream) => {
                let work = if write { "write" } else { "resolve" };
                let mut line = String::new();
                let answer = async {
                    stream.write_all(format!("{work} {}\n", slice.as_millis()).as_bytes()).await?;
                    Ok(stream.read_line(&mut line).await?)
                };
                within(slice + ANSWER, answer).await.context("no answer")?;
                let (count, seconds) =
                    line.trim().split_once(' ').context("the peer closed the connection")?;
                Ok(Driven { count: count.parse()?, seconds: seconds.parse()? })
            }
        }
    }
}
