//! Recordings of real CLIs, replayed by a process into a complete session, on pipes and on a terminal. The tests check
//! what is shown along the way and how the session ends.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use auth_spawner::{LoginRequest, Overlay, Registry, Snapshot, Spawner, SpawnerConfig, State, Terminal};
use futures_util::{StreamExt, stream};
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::harness::{Ear, NOW, Options, PATIENCE, fake_cli, saved};

/// The number of concurrent sessions. Each is a process that prints for a while.
const AT_ONCE: usize = 8;
/// The shortest pause in a recording that a session would notice, in seconds. It is replaced by `PAUSE`, in
/// milliseconds.
const NOTICED: f64 = 0.1;
const PAUSE: u64 = 150;

#[derive(Deserialize)]
struct Fixtures {
    recording: Vec<Recording>,
}

#[derive(Deserialize)]
struct Recording {
    name: String,
    provider: String,
    recipe: String,
    version: String,
    on: Terminal,
    heard: Vec<String>,
    #[serde(default)]
    writes: BTreeMap<String, String>,
    #[serde(default)]
    exit: u8,
    ends: String,
}

impl Recording {
    fn last(&self, word: &str) -> Option<&str> {
        self.heard.iter().rev().find_map(|heard| heard.strip_prefix(word))
    }
}

/// The built-in registry without its ports, which real CLIs may be using at the moment.
fn registry() -> Registry {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/providers");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let without_ports = |path: PathBuf| {
        let mut table: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        // One file holds no provider, only the rules about variables.
        for (_, provider) in
            table.get_mut("providers").and_then(toml::Value::as_table_mut).into_iter().flatten()
        {
            let recipes = provider.get_mut("cli").and_then(|cli| cli.get_mut("recipes"));
            for recipe in recipes.and_then(toml::Value::as_array_mut).into_iter().flatten() {
                recipe.as_table_mut().unwrap().remove("callback-ports");
            }
        }
        Overlay { source: path.display().to_string(), text: table.to_string() }
    };
    Registry::with_overlays(&files.map(without_ports).collect::<Vec<_>>()).unwrap()
}

/// Returns a script that prints the recording, including its pauses, and writes the files that the CLI had written
/// before its last output. It writes them only once `go` exists, because a login can end before the last output has
/// been read.
fn script(recording: &Recording, cli: &auth_spawner::Cli) -> String {
    let mut script = String::new();
    if let Some(check) = &cli.check {
        writeln!(script, "when {}\nexit 0\nwhen *", check.args.join(" ")).unwrap();
    }
    writeln!(script, "dir-var {}", cli.config_dir.var).unwrap();
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{}.events", recording.name));
    let events = std::fs::read_to_string(path).unwrap();
    let events: Vec<(f64, String, String)> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Typed input, and observations made in between, are not part of the output.
    let said = |(_, stream, text): &&(f64, String, String)| {
        matches!(stream.as_str(), "out" | "err" | "tty") && text != "EOF"
    };
    let count = events.iter().filter(said).count();
    let mut before = 0.0;
    for (position, (at, _, text)) in events.iter().filter(said).enumerate() {
        if position + 1 == count {
            if !recording.writes.is_empty() {
                script.push_str("wait-file go\n");
            }
            for (path, text) in &recording.writes {
                // Each line of a script is one line of text. None of these formats depends on line breaks.
                writeln!(script, "write {path} {}", one_line(path, text)).unwrap();
            }
        }
        if at - before >= NOTICED {
            writeln!(script, "sleep {PAUSE}").unwrap();
        }
        before = *at;
        script.push_str("raw ");
        for byte in text.bytes() {
            match byte {
                b'!'..=b'[' | b']'..=b'~' => script.push(char::from(byte)),
                _ => write!(script, "\\x{byte:02x}").unwrap(),
            }
        }
        script.push('\n');
    }
    writeln!(script, "exit {}", recording.exit).unwrap();
    script
}

/// Returns the same content on one line. YAML blocks have a flow form, and a line comment becomes a block comment.
fn one_line(path: &str, text: &str) -> String {
    let text = match path {
        "hosts.yml" => {
            let pairs = text.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(", ");
            format!("{} {{{pairs}}}", text.lines().next().unwrap())
        }
        _ => text.lines().map(comment).collect::<Vec<_>>().join(" "),
    };
    assert!(!text.contains('\n'));
    text
}

fn comment(line: &str) -> String {
    line.strip_prefix("//").map_or_else(|| line.to_owned(), |words| format!("/*{words} */"))
}

struct Replay {
    end: Snapshot,
    moves: Vec<Snapshot>,
    said: String,
}

async fn replay(recording: &Recording, registry: &Registry, terminal: Terminal) -> Replay {
    let home = tempfile::tempdir().unwrap();
    let provider = Arc::clone(registry.provider(&recording.provider).unwrap());
    let config = home.path().join("config");
    std::fs::create_dir(&config).unwrap();
    for path in recording.writes.keys() {
        let parent = config.join(path).parent().unwrap().to_owned();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).unwrap();
    }
    let path: PathBuf = home.path().join("script");
    std::fs::write(&path, script(recording, provider.cli.as_ref().unwrap())).unwrap();
    let Options { limits, answer, .. } = Options::on(terminal);
    let ear =
        Arc::new(Ear { moves: Mutex::default(), shown: Mutex::default(), logins: Mutex::default(), answer });
    let config_of_spawner = SpawnerConfig {
        environment: [("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")].into_iter().collect(),
        browser: Some("/bin/true".into()),
        shared: home.path().join("shared"),
        guard: None,
        network_advice: None,
        limits,
        clock: Arc::new(|| NOW),
    };
    let spawner = Spawner::new(config_of_spawner, Arc::<Ear>::clone(&ear));
    let on = if terminal == Terminal::Pipe { "pipe" } else { "pty" };
    let id = format!("auth-{}-{}-{on}", std::process::id(), recording.name);
    let request = LoginRequest {
        id: id.clone(),
        provider,
        recipe: recording.recipe.clone(),
        program: fake_cli(),
        version: Some(recording.version.clone()),
        args: None,
        check_args: None,
        extra_env: vec![("FAKE_SCRIPT".to_owned(), path.to_str().unwrap().to_owned())],
        config_dir: config,
        destination: None,
        scope: "bundle-1".to_owned(),
        expires_at: NOW + 600_000,
        terminal: Some(terminal),
    };
    spawner.start(request).unwrap();
    let mut watched = spawner.watch(&id).unwrap();
    if !recording.writes.is_empty() {
        let mut seen = Vec::new();
        let all = watched.wait_for(|snapshot| {
            seen.push(snapshot.clone());
            snapshot.state.is_terminal() || shown(recording, &seen).is_ok()
        });
        let all = tokio::time::timeout(PATIENCE, all).await.is_ok();
        assert!(all, "{} on {terminal:?}: {:?}", recording.name, shown(recording, &seen));
        std::fs::write(home.path().join("go"), "").unwrap();
    }
    let waited = watched.wait_for(|snapshot| snapshot.state.is_terminal());
    let end = tokio::time::timeout(PATIENCE, waited).await.unwrap().unwrap().clone();
    spawner.shutdown(PATIENCE).await;
    let login = ear.logins.lock().unwrap().pop();
    let said = match (&end.failure, login) {
        (Some(failure), None) => failure.kind.as_str().to_owned(),
        (None, Some(login)) => {
            assert_eq!(end.saved, Some(saved()));
            let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            if let Some(token) = login.token {
                format!("token of {} characters", token.secret().expose_secret().len())
            } else {
                let found = login.credential;
                format!("login of {}, {}", or_nothing(found.email), or_nothing(found.subject))
            }
        }
        other => panic!("{} ended as {other:?}", recording.name),
    };
    let moves = ear.moves.lock().unwrap().clone();
    Replay { end, moves, said }
}

/// Checks what the user is shown along the way, as far as the recording specifies it.
fn shown(recording: &Recording, moves: &[Snapshot]) -> Result<(), String> {
    let has = |what: &str, expected: Option<&str>, value: &dyn Fn(&Snapshot) -> Option<String>| {
        let found = moves.iter().rev().find_map(value);
        let same = found.as_deref() == expected;
        if same { Ok(()) } else { Err(format!("{what} is {found:?}, not {expected:?}")) }
    };
    has("the address", recording.last("go to "), &|snapshot| snapshot.auth_url.clone())?;
    has("the verification address", recording.last("verify at "), &|snapshot| {
        snapshot.verification_url.clone()
    })?;
    has("the code", recording.last("code "), &|snapshot| snapshot.device_code.clone())?;
    let openable = moves.iter().any(|snapshot| snapshot.url_openable);
    let addressed =
        moves.iter().any(|snapshot| snapshot.auth_url.is_some() || snapshot.verification_url.is_some());
    if openable == addressed { Ok(()) } else { Err("an address of the vendor's is not openable".to_owned()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_end_like_the_original_logins() {
    let fixtures: Fixtures = toml::from_str(include_str!("../fixtures/recordings.toml")).unwrap();
    let registry = registry();
    let runs = fixtures.recording.iter().flat_map(|recording| {
        let screen = if recording.on == Terminal::Pipe { Terminal::WIDE } else { recording.on };
        [(recording, Terminal::Pipe), (recording, screen)]
    });
    let registry = &registry;
    let wrong: Vec<String> = stream::iter(runs)
        .map(|(recording, terminal)| async move {
            let Replay { end, moves, said } = replay(recording, registry, terminal).await;
            let judged = if said != recording.ends {
                Err(format!("it ended as {said}: {:?}", end.failure))
            } else if (end.state == State::Success) != end.failure.is_none() {
                Err(format!("{end:?}"))
            } else {
                shown(recording, &moves)
            };
            judged.err().map(|wrong| format!("{} on {terminal:?}: {wrong}", recording.name))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
