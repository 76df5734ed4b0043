//! Every CLI, with every kind of credential that it can have, reached in every way, while the person's own home and
//! environment are full of other credentials.
//!
//! The suite runs a selection: each CLI with each kind of credential, each way for each CLI, and all ways for those that
//! answer at once. With `SRVD_TEST_MATRIX=full` every combination runs (`scripts/nightly.sh`).

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::scene::{SETUP_TOKEN, Scene};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{clis, planted, private_file};

/// The longest time of one run, on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// The kind of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A login in the directory of a bundle.
    Login,
    /// A token that the CLI's login printed, in a bundle.
    SetupToken,
    /// A key in a bundle.
    Key,
    /// The access token of a user.
    UserToken,
    /// A key of a user.
    UserKey,
    /// A key that a file declares for an agent.
    Declared,
    /// A key that a client lends to an agent.
    Lent,
}
use Kind::{Declared, Key, Lent, Login, SetupToken, UserKey, UserToken};

const KEYS: [Kind; 4] = [Key, UserKey, Declared, Lent];

/// The providers whose keys are stored.
const KEY_PROVIDERS: [&str; 7] = ["amp", "anthropic", "gemini", "github", "moonshot", "openai", "qwen"];

/// A CLI, and a question that makes it send its credential.
struct Asked {
    /// The provider of its login.
    provider: &'static str,
    /// The provider of the key with which it is started.
    key: Option<&'static str>,
    program: PathBuf,
    args: &'static [&'static str],
    /// Further arguments when it is started with its login.
    login_args: &'static [&'static str],
    /// Further arguments when it is started with a key.
    key_args: &'static [&'static str],
    /// A part of the login that it sends, if it has one.
    login: Option<String>,
    /// Kinds of credentials beside a login and keys.
    tokens: &'static [Kind],
}

/// A combination.
struct Cell<'a> {
    asked: &'a Asked,
    kind: Kind,
    way: Way,
}

/// A way to reach a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Env,
    Shell,
    LoginShell,
    NpmScript,
    Script,
    LaunchInALaunch,
}

const WAYS: [Way; 7] =
    [Way::Direct, Way::Env, Way::Shell, Way::LoginShell, Way::NpmScript, Way::Script, Way::LaunchInALaunch];

impl Asked {
    fn kinds(&self) -> Vec<Kind> {
        let login = self.login.iter().map(|_| Login);
        let keys = self.key.iter().flat_map(|_| KEYS);
        login.chain(self.tokens.iter().copied()).chain(keys).collect()
    }
}

/// Returns the secret of a kind. Its text says which it is.
fn secret(kind: Kind, provider: &str) -> String {
    let prefix = match provider {
        "anthropic" => "sk-ant-api03-",
        "openai" => "sk-proj-",
        "gemini" => "AIza",
        "github" => "ghp_",
        "amp" => "sgamp_",
        _ => "sk-",
    };
    format!("{prefix}{kind:?}{provider}0123456789012345678901234567890123456789")
}

/// Returns the arguments that name the identity with this credential.
fn subject(kind: Kind, provider: &str, key: &str) -> Vec<String> {
    let words: Vec<String> = match kind {
        Login => vec!["--bundle".into(), "work".into()],
        SetupToken => vec!["--bundle".into(), "token".into()],
        Key => vec!["--bundle".into(), format!("key-{key}")],
        UserToken => vec!["--agent".into(), format!("UserToken-{provider}"), "--user".into(), "u".into()],
        UserKey => vec!["--agent".into(), format!("UserKey-{key}"), "--user".into(), "u".into()],
        Declared | Lent => vec!["--agent".into(), format!("{kind:?}-{key}")],
    };
    words
}

/// Stores a credential of each kind and provider.
async fn store_all(scene: &Scene) {
    let daemon = &scene.daemon;
    let mut agents = String::new();
    for provider in KEY_PROVIDERS {
        let created = daemon.call("bundle.create", json!({"name": format!("key-{provider}")})).await;
        let params = json!({
            "providerId": provider, "intoBundleId": created["id"], "apiKey": secret(Key, provider),
            "accountName": "Key", "validate": false
        });
        assert_eq!(daemon.call("auth.submitapikey", params).await["success"], true, "{provider}");
        let of = |kind: Kind| json!({"agentId": format!("{kind:?}-{provider}"), "providerId": provider, "apiKey": secret(kind, provider)});
        daemon.call("ephemeral.put", of(Lent)).await;
        let mut params = of(UserKey);
        params["userId"] = "u".into();
        daemon.call("profile.upsert", params).await;
        let key = secret(Declared, provider);
        writeln!(agents, "[[agents]]\nid = 'Declared-{provider}'\nproviders.{provider}.key = '{key}'")
            .unwrap();
    }
    for provider in ["claude", "copilot", "github"] {
        let params = json!({
            "userId": "u", "agentId": format!("UserToken-{provider}"), "providerId": provider,
            "tokens": {"accessToken": secret(UserToken, provider)},
        });
        daemon.call("profile.upsert", params).await;
    }
    private_file(&daemon.home.dir("config/agents.toml"), agents.as_bytes());
    let declared = daemon.call("declared.reload", json!({})).await;
    assert_eq!(declared["errors"], json!([]), "{declared}");
    scene.share_nothing().await;
}

/// Returns the CLIs.
fn all(scene: &Scene) -> Vec<Asked> {
    let at = |name: &str| clis().join(name);
    let token = || Some(planted::token("work@example.test"));
    let cli = |provider, key, program, args| Asked {
        provider,
        key,
        program,
        args,
        login_args: &[],
        key_args: &[],
        login: None,
        tokens: &[],
    };
    let mut all = vec![
        Asked {
            login: Some("sk-ant-oat01-planted".to_owned()),
            tokens: &[SetupToken, UserToken],
            ..cli("claude", Some("anthropic"), at("claude"), &["-p", "hi"])
        },
        Asked {
            login: token(),
            ..cli("codex", Some("openai"), at("codex"), &["exec", "--skip-git-repo-check", "hi"])
        },
        Asked {
            login: Some("ya29.work".to_owned()),
            ..cli("gemini", Some("gemini"), at("gemini"), &["--skip-trust", "-p", "hi"])
        },
        Asked {
            login: Some("gho_worktoken0123456789".to_owned()),
            tokens: &[UserToken],
            ..cli("copilot", None, at("copilot"), &["-p", "hi"])
        },
        Asked { login: token(), ..cli("kimi-code", Some("moonshot"), at("kimi"), &["-p", "hi"]) },
        Asked {
            login: token(),
            ..cli("opencode", Some("openai"), at("opencode"), &["run", "-m", "openai/gpt-5", "hi"])
        },
        cli("qwen", Some("qwen"), at("qwen"), &["-p", "hi"]),
        Asked { login: token(), ..cli("amp", Some("amp"), at("amp"), &["-x", "hi"]) },
        Asked {
            login: token(),
            login_args: &["--provider", "openai-codex", "--model", "gpt-5.1"],
            key_args: &["--provider", "openai", "--model", "gpt-5"],
            ..cli("pi", Some("openai"), at("pi"), &["-p", "hi"])
        },
    ];
    all.extend(scene.gh.as_ref().map(|gh| Asked {
        login: Some("gho_workgh".to_owned()),
        tokens: &[UserToken],
        ..cli("github", Some("github"), gh.join("gh"), &["api", "user"])
    }));
    all
}

#[expect(clippy::disallowed_methods, reason = "this says how the tests run, it is not a user's")]
fn is_full() -> bool {
    std::env::var("SRVD_TEST_MATRIX").is_ok_and(|value| value == "full")
}

/// Returns the combinations to run.
fn selected(all: &[Asked]) -> Vec<Cell<'_>> {
    let full = is_full();
    let mut cells = Vec::new();
    for (row, asked) in all.iter().enumerate() {
        for (column, kind) in asked.kinds().into_iter().enumerate() {
            let ways = WAYS.into_iter().enumerate();
            let ways = ways.filter(|(at, _)| full || (row + column) % WAYS.len() == *at);
            cells.extend(ways.map(|(_, way)| Cell { asked, kind, way }));
        }
    }
    cells
}

impl Cell<'_> {
    fn name(&self) -> String {
        format!("{} with {:?} by {:?}", self.asked.provider, self.kind, self.way)
    }

    fn expected(&self) -> String {
        match self.kind {
            Login => self.asked.login.clone().unwrap(),
            SetupToken => SETUP_TOKEN.to_owned(),
            UserToken => secret(UserToken, self.asked.provider),
            kind => secret(kind, self.asked.key.unwrap()),
        }
    }

    /// Returns the command of the launch.
    fn command(&self, scene: &Scene, files: &Files) -> Command {
        let key = self.asked.key.unwrap_or_default();
        let subject = subject(self.kind, self.asked.provider, key);
        let words: Vec<&str> = subject.iter().map(String::as_str).collect();
        let program = self.asked.program.to_str().unwrap();
        let more = if KEYS.contains(&self.kind) { self.asked.key_args } else { self.asked.login_args };
        let direct = [&[program], self.asked.args, more].concat();
        let line = direct.join(" ");
        let npm = scene.daemon.home.dir("work/package.json");
        if self.way == Way::NpmScript {
            std::fs::write(npm, json!({"scripts": {"cli": line}}).to_string()).unwrap();
        }
        let srvd = env!("CARGO_BIN_EXE_srvd");
        let command: Vec<&str> = match self.way {
            Way::Direct => direct.clone(),
            Way::Env => [&["env"], &direct[..]].concat(),
            Way::Shell => vec!["sh", "-c", &line],
            Way::LoginShell => vec!["bash", "-lc", &line],
            Way::NpmScript => vec!["npm", "run", "--silent", "cli"],
            Way::Script => [&[files.script.to_str().unwrap()], &direct[..]].concat(),
            Way::LaunchInALaunch => [&[srvd, "exec", "-q"], &words[..], &["--"], &direct[..]].concat(),
        };
        scene.exec_as(&words, &command)
    }
}

/// Files that the ways need.
struct Files {
    script: PathBuf,
}

impl Files {
    fn write(dir: &Path) -> Self {
        let script = dir.join("script.sh");
        std::fs::write(&script, "#!/usr/bin/env bash\nexec \"$@\"\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { script }
    }
}

/// Runs a combination until the stand-in has seen its credential, or the program has ended.
async fn check(scene: &Scene, vendors: &Standin, files: &Files, cell: &Cell<'_>) {
    let before = vendors.all_credentials().len();
    let (name, expected) = (cell.name(), cell.expected());
    let output = scene.daemon.home.dir("output");
    let file = std::fs::File::create(&output).unwrap();
    let mut command = cell.command(scene, files);
    command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let group = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    let whole = is_full();
    let seen = async {
        vendors.sent_since(before, &expected).await;
        // A whole run is worth its time only at night.
        if whole {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = seen => {}
        ended = tokio::time::timeout(LIMIT, child.wait()) => drop(ended),
    }
    // The program may have ended already.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    child.wait().await.unwrap();
    let output = String::from_utf8_lossy(&std::fs::read(output).unwrap()).into_owned();
    let sent: Vec<String> = vendors.all_credentials().split_off(before);
    assert!(
        sent.iter().any(|credential| credential.contains(&expected)),
        "{name} did not send {expected} but {sent:?}: {output}"
    );
    assert!(!output.contains("canary"), "{name}: {output}");
    assert!(sent.iter().all(|credential| !credential.contains("canary")), "{name}: {sent:?}");
    scene.is_untouched(&name);
}

#[test]
fn cli_sends_the_credential_of_its_identity_in_whatever_way_it_is_reached() {
    // It takes too long for every run; scripts/nightly.sh runs it.
    if !is_full() {
        return;
    }
    inside(async |vendors| {
        let scene = Scene::new(&vendors).await;
        store_all(&scene).await;
        let files = Files::write(&scene.daemon.home.dir(""));
        let all = all(&scene);
        for cell in selected(&all) {
            check(&scene, &vendors, &files, &cell).await;
        }
    });
}
