//! Homes of launches: every CLI is led to one of the launch's owner, and nothing of the person's own is used.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Daemon, Home, credentials, private_directory};

const ANTHROPIC: &str = "sk-ant-planted-0123456789abcdefghijklmnop-the-end-of-the-key";
const OPENAI: &str = "sk-proj-planted-secret-0123456789abcdefghij";
const GITHUB: &str = "ghp_planted0123456789abcdefghijklmnopqrst";

/// Creates a home with programs of these names that print their environment.
pub(crate) fn home(programs: &[&str]) -> Home {
    let home = Home::new();
    let bin = home.dir("bin");
    private_directory(&bin);
    for name in programs {
        let path = bin.join(name);
        std::fs::write(&path, "#!/bin/sh\nexec env\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    home.search(bin)
}

pub(crate) async fn bundle(daemon: &Daemon, name: &str, keys: &[(&str, &str)]) -> String {
    let id = daemon.call("bundle.create", json!({"name": name})).await["id"].as_str().unwrap().to_owned();
    for (provider, key) in keys {
        let params = json!({
            "providerId": provider, "intoBundleId": id, "apiKey": key, "accountName": "Key", "validate": false
        });
        assert_eq!(daemon.call("auth.submitapikey", params).await["success"], true);
    }
    id
}

fn run(daemon: &Daemon, args: &[&str], vars: &[(&str, &str)]) -> Output {
    daemon.home.command(args).envs(vars.iter().copied()).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Returns the value of a variable in the output of `env`.
fn value<'a>(printed: &'a str, name: &str) -> Option<&'a str> {
    printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test(flavor = "multi_thread")]
async fn unbound_agent_is_refused_by_name_and_sealed_when_it_is_reached_otherwise() {
    let daemon = home(&["codex", "gh"]).start();
    let id = bundle(&daemon, "work", &[("groq", "gsk_planted0123456789abcdef")]).await;
    let exec = |more: &[&str]| run(&daemon, &[&["exec", "--bundle", "work"], more].concat(), &[]);
    let (_, errors) = texts(&exec(&["--", "codex"]));
    assert!(errors.contains("codex was not started: this launch has no login of codex"), "{errors}");
    assert!(errors.contains("srvd login codex --bundle work"), "{errors}");
    assert!(errors.contains("srvd exec --bundle work --unbound -- codex"), "{errors}");
    let sealed = daemon.home.dir("data/identities").join(&id).join("codex");
    for args in [&["--", "env"][..], &["--", "sh", "-c", "codex"], &["--unbound", "--", "codex"]] {
        let (printed, errors) = texts(&exec(args));
        assert_eq!(value(&printed, "CODEX_HOME"), sealed.to_str(), "{args:?} {errors}");
        assert_eq!(value(&printed, "GH_CONFIG_DIR"), None, "{args:?}");
    }
    let mode = std::fs::metadata(&sealed).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // A tool is the person's own under the rule `tools`, and may be started.
    assert!(exec(&["--", "gh"]).status.success());
    let set = run(&daemon, &["bundle", "set", "work", "--seal", "gh", "--own", "codex"], &[]);
    let (said, _) = texts(&set);
    assert!(said.contains("your own: codex; logged out: github"), "{said}");
    let (printed, _) = texts(&exec(&["--", "codex"]));
    assert_eq!(value(&printed, "CODEX_HOME"), None);
    assert_eq!(exec(&["--", "gh"]).status.code(), Some(1));
    let (shown, _) = texts(&run(&daemon, &["which", "--bundle", "work"], &[]));
    assert!(shown.contains("your own: codex; logged out: github"), "{shown}");
    let refused = run(&daemon, &["bundle", "set", "work", "--own", "nothing"], &[]);
    assert_eq!(refused.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_keep_their_variables_except_from_an_agent_that_reads_them() {
    let daemon = home(&["copilot"]).config("srvd.toml", "[launch]\nkeep = ['CODEX_LET_TOKEN']\n").start();
    let id = bundle(&daemon, "work", &[("groq", "gsk_planted0123456789abcdef")]).await;
    let planted = [
        ("GITHUB_TOKEN", "own"),
        ("GITHUB_ACTIONS", "true"),
        ("AWS_SECRET_ACCESS_KEY", "own"),
        ("ANTHROPIC_API_KEY", "own"),
        ("CODEX_UNKNOWN_TOKEN", "own"),
        ("CODEX_LET_TOKEN", "kept"),
        ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "1"),
    ];
    let left = |args: &[&str]| {
        let output = run(&daemon, &[&["exec", "--bundle", "work"], args].concat(), &planted);
        let (printed, errors) = texts(&output);
        let kept = planted.iter().filter(|(name, _)| value(&printed, name).is_some());
        (kept.map(|(name, _)| *name).collect::<Vec<_>>(), errors)
    };
    let stay = [
        "GITHUB_TOKEN",
        "GITHUB_ACTIONS",
        "AWS_SECRET_ACCESS_KEY",
        "CODEX_LET_TOKEN",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    ];
    let (kept, errors) = left(&["--", "env"]);
    assert_eq!(kept, stay);
    assert!(errors.contains("removed ANTHROPIC_API_KEY: "), "{errors}");
    assert!(errors.contains("removed CODEX_UNKNOWN_TOKEN: "), "{errors}");
    let (kept, errors) = left(&["--unbound", "--", "copilot"]);
    assert_eq!(
        kept,
        ["GITHUB_ACTIONS", "AWS_SECRET_ACCESS_KEY", "CODEX_LET_TOKEN", "CLAUDE_CODE_MAX_OUTPUT_TOKENS"]
    );
    assert!(errors.contains("removed GITHUB_TOKEN: "), "{errors}");
    run(&daemon, &["bundle", "set", "work", "--unbound", "sealed"], &[]);
    let (kept, errors) = left(&["-q", "--", "env"]);
    assert_eq!(kept, ["GITHUB_ACTIONS", "CODEX_LET_TOKEN", "CLAUDE_CODE_MAX_OUTPUT_TOKENS"]);
    assert_eq!(errors, "");
    // On the wire, the names of the environment make the answer exact.
    let names = ["GITHUB_ACTIONS", "CODEX_UNKNOWN_TOKEN", "OPENAI_API_KEY", "PATH"];
    let launch = daemon.call("launch.resolve", json!({"bundleId": id, "environmentNames": names})).await;
    assert_eq!(launch["unset"], json!(["CODEX_UNKNOWN_TOKEN", "OPENAI_API_KEY"]));
    assert_eq!(launch.get("unsetRules"), None);
    let launch = daemon.call("launch.resolve", json!({"bundleId": id})).await;
    let rules = &launch["unsetRules"];
    let has = |list: &Value, word: &str| list.as_array().unwrap().contains(&json!(word));
    assert!(
        has(&rules["prefixes"], "CODEX_")
            && has(&rules["words"], "TOKEN")
            && has(&rules["keep"], "CODEX_LET_TOKEN")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn key_prepares_the_home_of_its_cli_and_is_written_nowhere() {
    let daemon = home(&["claude", "codex", "gh"]).start();
    let keys = [("anthropic", ANTHROPIC), ("openai", OPENAI), ("github", GITHUB)];
    let id = bundle(&daemon, "work", &keys).await;
    let identities = daemon.home.dir("data/identities").join(&id);
    for (program, variable, key, dir) in [
        ("claude", "ANTHROPIC_API_KEY", ANTHROPIC, "claude"),
        ("codex", "OPENAI_API_KEY", OPENAI, "codex"),
        ("gh", "GH_TOKEN", GITHUB, "gh"),
    ] {
        let output = run(&daemon, &["exec", "--bundle", "work", "--", program], &[]);
        let (printed, errors) = texts(&output);
        assert_eq!(value(&printed, variable), Some(key), "{program}: {errors}");
        let home = identities.join(".key").join(dir);
        assert!(printed.lines().any(|line| line.ends_with(home.to_str().unwrap())), "{program}: {printed}");
    }
    let claude = std::fs::read_to_string(identities.join(".key/claude/.claude.json")).unwrap();
    assert!(claude.contains(&ANTHROPIC[ANTHROPIC.len() - 20..]), "{claude}");
    let codex = std::fs::read_to_string(identities.join(".key/codex/config.toml")).unwrap();
    assert!(codex.contains("env_key = \"OPENAI_API_KEY\""), "{codex}");
    for file in crate::support::files_below(&identities) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(keys.iter().all(|(_, key)| !text.contains(key)), "{}", file.display());
    }
    let shown = run(&daemon, &["exec", "--bundle", "work", "--explain"], &[]);
    let (shown, errors) = texts(&shown);
    assert!(shown.contains("key of anthropic") && shown.contains(".key/codex"), "{shown}{errors}");
    assert!(!shown.contains(OPENAI), "{shown}");
    // A settings file that is no JSON fails the launch of its CLI with the reason, and is not changed.
    std::fs::write(identities.join(".key/claude/.claude.json"), "no json").unwrap();
    let (_, errors) = texts(&run(&daemon, &["exec", "--bundle", "work", "--", "claude"], &[]));
    assert!(errors.contains(".claude.json"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inner_launch_is_the_inner_identity_and_finds_the_daemon() {
    let daemon = home(&[]).start();
    bundle(&daemon, "outer", &[("github", GITHUB), ("openai", OPENAI)]).await;
    let inner = bundle(&daemon, "inner", &[("anthropic", ANTHROPIC)]).await;
    let program = env!("CARGO_BIN_EXE_srvd");
    let own = daemon.home.dir("own");
    private_directory(&own);
    // The inner program has no variable of the test, such as those that name the directories of the daemon.
    let script = format!("{program} exec --bundle inner -- sh -c '{program} which --json >&2; env'");
    let output = run(
        &daemon,
        &["exec", "--bundle", "outer", "--", "sh", "-c", &script],
        &[
            ("OAUTH_ENCRYPTION_KEY", "planted-key-planted-key-planted-key"),
            ("XDG_DATA_HOME", own.to_str().unwrap()),
        ],
    );
    let (printed, errors) = texts(&output);
    assert!(output.status.success(), "{errors}");
    for name in ["GH_TOKEN", "GITHUB_TOKEN", "OPENAI_API_KEY", "GH_CONFIG_DIR", "OAUTH_ENCRYPTION_KEY"] {
        assert_eq!(value(&printed, name), None, "{name}: {printed}");
    }
    assert_eq!(value(&printed, "ANTHROPIC_API_KEY"), Some(ANTHROPIC));
    assert_eq!(value(&printed, "SRVD_BUNDLE"), Some(inner.as_str()));
    assert_eq!(value(&printed, "SRVD_DATA_DIR"), daemon.home.dir("data").to_str());
    assert!(errors.contains(&format!("\"bundleId\": \"{inner}\"")) || errors.contains(&inner), "{errors}");
}

/// Writes a Copilot login into a directory.
pub(crate) fn copilot_login(dir: &Path) {
    private_directory(dir);
    let login = json!({
        "lastLoggedInUser": {"host": "https://github.com", "login": "stranger"},
        "authTokens": {"https://github.com:stranger": {"token": "gho_planted"}},
    });
    std::fs::write(dir.join("config.json"), login.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stray_login_is_never_used_and_is_kept_or_discarded_by_one_command() {
    let daemon = home(&["copilot"]).start();
    let id = bundle(&daemon, "work", &[("groq", "gsk_planted0123456789abcdef")]).await;
    let dir = daemon.home.dir("data/identities").join(&id).join("copilot");
    let launched = || {
        let (printed, errors) = texts(&run(&daemon, &["exec", "--bundle", "work", "--", "env"], &[]));
        (value(&printed, "COPILOT_HOME").map(PathBuf::from), errors)
    };
    assert_eq!(launched(), (Some(dir.clone()), String::new()));
    copilot_login(&dir);
    let (used, errors) = launched();
    assert_eq!(used, Some(dir.parent().unwrap().join(".left-out/copilot")));
    assert!(errors.contains("srvd account keep copilot --bundle work"), "{errors}");
    let (shown, _) = texts(&run(&daemon, &["status"], &[]));
    assert!(
        shown.contains("srvd account discard copilot --bundle work") && shown.contains("stranger"),
        "{shown}"
    );
    let gone = run(&daemon, &["account", "discard", "copilot", "--bundle", "work", "--yes"], &[]);
    assert!(gone.status.success(), "{:?}", texts(&gone));
    assert!(!dir.join("config.json").exists());
    assert_eq!(launched(), (Some(dir.clone()), String::new()));
    copilot_login(&dir);
    let kept = run(&daemon, &["account", "keep", "copilot", "--bundle", "work"], &[]);
    assert!(kept.status.success(), "{:?}", texts(&kept));
    let accounts = daemon.call("account.list", json!({"providerId": "copilot"})).await["accounts"].clone();
    assert_eq!((&accounts[0]["subject"], &accounts[0]["boundTo"]), (&json!("stranger"), &json!([id])));
    assert_eq!(launched(), (Some(dir.clone()), String::new()));
    // The login now belongs to an account, also after it was unbound.
    let params = json!({"bundleId": id, "providerId": "copilot"});
    assert_eq!(daemon.refused("account.keepstray", params.clone()).await.0, 1002);
    daemon.call("bundle.unbind", params.clone()).await;
    assert_eq!(daemon.call("account.strays", json!({})).await["strays"], json!([]));
    assert_eq!(daemon.refused("account.keepstray", params.clone()).await.0, 1001);
    assert_eq!(daemon.refused("account.discardstray", params).await.0, 1001);
    assert!(dir.join("config.json").exists());
    let (used, errors) = launched();
    assert_eq!((used, errors), (Some(dir.parent().unwrap().join(".left-out/copilot")), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn homes_end_with_their_bundle_agent_or_user() {
    let daemon = home(&[]).start();
    let id = bundle(&daemon, "work", &[("anthropic", ANTHROPIC)]).await;
    daemon.call("launch.resolve", json!({"bundleId": id})).await;
    let root = daemon.home.dir("data/identities");
    assert!(root.join(&id).join("codex").is_dir() && root.join(&id).join(".xdg").is_dir());
    let deleted = daemon.call("bundle.delete", json!({"bundleId": id, "keepHistory": false})).await;
    assert_eq!(deleted["cleanup"], json!([]), "{deleted}");
    assert!(!root.join(&id).exists(), "{:?}", crate::support::files_below(&root.join(&id)));
    assert_eq!(daemon.refused("launch.resolve", json!({"bundleId": id})).await.0, 1001);
    assert!(!root.join(&id).exists());
    for user in ["u1", "../up"] {
        let params =
            json!({"userId": user, "agentId": "coder", "providerId": "anthropic", "apiKey": ANTHROPIC});
        daemon.call("profile.upsert", params).await;
        daemon.call("launch.resolve", json!({"userId": user, "agentId": "coder"})).await;
    }
    let agents = root.join(".agents");
    assert_eq!(std::fs::read_dir(&agents).unwrap().count(), 2);
    assert!(agents.join("u1/coder/codex").is_dir());
    daemon.call("user.delete", json!({"userId": "u1"})).await;
    assert!(!agents.join("u1").exists());
    daemon.call("agent.delete", json!({"agentId": "coder"})).await;
    let left: Vec<PathBuf> = std::fs::read_dir(&agents).unwrap().map(|user| user.unwrap().path()).collect();
    assert!(left.iter().all(|user| !user.join("coder").exists()), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_that_no_program_takes_is_reported_and_masks_nothing() {
    let home = home(&["claude"]);
    let agents =
        format!("[[agents]]\nid = 'coder'\nproviders.gemini.key = 'AIza{}'\n", "0123456789".repeat(3));
    crate::support::private_file(&home.dir("config/agents.toml"), agents.as_bytes());
    let daemon = home.start();
    let upsert = async |provider: &str| {
        let tokens = json!({"accessToken": format!("planted-access-{provider}")});
        let params = json!({"userId": "u1", "agentId": "coder", "providerId": provider, "tokens": tokens});
        daemon.call("profile.upsert", params).await
    };
    assert_eq!(upsert("codex").await["warning"], "its CLI accepts only its own logins");
    // Gemini takes API keys as well. The token is not given out as one, and the declared key is used.
    assert_eq!(upsert("gemini").await["warning"], "its CLI accepts only its own logins");
    assert_eq!(upsert("claude").await.get("warning"), None);
    let subject = json!({"userId": "u1", "agentId": "coder"});
    let launch = daemon.call("launch.resolve", subject.clone()).await;
    assert!(!launch.to_string().contains("planted-access-gemini"), "{launch}");
    assert!(!launch.to_string().contains("planted-access-codex"), "{launch}");
    let set = credentials(&launch);
    assert!(set["GEMINI_API_KEY"].as_str().unwrap().starts_with("AIza"), "{set}");
    assert_eq!(set["CLAUDE_CODE_OAUTH_TOKEN"], "planted-access-claude");
    let dir = daemon.home.dir("data/identities/.agents/u1/coder/claude");
    assert_eq!(launch["set"]["CLAUDE_CONFIG_DIR"], json!(dir));
    assert!(dir.join(".claude.json").is_file());
    let warnings = launch["warnings"].to_string();
    assert!(warnings.contains("started without codex: its CLI accepts only its own logins"), "{warnings}");
    let ready = daemon.call("launch.ready", subject).await;
    assert_eq!(ready["ready"], true, "{ready}");
}

/// Many launches of two bundles at once leave the person's own files as they were.
#[tokio::test(flavor = "multi_thread")]
async fn launches_at_once_change_nothing_of_the_persons_own() {
    let home = home(&[]);
    for file in [".local/share/opencode/auth.json", ".config/git/config", ".local/share/other/file"] {
        let path = home.dir("home").join(file);
        private_directory(path.parent().unwrap());
        std::fs::write(path, file).unwrap();
    }
    let daemon = home.start();
    let ids = [
        bundle(&daemon, "one", &[("anthropic", ANTHROPIC)]).await,
        bundle(&daemon, "two", &[("openai", OPENAI)]).await,
    ];
    let clients = futures_util::future::join_all((0..8).map(|_| daemon.client())).await;
    let calls = (0..100).map(|number| {
        let params = json!({"bundleId": ids[number % 2]});
        let client = &clients[number % clients.len()];
        async move { client.call_raw("launch.resolve", &params).await.unwrap() }
    });
    let launches = futures_util::future::join_all(calls).await;
    for (number, launch) in launches.iter().enumerate() {
        let view = PathBuf::from(launch["set"]["XDG_DATA_HOME"].as_str().unwrap());
        assert!(view.starts_with(daemon.home.dir("data/identities").join(&ids[number % 2])));
        assert!(view.join("other/file").is_file(), "everything else is the person's");
        assert!(!view.join("opencode/auth.json").exists(), "the CLI's folder is the identity's");
        assert!(Path::new(launch["set"]["XDG_CONFIG_HOME"].as_str().unwrap()).join("git/config").is_file());
    }
    for file in [".local/share/opencode/auth.json", ".config/git/config", ".local/share/other/file"] {
        assert_eq!(std::fs::read_to_string(daemon.home.dir("home").join(file)).unwrap(), file);
    }
    assert_eq!(crate::support::files_below(&daemon.home.dir("home")).len(), 3);
}
