//! A login with the fake CLI: a home, a provider, a spawner, and a sink that records its calls.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_spawner::{
    ChildEnv, ConfirmedLogin, Guard, LoginRequest, Overlay, Provider, Registry, SaveError, Saved, Sink,
    Snapshot, SpawnLimits, Spawner, SpawnerConfig, StartError, State, Terminal,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;

/// The terminals on which every case runs.
pub(crate) const TERMINALS: [Terminal; 2] = [Terminal::Pipe, Terminal::WIDE];
/// Longer than anything takes on a busy machine. Reaching it means that the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const NOW: i64 = 1_795_000_000_000;
pub(crate) const LOGIN: &str = r#"{"access_token":"at-{now_us}","refresh_token":"rt","expires_at":1795000900000,"email":"ada@example.test","sub":"u-1"}"#;

/// The path of the fake CLI.
pub(crate) fn fake_cli() -> PathBuf {
    let path = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/fake_cli");
    assert!(path.exists(), "the fake CLI is missing; run: cargo build -p auth-spawner --examples");
    path
}

/// A sink that records the calls it receives and the answers it gives.
pub(crate) struct Ear {
    pub(crate) moves: Mutex<Vec<Snapshot>>,
    pub(crate) shown: Mutex<Vec<Snapshot>>,
    pub(crate) logins: Mutex<Vec<ConfirmedLogin>>,
    pub(crate) answer: Result<Saved, SaveError>,
}

impl Sink for Ear {
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()> {
        self.moves.lock().unwrap().push(snapshot);
        std::future::ready(()).boxed()
    }

    fn shown(&self, snapshot: &Snapshot) {
        assert_eq!(self.moves.lock().unwrap().iter().filter(|moved| *moved == snapshot).count(), 1);
        self.shown.lock().unwrap().push(snapshot.clone());
    }

    fn save(&self, login: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>> {
        self.logins.lock().unwrap().push(login);
        std::future::ready(self.answer.clone()).boxed()
    }
}

pub(crate) fn saved() -> Saved {
    Saved { bundle: Some("b-1".to_owned()), profile: None, account: "a-1".to_owned(), replaced: None }
}

/// A home for logins of the provider `fake`.
pub(crate) struct World {
    pub(crate) home: TempDir,
    pub(crate) spawner: Spawner,
    pub(crate) ear: Arc<Ear>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) terminal: Terminal,
    /// The port used by the recipes `callback` and `leased`.
    pub(crate) port: u16,
    /// The session id. It is unique to this home, because ending a session kills every process that carries its mark.
    pub(crate) id: String,
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Options {
    pub(crate) terminal: Terminal,
    pub(crate) answer: Result<Saved, SaveError>,
    pub(crate) limits: SpawnLimits,
    pub(crate) guard: Option<Guard>,
    pub(crate) network_advice: Option<String>,
}

impl Options {
    pub(crate) fn on(terminal: Terminal) -> Self {
        let limits = SpawnLimits {
            check_timeout: Duration::from_secs(10),
            term_grace: Duration::from_millis(300),
            linger: Duration::from_millis(300),
            ..SpawnLimits::default()
        };
        Self { terminal, answer: Ok(saved()), limits, guard: None, network_advice: None }
    }
}

impl World {
    pub(crate) fn new(terminal: Terminal, script: &str) -> Self {
        Self::with(Options::on(terminal), script)
    }

    pub(crate) fn with(options: Options, script: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("config")).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let path = home.path().join("script");
        std::fs::write(&path, script.replace("{port}", &port.to_string())).unwrap();
        let text = include_str!("../fixtures/fake.toml")
            .replace("{script}", path.to_str().unwrap())
            .replace("{port}", &port.to_string());
        let registry = Registry::with_overlays(&[Overlay { source: "fake.toml".into(), text }]).unwrap();
        let provider = Arc::clone(registry.provider("fake").unwrap());
        let ear = Arc::new(Ear {
            moves: Mutex::default(),
            shown: Mutex::default(),
            logins: Mutex::default(),
            answer: options.answer.clone(),
        });
        let environment: ChildEnv =
            [("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent"), ("FAKE_KEY", "must not be seen")]
                .into_iter()
                .collect();
        let config = SpawnerConfig {
            environment,
            browser: Some("/bin/true".into()),
            shared: home.path().join("shared"),
            limits: options.limits,
            clock: Arc::new(|| NOW),
            guard: options.guard,
            network_advice: options.network_advice,
        };
        let spawner = Spawner::new(config, Arc::<Ear>::clone(&ear));
        let id = format!("auth-{}-{}", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
        Self { home, spawner, ear, provider, terminal: options.terminal, port, id }
    }

    /// Creates a login for another scope, in a separate directory.
    pub(crate) fn in_scope(&self, id: &str, recipe: &str, scope: &str) -> LoginRequest {
        let config_dir = self.home.path().join(scope);
        std::fs::create_dir(&config_dir).unwrap();
        LoginRequest { scope: scope.to_owned(), config_dir, ..self.request(id, recipe) }
    }

    pub(crate) fn request(&self, id: &str, recipe: &str) -> LoginRequest {
        LoginRequest {
            id: id.to_owned(),
            provider: Arc::clone(&self.provider),
            recipe: recipe.to_owned(),
            program: fake_cli(),
            version: None,
            args: None,
            check_args: None,
            extra_env: Vec::new(),
            config_dir: self.home.path().join("config"),
            destination: None,
            scope: "bundle-1".to_owned(),
            expires_at: NOW + 600_000,
            terminal: Some(self.terminal),
        }
    }

    pub(crate) fn start(&self, recipe: &str) -> Result<(), StartError> {
        self.spawner.start(self.request(&self.id, recipe))
    }

    /// Waits until the session satisfies the condition.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        self.until_within(PATIENCE, what, holds).await
    }

    /// Like [`Self::until`], but waits up to `patience`, for logins that take longer than usual.
    pub(crate) async fn until_within(
        &self,
        patience: Duration,
        what: &str,
        holds: impl Fn(&Snapshot) -> bool,
    ) -> Snapshot {
        let mut receiver = self.spawner.watch(&self.id).unwrap();
        let waited = tokio::time::timeout(patience, receiver.wait_for(|snapshot| holds(snapshot))).await;
        match waited {
            Ok(Ok(snapshot)) => snapshot.clone(),
            _ => panic!("{what} on {:?}: {:?}", self.terminal, self.spawner.snapshot(&self.id)),
        }
    }

    pub(crate) async fn end(&self) -> Snapshot {
        self.until("the end", |snapshot| snapshot.state.is_terminal()).await
    }

    pub(crate) async fn until_url(&self) -> Snapshot {
        self.until("an address", |snapshot| snapshot.auth_url.is_some()).await
    }

    pub(crate) async fn until_prompt(&self) -> Snapshot {
        self.until("the CLI's question", |snapshot| snapshot.prompt && snapshot.prompted).await
    }

    /// Waits until the user may paste an answer, whether or not the CLI has prompted for one.
    pub(crate) async fn until_offer(&self) -> Snapshot {
        self.until("an offer", |snapshot| snapshot.prompt).await
    }

    /// Waits until the CLI has created a file, and reads it.
    pub(crate) async fn file(&self, name: &str) -> String {
        let path = self.home.path().join(name);
        let appears = async {
            loop {
                if let Ok(text) = std::fs::read_to_string(&path) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let text = tokio::time::timeout(PATIENCE, appears).await;
        text.unwrap_or_else(|_| panic!("{name} was not written on {:?}", self.terminal))
    }

    /// Waits until a file ends with this character. Returns its whole text.
    pub(crate) async fn file_ending(&self, name: &str, end: char) -> String {
        let written = async {
            loop {
                let text = self.file(name).await;
                if text.ends_with(end) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let text = tokio::time::timeout(PATIENCE, written).await;
        text.unwrap_or_else(|_| panic!("{name} does not end with {end:?} on {:?}", self.terminal))
    }

    pub(crate) fn touch(&self, name: &str) {
        std::fs::write(self.home.path().join(name), "").unwrap();
    }

    pub(crate) fn write_config(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join("config").join(name), text).unwrap();
    }

    /// The states through which this login has passed.
    pub(crate) fn states(&self) -> Vec<State> {
        let moves = self.ear.moves.lock().unwrap();
        let own = moves.iter().filter(|snapshot| snapshot.id == self.id);
        let mut states: Vec<State> = own.map(|snapshot| snapshot.state).collect();
        states.dedup();
        states
    }

    /// The processes that carry this login's mark.
    pub(crate) fn marked(&self) -> Vec<u32> {
        marked(|session| session == self.id)
    }

    /// Asserts that no process of this login is left.
    pub(crate) fn assert_no_process_left(&self) {
        assert_eq!(self.marked(), Vec::<u32>::new(), "on {:?}", self.terminal);
    }

    /// Asserts that another login for the same scope can start and gets a process.
    pub(crate) async fn assert_scope_is_free(&self) {
        let id = format!("{}-next", self.id);
        let next = LoginRequest {
            program: "/bin/sleep".into(),
            args: Some(vec!["1000".to_owned()]),
            ..self.request(&id, "login")
        };
        self.spawner.start(next).unwrap();
        let mut receiver = self.spawner.watch(&id).unwrap();
        let started =
            receiver.wait_for(|snapshot| snapshot.pid.is_some() || snapshot.state.is_terminal()).map(|_| ());
        tokio::time::timeout(PATIENCE, started).await.unwrap();
        assert_eq!(self.spawner.cancel(&id).await, Ok(()), "on {:?}", self.terminal);
        assert_eq!(marked(|session| session == id), Vec::<u32>::new(), "on {:?}", self.terminal);
    }
}

/// Returns the processes that carry the mark of a matching session.
pub(crate) fn marked(is_meant: impl Fn(&str) -> bool) -> Vec<u32> {
    let is_marked = |process: &Path| {
        let environ = std::fs::read(process.join("environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|entry| {
            let session = entry.strip_prefix(b"SRVD_SESSION=");
            session.and_then(|session| std::str::from_utf8(session).ok()).is_some_and(&is_meant)
        })
    };
    let number = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|process| is_marked(process)).filter_map(number).collect()
}

/// Returns whether this process is running. A zombie is not.
pub(crate) fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The resident memory of this process in KiB.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
