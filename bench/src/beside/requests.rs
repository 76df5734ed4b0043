//! Small requests: the server's processor time per request, and their latency.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use super::{Plan, TIMES, Turns};
use crate::report::{Goal, Report};
use crate::servers::{Address, Running, Server};
use crate::socket::{Socket, encode, id_of};

const CPU: &str = "CPU";
const P99: &str = "p99";
const RATE: &str = "rate";
/// The text sent in each request and returned in its reply.
const TEXT: &str = "a text of sixty-four bytes, which is about what people send here";
/// The time for which a server runs before it is measured.
const WARM: Duration = Duration::from_millis(200);

/// A load pattern for a server.
struct Shape {
    connections: usize,
    /// The number of requests in flight on each connection.
    depth: usize,
    /// The maximum ratio to a peer, by measured quantity.
    goals: &'static [(Server, &'static str, f64)],
}

/// With one connection, even raw tungstenite misses 0.80 of jsonrpsee, because waking the processor is most of the cost
/// there. The goals for one connection are therefore relative to raw tungstenite.
const SHAPES: [Shape; 4] = [
    Shape { connections: 1, depth: 1, goals: &[(Server::Raw, CPU, 1.20)] },
    Shape { connections: 64, depth: 1, goals: &[(Server::Jsonrpsee, CPU, 0.80)] },
    Shape { connections: 1, depth: 16, goals: &[(Server::Raw, CPU, 1.40)] },
    Shape {
        connections: 64,
        depth: 16,
        goals: &[(Server::Jsonrpsee, CPU, 0.13), (Server::Raw, CPU, 1.40), (Server::Jsonrpsee, P99, 0.05)],
    },
];

/// Compares the servers.
pub(crate) async fn compare(plan: &Plan, report: &mut Report) -> Result<()> {
    let servers = [Server::Srvd, Server::Jsonrpsee, Server::Raw, Server::Node];
    for shape in &SHAPES {
        let plural = if shape.connections == 1 { "" } else { "s" };
        let row = format!("small request, {} connection{plural}, depth {}", shape.connections, shape.depth);
        let mut turns = Turns::start(plan, report, &row, &servers).await;
        for _ in 0..plan.rounds {
            turns
                .round(report, async |server, running| {
                    let Drive { requests, seconds, cpu, latency } =
                        drive(server, running, shape, plan.slice).await?;
                    Ok(vec![(CPU, cpu / requests), (RATE, requests / seconds), (P99, latency)])
                })
                .await;
        }
        for (what, unit) in [(CPU, "us CPU/request"), (RATE, "requests/s"), (P99, "us p99")] {
            turns.figures(report, what, unit);
        }
        for (peer, what, limit) in shape.goals {
            turns.ratio(report, *peer, what, Goal::at_most(*limit, TIMES));
        }
    }
    Ok(())
}

struct Drive {
    requests: f64,
    seconds: f64,
    /// The processor time in microseconds.
    cpu: f64,
    /// The latency in microseconds.
    latency: f64,
}

async fn drive(server: Server, running: &Running, shape: &Shape, slice: Duration) -> Result<Drive> {
    let connections = (0..shape.connections).map(|_| Connection::open(server, &running.address, shape.depth));
    let mut connections = try_join_all(connections).await?;
    let warm = Instant::now() + WARM;
    try_join_all(connections.iter_mut().map(|connection| connection.run(warm))).await?;
    connections.iter_mut().for_each(Connection::forget);

    let (before, started) = (running.process.cpu()?, Instant::now());
    let until = started + slice;
    try_join_all(connections.iter_mut().map(|connection| connection.run(until))).await?;
    let (cpu, seconds) = (running.process.cpu()? - before, started.elapsed().as_secs_f64());

    let mut latencies = Histogram::<u64>::new_with_max(60_000_000, 3)?;
    for connection in &connections {
        latencies.add(&connection.latencies)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 of them")]
    let (requests, latency) = (latencies.len() as f64, latencies.value_at_quantile(0.99) as f64);
    Ok(Drive { requests, seconds, cpu, latency })
}

/// A connection with a fixed number of requests in flight.
pub(crate) struct Connection {
    socket: Socket,
    /// One encoded request per index. The id of a request is its index.
    requests: Vec<Vec<u8>>,
    sent: Vec<Instant>,
    latencies: Histogram<u64>,
}

impl Connection {
    pub(crate) async fn open(server: Server, address: &Address, depth: usize) -> Result<Self> {
        let request = |id| {
            let method = server.echo();
            encode(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"text":"{TEXT}"}}}}"#
            ))
        };
        Ok(Self {
            socket: Socket::open(address).await?,
            requests: (0..depth).map(request).collect(),
            sent: vec![Instant::now(); depth],
            latencies: Histogram::new_with_max(60_000_000, 3)?,
        })
    }

    /// Sends a new request for each reply until the given time, then waits for the last replies.
    pub(crate) async fn run(&mut self, until: Instant) -> Result<()> {
        let mut ready: Vec<usize> = (0..self.requests.len()).collect();
        let (mut under_way, mut frames) = (0, Vec::new());
        loop {
            let now = Instant::now();
            if now < until {
                frames.clear();
                for place in ready.drain(..) {
                    frames.extend(self.requests.get(place).context("an id that was never sent")?);
                    if let Some(sent) = self.sent.get_mut(place) {
                        *sent = now;
                    }
                    under_way += 1;
                }
                self.socket.send(&frames).await?;
            }
            if under_way == 0 {
                return Ok(());
            }
            self.socket.receive(|reply| ready.extend(id_of(reply))).await?;
            let now = Instant::now();
            for place in &ready {
                let sent = self.sent.get(*place).context("an id that was never sent")?;
                let took = now.duration_since(*sent).as_micros();
                self.latencies.record(u64::try_from(took)?)?;
            }
            under_way -= ready.len();
            if now >= until {
                ready.clear();
            }
        }
    }

    pub(crate) fn forget(&mut self) {
        self.latencies.reset();
    }

    /// Returns the 99th percentile of the latencies, in microseconds.
    pub(crate) fn p99(&self) -> u64 {
        self.latencies.value_at_quantile(0.99)
    }
}
