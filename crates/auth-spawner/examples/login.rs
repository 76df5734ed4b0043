//! Drives the scripted CLI `examples/fake_cli.rs` from its start to a proven login, printing each step.
//!
//! `cargo build -p auth-spawner --examples && cargo run -p auth-spawner --example login`

#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_spawner::{
    ConfirmedLogin, LoginRequest, Overlay, Registry, SaveError, Saved, Sink, Snapshot, SpawnLimits, Spawner,
    SpawnerConfig, State,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::SecretString;

const SESSION: &str = "example";
/// The CLI's behaviour: it prints a URL, waits for the pasted answer, and writes its credential file.
const SCRIPT: &str = r#"when status
exit 0
when *
dir-var FAKE_HOME
out Open https://login.example.test/authorize?state=S1
outn Paste code >
read pasted
write auth.json {"access_token":"at","refresh_token":"rt","email":"ada@example.test"}
out Logged in
"#;

/// A sink that prints instead of storing.
struct PrintingSink;

impl Sink for PrintingSink {
    fn moved(&self, snapshot: Snapshot) -> BoxFuture<'static, ()> {
        println!("state: {}", snapshot.state.as_str());
        ready(()).boxed()
    }

    fn shown(&self, _: &Snapshot) {}

    fn save(&self, login: ConfirmedLogin) -> BoxFuture<'static, Result<Saved, SaveError>> {
        println!("proven: {:?}", login.credential);
        ready(Ok(Saved {
            bundle: Some("bundle".to_owned()),
            profile: None,
            account: "account".to_owned(),
            replaced: None,
        }))
        .boxed()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let home = tempfile::tempdir()?;
    let (script, config_dir) = (home.path().join("script"), home.path().join("config"));
    std::fs::write(&script, SCRIPT)?;
    std::fs::create_dir(&config_dir)?;
    let text = include_str!("../tests/fixtures/fake.toml")
        .replace("{script}", &script.to_string_lossy())
        .replace("{port}", "1");
    let registry = Registry::with_overlays(&[Overlay { source: "fake.toml".to_owned(), text }])?;
    let provider = registry.provider("fake").ok_or("the registry has no such provider")?;

    let config = SpawnerConfig {
        environment: [("PATH", "/usr/bin:/bin")].into_iter().collect(),
        browser: None,
        shared: home.path().join("shared"),
        limits: SpawnLimits::default(),
        clock: Arc::new(now),
        guard: None,
        network_advice: None,
    };
    let spawner = Spawner::new(config, Arc::new(PrintingSink));
    spawner.start(LoginRequest {
        id: SESSION.to_owned(),
        provider: Arc::clone(provider),
        recipe: String::new(),
        program: fake_cli()?,
        version: None,
        args: None,
        check_args: None,
        extra_env: Vec::new(),
        config_dir,
        destination: None,
        scope: "scope".to_owned(),
        expires_at: now() + 60_000,
        terminal: None,
    })?;
    let mut session = spawner.watch(SESSION).ok_or("the login is unknown")?;
    let waits = |snapshot: &Snapshot| (snapshot.prompt && snapshot.prompted) || snapshot.state.is_terminal();
    let asked = session.wait_for(waits).await?.clone();
    println!("address: {}", asked.auth_url.unwrap_or_default());
    spawner.submit(SESSION, SecretString::from("code#S1")).await?;
    let end = session.wait_for(|snapshot| snapshot.state.is_terminal()).await?.clone();
    spawner.shutdown(Duration::from_secs(10)).await;
    match end.failure {
        None if end.state == State::Success => Ok(()),
        failure => Err(format!("the login did not succeed: {failure:?}").into()),
    }
}

/// Returns the path of the scripted CLI, which is built next to this program.
fn fake_cli() -> Result<PathBuf, Box<dyn Error>> {
    let path = std::env::current_exe()?.with_file_name("fake_cli");
    if path.exists() { Ok(path) } else { Err("build the CLI: cargo build -p auth-spawner --examples".into()) }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
