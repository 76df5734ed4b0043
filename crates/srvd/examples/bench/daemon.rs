//! A daemon with its own directories.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use identity_store::DatabaseUrl;
use rpc_engine::{Client, ClientOptions};
use srvd::base::endpoint::Endpoint;
use tokio::net::UnixStream;

use crate::courses;
use crate::table::{megabytes, milliseconds};

/// The key of every daemon of the benchmark.
pub(crate) const KEY: &str = "bench-key-0123456789abcdef-0123456789";
/// Longest time that any step may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Interval between two attempts to connect to a starting daemon.
const LOOK: Duration = Duration::from_micros(200);

const CONFIG: &str = "[listen]\nconnections = 10000\n\n[spawn]\nlive_logins = 200\n";

const ENTRY: &str = r#"
[providers.fake]
display-name = "Fake"
class = "oauth"

[providers.fake.cli]
binaries = ["fakecli"]
install = "build the examples of auth-spawner"
url-hosts = ["login.fake.test"]
env = { FAKE_SCRIPT = "@SCRIPT@" }

[providers.fake.cli.config-dir]
var = "FAKE_HOME"
name = "fake"
ambient = "~/.fake"

[providers.fake.cli.credential]
path = "credentials.json"
requires = ["/access"]
"#;

const RECIPE: &str = r#"
[[providers.fake.cli.recipes]]
id = "@ID@"
args = ["@ID@"]
terminal = @TERMINAL@
"#;

/// The terminals of a login: name and value in a registry file.
pub(crate) const TERMINALS: [(&str, &str); 2] = [("pipe", "\"pipe\""), ("pty", "{ pty = {} }")];

/// Directories in which daemons are started, one after the other.
pub(crate) struct Home {
    pub(crate) root: PathBuf,
    program: PathBuf,
    database: DatabaseUrl,
    /// The database's URL as passed to the daemon; `None` for the usual file.
    server: Option<String>,
}

impl Home {
    /// Creates the directories, with a key and the scripted CLI as a provider. Each course of the CLI is a recipe for
    /// each terminal: `url-pipe`, `url-pty`, and so on.
    pub(crate) fn new(root: &Path, program: &Path, fake_cli: &Path) -> Result<Self> {
        for dir in ["", "home", "config", "config/providers.d", "data", "bin"] {
            srvd::base::private::directory(&root.join(dir))?;
        }
        srvd::base::private::replace_file(&root.join("config/encryption.key"), KEY.as_bytes())?;
        std::fs::copy(fake_cli, root.join("bin/fakecli")).with_context(|| fake_cli.display().to_string())?;
        std::fs::write(root.join("config/srvd.toml"), CONFIG)?;
        let (mut script, mut entry) =
            (String::new(), ENTRY.replace("@SCRIPT@", &root.join("script").display().to_string()));
        for (course, steps) in courses::ALL {
            for (name, terminal) in TERMINALS {
                let id = format!("{course}-{name}");
                let steps = steps.replace("@FLOOD@", &courses::FLOOD.to_string());
                script.extend(["when ", &id, "\ndir-var FAKE_HOME\n", &steps]);
                entry.push_str(&RECIPE.replace("@ID@", &id).replace("@TERMINAL@", terminal));
            }
        }
        std::fs::write(root.join("script"), script)?;
        std::fs::write(root.join("config/providers.d/fake.toml"), entry)?;
        let database = DatabaseUrl::sqlite(root.join("data/srvd.db"));
        Ok(Self { root: root.to_owned(), program: program.to_owned(), database, server: None })
    }

    /// Returns this home with a database on a server instead of a file.
    pub(crate) fn with_server(self, url: &str) -> Result<Self> {
        Ok(Self { database: url.parse()?, server: Some(url.to_owned()), ..self })
    }

    /// Returns the address of the database.
    pub(crate) fn database(&self) -> &DatabaseUrl {
        &self.database
    }

    /// Starts the daemon and measures the time until a client is connected.
    pub(crate) async fn start(&self) -> Result<(Daemon, Boot)> {
        let (daemon, started) = self.spawn()?;
        let connect = async {
            loop {
                if let Ok(client) = daemon.client().await {
                    return client;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let connected = tokio::time::timeout(PATIENCE, connect).await;
        let until_connected = started.elapsed();
        let _client = connected.with_context(|| daemon.log())?;
        let daemon = daemon.ready().await?;
        let by_its_log = daemon.boot_by_its_log()?;
        Ok((daemon, Boot { until_connected, by_its_log }))
    }

    /// Starts the daemon and waits until it is ready, without a connection to it.
    pub(crate) async fn start_unseen(&self) -> Result<Daemon> {
        self.spawn()?.0.ready().await
    }

    fn spawn(&self) -> Result<(Daemon, Instant)> {
        // The file of an earlier daemon must not be mistaken for the one of this daemon.
        let _ = std::fs::remove_file(Endpoint::path(&self.root.join("run")));
        let log = std::fs::File::create(self.root.join("log"))?;
        let mut path = self.root.join("bin").into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .env_clear()
            .env("HOME", self.root.join("home"))
            .env("SRVD_CONFIG_DIR", self.root.join("config"))
            .env("SRVD_DATA_DIR", self.root.join("data"))
            .env("SRVD_RUNTIME_DIR", self.root.join("run"))
            .env("SRVD_LISTEN", "127.0.0.1:0")
            .env("SRVD_LOG_FORMAT", "json")
            .env("PATH", path)
            .envs(self.server.as_ref().map(|url| ("SRVD_DATABASE_URL", url)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let started = Instant::now();
        let child = command.spawn().with_context(|| self.program.display().to_string())?;
        Ok((Daemon { child, root: self.root.clone() }, started))
    }
}

/// Durations of a start.
#[derive(Clone, Copy)]
pub(crate) struct Boot {
    /// Time from the call that starts the program until a client has finished its handshake.
    pub(crate) until_connected: Duration,
    /// Duration that the daemon reports, in whole milliseconds.
    pub(crate) by_its_log: Duration,
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (its log: {})", milliseconds(self.until_connected), milliseconds(self.by_its_log))
    }
}

/// A running daemon, which is ended on drop.
pub(crate) struct Daemon {
    child: Child,
    root: PathBuf,
}

impl Daemon {
    /// Connects a client to the Unix socket.
    pub(crate) async fn client(&self) -> Result<Client> {
        let stream = UnixStream::connect(crate::socket(&self.root)).await?;
        let options = ClientOptions::new("srvd.sock", "/rpc", srvd::cli::EVENT_NAMES);
        Ok(Client::connect(stream, options).await?)
    }

    /// Returns the process ID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the present use of the daemon's process, without its children.
    pub(crate) fn usage(&self) -> Usage {
        let pid = self.child.id();
        Usage { memory: resident(pid).unwrap_or_default(), threads: threads(pid) }
    }

    /// Describes the resident memory of the daemon and of every process that it started.
    pub(crate) fn memory(&self) -> String {
        let pid = self.child.id();
        let Some(own) = resident(pid) else { return "not known on this system".to_owned() };
        let children: Vec<u64> = children(pid).into_iter().filter_map(resident).collect();
        let threads = threads(pid);
        let total = own + children.iter().sum::<u64>();
        format!("{} ({threads} threads, {} child processes)", megabytes(total), children.len())
    }

    /// Waits until the daemon has reported that it is ready.
    async fn ready(mut self) -> Result<Self> {
        let until = Instant::now() + PATIENCE;
        while self.boot_by_its_log().is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended with {status}:\n{}", self.log());
            }
            ensure!(Instant::now() < until, "the daemon did not start:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(self)
    }

    fn boot_by_its_log(&self) -> Result<Duration> {
        let log = self.log();
        let boot = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            // The log writes wide integers as text.
            .find_map(|line| line["boot_ms"].as_u64().or_else(|| line["boot_ms"].as_str()?.parse().ok()));
        Ok(Duration::from_millis(boot.context("the log has no boot_ms")?))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM comes first, so that the daemon ends its own children. A daemon that does not end is killed.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let until = Instant::now() + Duration::from_secs(15);
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resources that a process holds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    pub(crate) threads: usize,
}

impl Usage {
    /// Returns the larger value of each field.
    pub(crate) fn peak(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), threads: self.threads.max(other.threads) }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} threads", megabytes(self.memory), self.threads)
    }
}

fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Returns the `VmRSS` of a process in bytes.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Returns the processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let number = |name: std::ffi::OsString| std::str::from_utf8(name.as_bytes()).ok()?.parse().ok();
    processes
        .flatten()
        .filter_map(|entry| number(entry.file_name()))
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name may hold any character, so the fields after it are read: the state, then the parent.
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            fields.split_whitespace().nth(1) == Some(parent.to_string().as_str())
        })
        .collect()
}
