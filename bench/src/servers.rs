//! The servers that are compared, each a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::process::Process;

/// The key of every daemon in the comparison.
const KEY: &str = "bench-key-0123456789abcdef-0123456789";
/// The configuration. It differs from the shipped one only in what many connections need.
const CONFIG: &str = "[listen]\nconnections = 10000\n";
/// The number of services whose keys fill a bundle.
const PROVIDERS: usize = 16;
const PROVIDER: &str = r#"
[providers.bench-@N@]
display-name = "Bench @N@"
class = "api_key"

[providers.bench-@N@.key]
vars = ["BENCH_@N@_KEY"]
base-url = "https://bench.test"
"#;
/// A provider whose CLI, [`CLI`], logs in at once.
const LOGIN: &str = r#"
[providers.bench-login]
display-name = "Bench"
class = "oauth"

[providers.bench-login.cli]
binaries = ["benchcli"]
install = "it is a part of the benchmark"
url-hosts = ["login.bench.test"]

[providers.bench-login.cli.config-dir]
var = "BENCH_HOME"
name = "bench"
ambient = "~/.bench"

[providers.bench-login.cli.credential]
path = "credentials.json"
requires = ["/access"]

[[providers.bench-login.cli.recipes]]
id = "login"
args = ["login"]
terminal = "pipe"
"#;
const CLI: &str = "#!/bin/sh\nprintf '{\"access\":\"%s\"}' \"$$\" >\"$BENCH_HOME/credentials.json\"\n";
/// Longest time that a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interval between the checks for a daemon that starts.
const LOOK: Duration = Duration::from_micros(200);

/// A server of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The daemon as it is shipped.
    Srvd,
    /// A JSON-RPC server on the most common library.
    Jsonrpsee,
    /// A JSON-RPC server written by hand on tokio-tungstenite, with one flush for all replies that are ready. It is
    /// near the limit.
    Raw,
    /// The usual WebSocket server of Node.
    Node,
    /// The usual server for publishing.
    Redis,
    /// A server with tokio, sqlx and the same migrations, and nothing else.
    Floor,
}

impl Server {
    /// The name of the server in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Srvd => "srvd",
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
    srvd: PathBuf,
    examples: PathBuf,
    peers: PathBuf,
    node: Option<PathBuf>,
}

impl Programs {
    /// Creates the set of paths. The examples are in their own directory beside the daemon.
    pub(crate) fn new(srvd: &Path, peers: &Path, node: Option<&Path>) -> Result<Self> {
        let absolute = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
        let srvd = absolute(srvd)?;
        let examples = srvd.with_file_name("examples");
        Ok(Self { srvd, examples, peers: absolute(peers)?, node: node.map(absolute).transpose()? })
    }

    /// The path of one of our own programs for measuring.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        self.examples.join(name)
    }

    /// The path of a peer's program.
    pub(crate) fn peer(&self, name: &str) -> PathBuf {
        self.peers.join(name)
    }

    /// Returns the servers of `wanted` that can be started here.
    pub(crate) fn present(&self, wanted: &[Server]) -> Vec<Server> {
        let there = |server: &Server| match server {
            Server::Node => self.node.is_some(),
            Server::Redis => found("redis-server"),
            _ => true,
        };
        wanted.iter().copied().filter(there).collect()
    }

    /// Starts a server and waits until it accepts connections.
    pub(crate) fn start(&self, server: Server) -> Result<Running> {
        match server {
            Server::Srvd => self.start_srvd(),
            Server::Jsonrpsee => self.start_peer("peer-jsonrpsee"),
            Server::Raw => self.start_peer("peer-raw"),
            Server::Floor => self.start_peer("peer-floor"),
            Server::Node => {
                let dir = self.node.as_deref().context("there is no Node peer")?;
                let mut command = Command::new("node");
                command.arg(dir.join("ws.mjs")).current_dir(dir).env("PATH", search_path());
                announced(&command, None)
            }
            Server::Redis => start_redis(),
        }
    }

    fn start_peer(&self, name: &str) -> Result<Running> {
        let work = TempDir::new()?;
        let mut command = Command::new(self.peer(name));
        command.arg(work.path()).env("PATH", search_path());
        announced(&command, Some(work))
    }

    fn start_srvd(&self) -> Result<Running> {
        let work = TempDir::new()?;
        let root = work.path();
        for dir in ["bin", "home", "config", "config/providers.d", "data", "run"] {
            std::fs::DirBuilder::new().mode(0o700).create(root.join(dir))?;
        }
        write_private(&root.join("config/encryption.key"), KEY)?;
        std::fs::write(root.join("config/srvd.toml"), CONFIG)?;
        let entries: String =
            (0..PROVIDERS).map(|number| PROVIDER.replace("@N@", &number.to_string())).collect();
        std::fs::write(root.join("config/providers.d/bench.toml"), entries + LOGIN)?;
        let cli = root.join("bin/benchcli");
        std::fs::write(&cli, CLI)?;
        std::fs::set_permissions(&cli, std::fs::Permissions::from_mode(0o755))?;
        let mut path = root.join("bin").into_os_string();
        path.extend([":".as_ref(), search_path().as_os_str()]);
        let mut command = Command::new(&self.srvd);
        command
            .arg("serve")
            .env("HOME", root.join("home"))
            .env("SRVD_CONFIG_DIR", root.join("config"))
            .env("SRVD_DATA_DIR", root.join("data"))
            .env("SRVD_RUNTIME_DIR", root.join("run"))
            .env("PATH", path);
        let started = Instant::now();
        let process = Process::start(&command)?;
        let (endpoint, took) = loop {
            if let Ok(text) = std::fs::read(root.join("run/endpoint.json")) {
                let took = started.elapsed();
                break (serde_json::from_slice::<Endpoint>(&text)?, took);
            }
            if started.elapsed() > PATIENCE {
                bail!("the daemon did not start");
            }
            std::thread::sleep(LOOK);
        };
        let authority = endpoint.url.trim_start_matches("ws://").trim_end_matches("/rpc");
        let token = std::fs::read_to_string(&endpoint.token_file)?;
        let address = Address {
            socket: authority.parse().with_context(|| endpoint.url.clone())?,
            path: "/rpc",
            headers: vec![("Authorization", format!("Bearer {}", token.trim()))],
        };
        Ok(Running { process, address, took, _work: Some(work) })
    }
}

/// The needed fields of `endpoint.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    url: String,
    token_file: PathBuf,
}

/// The address of a server.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A server that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: Address,
    /// Time from the start of the server until it accepted connections.
    pub(crate) took: Duration,
    _work: Option<TempDir>,
}

/// Starts a server whose first line of output is its address.
fn announced(command: &Command, work: Option<TempDir>) -> Result<Running> {
    let started = Instant::now();
    let mut process = Process::start(command)?;
    let output = process.child().stdout.take().context("it has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let took = started.elapsed();
    let socket = line.trim().parse().with_context(|| format!("a server said {line:?}"))?;
    Ok(Running { process, address: Address { socket, path: "/", headers: Vec::new() }, took, _work: work })
}

fn start_redis() -> Result<Running> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let work = TempDir::new()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxclients", "10000"]);
    command.args(["--client-output-buffer-limit", "pubsub 0 0 0", "--port", &port.to_string()]);
    command.arg("--dir").arg(work.path()).env("PATH", search_path());
    let started = Instant::now();
    let process = Process::start(&command)?;
    let socket = SocketAddr::from(([127, 0, 0, 1], port));
    while std::net::TcpStream::connect(socket).is_err() {
        if started.elapsed() > PATIENCE {
            bail!("redis-server did not start");
        }
        std::thread::sleep(LOOK);
    }
    let address = Address { socket, path: "", headers: Vec::new() };
    Ok(Running { process, address, took: started.elapsed(), _work: Some(work) })
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no environment of its own to be careful with")]
fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

fn found(program: &str) -> bool {
    std::env::split_paths(&search_path()).any(|dir| dir.join(program).is_file())
}
