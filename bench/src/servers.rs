//! The servers to compare, each in a separate process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;

use crate::daemon::Home;
use crate::deadline::{ANSWER, within};
use crate::process::{Process, on_server_processor};
use crate::report::{Report, SRVD};

/// The interval between checks while a server is starting.
const LOOK: Duration = Duration::from_micros(200);

/// A server in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The daemon in its default configuration.
    Srvd,
    /// A JSON-RPC server based on the most common library.
    Jsonrpsee,
    /// A hand-written JSON-RPC server on tokio-tungstenite, with one flush for all replies that are ready. It is close
    /// to the limit.
    Raw,
    /// The most common WebSocket server for Node.
    Node,
    /// The most common server for publishing.
    Redis,
    /// A server with only tokio, sqlx and the same migrations.
    Floor,
}

impl Server {
    /// The name of the server in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Srvd => SRVD,
            Self::Jsonrpsee => "jsonrpsee",
            Self::Raw => "raw tungstenite",
            Self::Node => "Node ws",
            Self::Redis => "Redis",
            Self::Floor => "bare tokio + sqlx",
        }
    }

    /// The method that returns its parameters.
    pub(crate) fn echo(self) -> &'static str {
        if self == Self::Srvd { "srvd.ping" } else { "echo" }
    }
}

/// The paths of the programs.
pub(crate) struct Programs {
    pub(crate) srvd: PathBuf,
    peers: PathBuf,
    node: Option<PathBuf>,
}

impl Programs {
    /// Creates the set of paths.
    pub(crate) fn new(srvd: &Path, peers: &Path, node: Option<&Path>) -> Result<Self> {
        let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
        Ok(Self { srvd: absolute(srvd)?, peers: absolute(peers)?, node: node.map(absolute).transpose()? })
    }

    /// Returns the servers in `wanted` that can be started here, and reports the others as omitted.
    pub(crate) fn present(&self, report: &mut Report, wanted: &[Server]) -> Vec<Server> {
        let there = |server: &Server| match server {
            Server::Node => self.node.is_some(),
            Server::Redis => found("redis-server"),
            _ => true,
        };
        let (present, absent): (Vec<Server>, Vec<Server>) = wanted.iter().copied().partition(there);
        for server in absent {
            report.left_out(&format!("{} is not installed, so its rows are omitted.", server.name()));
        }
        present
    }

    /// Starts a server on the servers' processor and waits until it accepts connections.
    pub(crate) async fn start(&self, server: Server) -> Result<Running> {
        match server {
            Server::Srvd => self.start_srvd().await,
            Server::Jsonrpsee => self.start_peer("peer-jsonrpsee").await,
            Server::Raw => self.start_peer("peer-raw").await,
            Server::Floor => self.start_peer("peer-floor").await,
            Server::Node => {
                let dir = self.node.as_deref().context("there is no Node peer")?;
                let mut command = Command::new("node");
                command.arg(dir.join("ws.mjs")).current_dir(dir).env("PATH", search_path());
                announced(&command, None).await
            }
            Server::Redis => start_redis().await,
        }
    }

    async fn start_srvd(&self) -> Result<Running> {
        let work = TempDir::new()?;
        let running = Home::new(work.path(), &self.srvd)?.start_pinned().await?;
        Ok(Running { _work: Some(work), ..running })
    }

    async fn start_peer(&self, name: &str) -> Result<Running> {
        let work = TempDir::new()?;
        let mut command = Command::new(self.peers.join(name));
        command.arg(work.path()).env("PATH", search_path());
        announced(&command, Some(work)).await
    }
}

/// The address of a server.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A server that runs until dropped.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: Address,
    /// The time from starting the server until it accepted connections.
    pub(crate) took: Duration,
    /// The server's directory. It is removed after the server has exited.
    _work: Option<TempDir>,
}

impl Running {
    /// Creates a server. `work` is the server's own directory, if it is to be removed.
    pub(crate) fn new(process: Process, address: Address, took: Duration, work: Option<TempDir>) -> Self {
        Self { process, address, took, _work: work }
    }
}

/// Starts a server whose first line of output is its address.
async fn announced(command: &Command, work: Option<TempDir>) -> Result<Running> {
    let mut command = on_server_processor(command);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let started = Instant::now();
    let mut process = Process::start(command)?;
    let output = ChildStdout::from_std(process.output().context("the server has no output")?)?;
    let mut line = String::new();
    let first = async { Ok(BufReader::new(output).read_line(&mut line).await?) };
    within(ANSWER, first).await.context("the server did not start")?;
    let took = started.elapsed();
    let socket =
        line.trim().parse().with_context(|| format!("the server printed {line:?} instead of an address"))?;
    Ok(Running::new(process, Address { socket, path: "/", headers: Vec::new() }, took, work))
}

async fn start_redis() -> Result<Running> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let work = TempDir::new()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxclients", "10000"]);
    command.args(["--client-output-buffer-limit", "pubsub 0 0 0", "--port", &port.to_string()]);
    command.arg("--dir").arg(work.path()).env("PATH", search_path());
    let mut command = on_server_processor(&command);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut process = Process::start(command)?;
    let socket = SocketAddr::from(([127, 0, 0, 1], port));
    let accepts = async {
        while tokio::net::TcpStream::connect(socket).await.is_err() {
            process.check()?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    within(ANSWER, accepts).await.context("redis-server did not start")?;
    let address = Address { socket, path: "", headers: Vec::new() };
    Ok(Running::new(process, address, started.elapsed(), Some(work)))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark may read the process environment")]
fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// Returns whether a program is installed.
pub(crate) fn found(program: &str) -> bool {
    std::env::split_paths(&search_path()).any(|dir| dir.join(program).is_file())
}
