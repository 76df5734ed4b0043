//! A separate daemon for each test: the built program in its own directories.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use identity_store::{Change, DatabaseUrl, Key, Keyring, Roots, Store, StoreOptions};
use rpc_engine::{CallError, Client, ClientEvent, ClientOptions, EventNames, RpcError, Subscription};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::PATIENCE;

/// The key of every test daemon.
pub(crate) const KEY: &str = "test-key-0123456789abcdef-0123456789";

/// The names of the events on the wire.
const EVENT_NAMES: EventNames = EventNames {
    event: "event",
    lagged: "events.lagged",
    subscribe: "events.subscribe",
    unsubscribe: "events.unsubscribe",
};

/// The parts of `endpoint.json` that the tests use.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    pub(crate) pid: u32,
    pub(crate) url: Option<String>,
    pub(crate) token_file: PathBuf,
    pub(crate) epoch: String,
}

impl Endpoint {
    /// Reads the file that the daemon of this home wrote.
    pub(crate) fn of(home: &Home) -> Self {
        serde_json::from_slice(&std::fs::read(home.dir("run/endpoint.json")).unwrap()).unwrap()
    }
}

/// Returns the current time in unix milliseconds.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Creates a directory that only this user may enter, with those above it.
pub(crate) fn private_directory(path: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}

/// Replaces a file by one that only this user may read.
pub(crate) fn private_file(path: &Path, content: &[u8]) {
    let fresh = path.with_extension("fresh");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).unwrap();
    file.write_all(content).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

/// Directories of a daemon, which need not be running.
pub(crate) struct Home {
    root: tempfile::TempDir,
    path: Vec<PathBuf>,
}

impl Home {
    /// Creates new directories with a key and an empty home.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("srvd-it-").tempdir().unwrap();
        let home = Self { root, path: vec!["/usr/local/bin".into(), "/usr/bin".into(), "/bin".into()] };
        for dir in ["home", "config", "data"] {
            private_directory(&home.dir(dir));
        }
        private_file(&home.dir("config/encryption.key"), KEY.as_bytes());
        home
    }

    /// Returns a path below the root.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Puts a directory first on the daemon's search path.
    pub(crate) fn search(mut self, dir: impl Into<PathBuf>) -> Self {
        self.path.insert(0, dir.into());
        self
    }

    /// Writes a file of the configuration, such as `srvd.toml` or a provider entry in `providers.d`.
    pub(crate) fn config(self, name: &str, text: &str) -> Self {
        let path = self.dir("config").join(name);
        std::fs::DirBuilder::new().recursive(true).create(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Returns the program with exactly the environment that its directories need.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_srvd"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir("home"))
            .env("SRVD_CONFIG_DIR", self.dir("config"))
            .env("SRVD_DATA_DIR", self.dir("data"))
            .env("SRVD_RUNTIME_DIR", self.dir("run"))
            .env("SRVD_LOG", "trace")
            .env("PATH", std::env::join_paths(&self.path).unwrap())
            .stdin(Stdio::null());
        command
    }

    /// Returns a shell with the environment of the program. In the script, `"$@"` is the program with these arguments.
    pub(crate) fn shell(&self, script: &str, args: &[&str]) -> Command {
        let own = self.command(args);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "sh"]).arg(own.get_program()).args(own.get_args());
        shell.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(Stdio::null());
        shell
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts the daemon and waits until it serves.
    pub(crate) fn start(self) -> Daemon {
        self.start_with(|command| command)
    }

    /// Starts the daemon with a change of its command, and waits until it serves.
    pub(crate) fn start_with(self, change: impl FnOnce(&mut Command) -> &mut Command) -> Daemon {
        let log = std::fs::File::options().create(true).append(true).open(self.dir("log")).unwrap();
        let child = change(&mut self.command(&["serve"])).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let daemon = Daemon { child, home: self };
        let waited = daemon.home.run(&["wait", "--timeout", "30"]);
        assert!(waited.status.success(), "the daemon did not start:\n{}", daemon.log());
        daemon
    }
}

/// A running daemon, which is stopped on drop.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) home: Home,
}

impl Daemon {
    /// Returns the daemon's log.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(self.home.dir("log")).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the endpoint file for local clients.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::of(&self.home)
    }

    /// Returns `host:port` of the TCP listener, and the token.
    pub(crate) fn tcp(&self) -> (String, String) {
        let endpoint = self.endpoint();
        let url = endpoint.url.unwrap();
        let address = url.strip_prefix("ws://").unwrap().strip_suffix("/rpc").unwrap().to_owned();
        (address, std::fs::read_to_string(endpoint.token_file).unwrap())
    }

    /// Connects a client to the Unix socket.
    pub(crate) async fn client(&self) -> Client {
        let stream = UnixStream::connect(self.home.dir("run/srvd.sock")).await.unwrap();
        Client::connect(stream, options()).await.unwrap()
    }

    /// Calls a method and returns its result.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.client()
            .await
            .call_raw(method, &params)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// Calls a method that must fail, and returns the code and the data.
    pub(crate) async fn refused(&self, method: &str, params: Value) -> (i32, Value) {
        let error = self.error(method, params).await;
        (error.code, error.data.unwrap_or_default())
    }

    /// Calls a method that must fail, and returns the complete error.
    pub(crate) async fn error(&self, method: &str, params: Value) -> RpcError {
        match self.client().await.call_raw(method, &params).await {
            Err(CallError::Rpc(error)) => {
                crate::contract::expect_described(method, &error);
                error
            }
            other => panic!("{method} should fail but gave {other:?}"),
        }
    }

    /// Waits until a session satisfies `done`, by long polls of `auth.poll`.
    pub(crate) async fn session(&self, id: &str, done: impl Fn(&Value) -> bool) -> Value {
        let client = self.client().await;
        let follow = async {
            let mut revision = 0;
            loop {
                let params = json!({"sessionId": id, "afterRevision": revision, "waitMs": 30_000});
                let session = client.call_raw("auth.poll", &params).await.unwrap();
                if done(&session) {
                    return session;
                }
                assert!(!is_over(&session), "the session ended: {session}");
                revision = session["revision"].as_u64().unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, follow).await.unwrap_or_else(|_| panic!("no news of {id}"))
    }

    /// Waits until a session has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        self.session(id, is_over).await
    }

    /// Sends a signal to the daemon's process.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until the daemon has ended. Its directories stay.
    pub(crate) fn waits(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks the daemon to stop, and waits until it has ended. Its directories stay.
    pub(crate) fn halt(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap();
    }

    /// Asks the daemon to stop, and waits until it has ended.
    pub(crate) fn stop(mut self) -> (ExitStatus, Home) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().unwrap();
        (status, self.take_home())
    }

    /// Kills the daemon, as a crash would.
    pub(crate) fn kill(mut self) -> Home {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.take_home()
    }

    fn take_home(mut self) -> Home {
        let empty = Home { root: tempfile::tempdir().unwrap(), path: Vec::new() };
        std::mem::replace(&mut self.home, empty)
    }
}

impl Drop for Daemon {
    /// Asks the daemon to stop and waits, so that the ports of its logins' CLIs are free for the next test.
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(rustix::process::Signal::TERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // A daemon that has already stopped has no process to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens the store of a daemon that is not running.
pub(crate) async fn store(home: &Home) -> Store {
    Store::open(store_options(home), keyring()).await.unwrap()
}

/// Opens the store of a running daemon, as another process would.
pub(crate) async fn attached(home: &Home) -> Store {
    Store::attach(store_options(home), keyring()).await.unwrap()
}

/// Opens the store of a daemon that is not running as an earlier version did, which stored absolute paths.
pub(crate) async fn unrooted_store(home: &Home) -> Store {
    let options = StoreOptions { roots: None, ..store_options(home) };
    Store::open(options, keyring()).await.unwrap()
}

fn store_options(home: &Home) -> StoreOptions {
    let url = DatabaseUrl::sqlite(home.dir("data/srvd.db"));
    let (data, user) = (home.dir("data"), home.dir("home"));
    StoreOptions::new(url, std::sync::Arc::new(|_: &[Change]| {}), 1).rooted(Roots::new(data, &user, &user))
}

fn keyring() -> Keyring {
    Keyring::from_key(Key::parse(KEY.as_bytes()).unwrap())
}

/// Returns whether a session has ended.
pub(crate) fn is_over(session: &Value) -> bool {
    matches!(session["status"].as_str(), Some("success" | "failed"))
}

/// Returns the data of the next event of a topic.
pub(crate) async fn event(subscription: &mut Subscription, wanted: &str) -> Option<Value> {
    let find = async {
        loop {
            match subscription.next().await.expect("the connection is open") {
                ClientEvent::Event { topic, data, .. } if topic == wanted => return data,
                ClientEvent::Event { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("no event {wanted}"))
}

fn options() -> ClientOptions {
    ClientOptions::new("srvd.sock", "/rpc", EVENT_NAMES)
}
