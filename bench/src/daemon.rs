//! A daemon with its own directories: starting it, waiting until it is ready, and stopping it.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::calls::Caller;
use crate::deadline::{ANSWER, within};
use crate::process::{Process, on_server_processor};
use crate::servers::{Address, Running};

/// The encryption key of every daemon in the benchmark.
const KEY: &str = "bench-key-0123456789abcdef-0123456789";
/// The configuration. It differs from the default only in what many connections and logins require.
const CONFIG: &str = "[listen]\nconnections = 10000\n\n[spawn]\nlive_logins = 200\n";
/// The search path of the daemon and its commands, after their own directory.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The number of services whose keys fill a bundle.
pub(crate) const SERVICES: usize = 16;
const SERVICE: &str = r#"
[providers.bench-@N@]
display-name = "Bench @N@"
class = "api_key"

[providers.bench-@N@.key]
vars = ["BENCH_@N@_KEY"]
base-url = "https://bench.test"
"#;
/// A provider whose CLI, [`CLI`], logs in immediately.
const LOGIN: &str = r#"
[providers.bench]
display-name = "Bench"
class = "oauth"

[providers.bench.cli]
binaries = ["benchcli"]
install = "it is a part of the benchmark"
url-hosts = ["login.bench.test"]

[providers.bench.cli.config-dir]
var = "BENCH_HOME"
name = "bench"
ambient = "~/.bench"

[providers.bench.cli.credential]
path = "credentials.json"
requires = ["/access"]

[[providers.bench.cli.recipes]]
id = "login"
args = ["login"]
terminal = "pipe"
"#;
const CLI: &str = "#!/bin/sh\nif [ \"$1\" = login ]; then\n\
    printf '{\"access\":\"%s\"}' \"$$\" >\"$BENCH_HOME/credentials.json\"\nfi\n";
/// The interval between checks while a daemon is starting.
const LOOK: Duration = Duration::from_micros(200);

/// Directories in which daemons are started, one after another.
pub(crate) struct Home {
    pub(crate) root: PathBuf,
    program: PathBuf,
    /// The URL of a database on a server; `None` for the default file.
    database: Option<String>,
}

impl Home {
    /// Creates the directories, with an encryption key, [`SERVICES`] services and a CLI.
    pub(crate) fn new(root: &Path, program: &Path) -> Result<Self> {
        for dir in ["", "bin", "home", "config", "config/providers.d", "data", "run"] {
            let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(root.join(dir));
            made.with_context(|| root.join(dir).display().to_string())?;
        }
        let home = Self { root: root.to_owned(), program: program.to_owned(), database: None };
        home.write("config/encryption.key", KEY, 0o600)?;
        home.write("config/srvd.toml", CONFIG, 0o600)?;
        let services = (0..SERVICES).map(|number| SERVICE.replace("@N@", &number.to_string()));
        home.write("config/providers.d/bench.toml", &(services.collect::<String>() + LOGIN), 0o600)?;
        home.write("bin/benchcli", CLI, 0o700)?;
        Ok(home)
    }

    /// Returns this home with a database on a server instead of a file.
    pub(crate) fn with_database(self, url: &str) -> Self {
        Self { database: Some(url.to_owned()), ..self }
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        use std::io::Write as _;
        let path = self.root.join(path);
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| path.display().to_string())
    }

    /// Returns a command with this home's environment.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let mut path = self.root.join("bin").into_os_string();
        path.push(":");
        path.push(SEARCH_PATH);
        command
            .env_clear()
            .env("HOME", self.root.join("home"))
            .env("SRVD_CONFIG_DIR", self.root.join("config"))
            .env("SRVD_DATA_DIR", self.root.join("data"))
            .env("SRVD_RUNTIME_DIR", self.root.join("run"))
            .env("SRVD_LISTEN", "127.0.0.1:0")
            .env("PATH", path)
            .envs(self.database.as_ref().map(|url| ("SRVD_DATABASE_URL", url)))
            .current_dir(&self.root);
        command
    }

    /// Returns a command that runs the daemon's program.
    pub(crate) fn srvd<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = self.command(&self.program);
        command.args(args);
        command
    }

    /// Starts the daemon and waits until it is ready. Its log is written to a file.
    pub(crate) async fn start(&self) -> Result<Running> {
        let mut command = self.srvd(["serve"]);
        command.stderr(std::fs::File::create(self.root.join("log"))?);
        let ready = self.ready(command).await;
        ready.with_context(|| std::fs::read_to_string(self.root.join("log")).unwrap_or_default())
    }

    /// Starts the daemon on the servers' processor and waits until it is ready. It writes no log.
    pub(crate) async fn start_pinned(&self) -> Result<Running> {
        let mut command = on_server_processor(&self.srvd(["serve"]));
        command.stderr(Stdio::null());
        self.ready(command).await
    }

    async fn ready(&self, mut command: Command) -> Result<Running> {
        let file = self.root.join("run/endpoint.json");
        // The file of an earlier daemon must not be mistaken for this one's.
        let _ = std::fs::remove_file(&file);
        command.stdout(Stdio::null());
        let started = Instant::now();
        let mut process = Process::start(command)?;
        let appears = async {
            loop {
                if let Ok(text) = std::fs::read(&file) {
                    return Ok((serde_json::from_slice::<Endpoint>(&text)?, started.elapsed()));
                }
                process.check()?;
                tokio::time::sleep(LOOK).await;
            }
        };
        let (endpoint, took) = within(ANSWER, appears).await.context("the daemon did not start")?;
        let authority = endpoint.url.trim_start_matches("ws://").trim_end_matches("/rpc");
        let token = std::fs::read_to_string(&endpoint.token_file)?;
        let address = Address {
            socket: authority.parse().with_context(|| endpoint.url.clone())?,
            path: "/rpc",
            headers: vec![("Authorization", format!("Bearer {}", token.trim()))],
        };
        Ok(Running::new(process, address, took, None))
    }

    /// Connects to the daemon's Unix socket, like the command line.
    pub(crate) async fn connect(&self) -> Result<Caller> {
        Caller::open_unix(&self.root.join("run/srvd.sock")).await
    }
}

/// The required fields of `endpoint.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    url: String,
    token_file: PathBuf,
}
