//! The client commands as scripts see them: the output of each stream, and the exit codes.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::standin::Standin;
use crate::support::fake::{self, HAPPY};
use crate::support::program::{Ended, Program};
use crate::support::{Daemon, Home, left_over};

const KEY: &str = "sk-proj-planted-secret-0123456789abcdefghij";
const CALLBACK: &str = "https://login.fake.test/callback?code=planted-code-123&state=st4te";

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

/// Runs a command that must succeed, and returns its standard output.
fn stdout(home: &Home, args: &[&str]) -> String {
    let output = home.run(args);
    assert_eq!((code(&output), text(&output.stderr).as_str()), (0, ""), "{args:?}");
    text(&output.stdout)
}

fn printed_json(home: &Home, args: &[&str]) -> Value {
    serde_json::from_str(&stdout(home, args)).unwrap()
}

#[cfg(not(feature = "keychain"))]
#[test]
fn keychain_is_refused_when_the_feature_is_not_built_in() {
    let home = Home::new().config("srvd.toml", "[key]\nkeychain = true\n");
    for args in [["key", "generate", "--keychain"].as_slice(), &["--migrate-only"], &["audit"]] {
        let refused = home.run(args);
        assert_eq!(code(&refused), 78, "{args:?}");
        assert!(text(&refused.stderr).contains("--features keychain"), "{}", text(&refused.stderr));
    }
    assert!(!home.dir("data/srvd.db").exists(), "the key in the file was taken in its place");
}

#[test]
fn key_generate_writes_once_and_never_prints_the_key() {
    let home = Home::new();
    let path = home.dir("config/other.key");
    let args = ["key", "generate", "--output", path.to_str().unwrap()];
    let made = home.run(&args);
    assert_eq!(code(&made), 0);
    assert_eq!(text(&made.stdout), format!("{}\n", path.display()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&path).unwrap();
    assert!(key.trim_end().len() >= 32, "a key of {} characters", key.trim_end().len());

    let refused = home.run(&args);
    assert_eq!((code(&refused), text(&refused.stdout).as_str()), (73, ""));
    assert!(text(&refused.stderr).contains("already exists and is not overwritten"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), key);
    let said = [made.stdout, made.stderr, refused.stderr].concat();
    assert!(!text(&said).contains(key.trim_end()), "the key was printed");

    // The default path already holds the key of every test daemon.
    assert_eq!(code(&home.run(&["key", "generate"])), 73);
    assert_eq!(std::fs::read_to_string(home.dir("config/encryption.key")).unwrap(), crate::support::KEY);
}

#[test]
fn client_command_explains_how_to_start_a_daemon_when_none_runs() {
    let home = Home::new();
    let commands: [&[&str]; 6] = [
        &["status"],
        &["bundles"],
        &["accounts"],
        &["providers"],
        &["login", "codex"],
        &["add-key", "openai"],
    ];
    for args in commands {
        let output = home.run(args);
        assert_eq!((code(&output), text(&output.stdout).as_str()), (69, ""), "{args:?}");
        let socket = home.dir("run/srvd.sock");
        let expect = format!(
            "srvd: no daemon is running (tried {})\nhint: start one with: srvd up\n",
            socket.display()
        );
        assert_eq!(text(&output.stderr), expect, "{args:?}");
    }
    let waited = home.run(&["wait", "--timeout", "1"]);
    assert_eq!(code(&waited), 69);
    assert!(text(&waited.stderr).starts_with("srvd: no daemon is running"), "{waited:?}");
}

#[test]
fn command_line_reports_usage_errors_and_completions_need_no_daemon() {
    let home = Home::new();
    for args in [&["no-such-command"][..], &["login"], &["status", "--no-such-flag"]] {
        let output = home.run(args);
        assert_eq!((code(&output), text(&output.stdout).as_str()), (64, ""), "{args:?}");
        assert!(text(&output.stderr).contains("Usage: srvd"), "{args:?}: {output:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&home, &["completions", shell]);
        assert!(script.contains("srvd") && script.contains("add-key"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_commands_print_tables_and_json_when_the_daemon_is_empty() {
    let daemon = fake::home(HAPPY).start();
    let home = &daemon.home;
    assert_eq!(stdout(home, &["wait"]), "");

    assert_eq!(printed_json(home, &["bundles", "--json"]), daemon.call("bundle.list", json!({})).await);
    let bundles = stdout(home, &["bundles"]);
    let rows: Vec<Vec<&str>> = bundles.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "ACCOUNTS", "DESCRIPTION", "ID"]);
    assert!(rows.len() == 2 && rows[1].starts_with(&["Blank", "always", "none"]), "{bundles}");

    assert_eq!(printed_json(home, &["accounts", "--json"]), json!({"accounts": [], "corrupt": []}));
    let accounts = home.run(&["accounts"]);
    assert_eq!((code(&accounts), text(&accounts.stdout).as_str()), (0, ""));
    assert!(text(&accounts.stderr).starts_with("No accounts. Log in with: srvd login PROVIDER"));

    assert_eq!(printed_json(home, &["providers", "--json"]), daemon.call("provider.list", json!({})).await);
    let providers = stdout(home, &["providers"]);
    let row = |id: &str| providers.lines().find(|line| line.split_whitespace().next() == Some(id));
    let fake: Vec<&str> = row("fake").unwrap().split_whitespace().collect();
    let path = home.dir("bin/fakecli").display().to_string();
    assert_eq!(fake, ["fake", "yes", "1.2.3", &path, "pipe,", "pty,", "device,", "token"]);
    assert!(row("codex").is_some() && row("anthropic").is_some(), "{providers}");

    let status = printed_json(home, &["status", "--json"]);
    assert_eq!(status["endpoint"]["pid"], daemon.pid());
    assert_eq!(status["daemon"]["epoch"], status["endpoint"]["epoch"]);
    assert_eq!((&status["accounts"], &status["sessions"]), (&json!([]), &json!([])));
    let status = stdout(home, &["status"]);
    assert!(status.contains(&format!("is running (pid {}, up ", daemon.pid())), "{status}");
    assert!(status.contains("No account is logged in yet."), "{status}");
}

/// Runs `srvd add-key openai` with this key on standard input.
async fn add_key(daemon: &Daemon, key: &str) -> Ended {
    let mut command =
        Program::start(daemon.home.command(&["add-key", "openai", "--bundle", "Keys", "--new"]));
    command.types(key).await;
    let ended = command.end().await;
    assert!(!ended.stdout.contains(KEY) && !ended.stderr.contains(KEY), "the key was printed");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn add_key_stores_the_key_from_stdin_when_the_provider_accepts_it() {
    let standin = Standin::start().await;
    let entry = format!("[providers.openai.key]\nbase-url = \"{}\"\n", standin.url());
    let daemon = Home::new().config("providers.d/standin.toml", &entry).start();
    let home = &daemon.home;

    let refused = add_key(&daemon, KEY).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("401") && refused.stderr.ends_with("hint: the key was not stored\n"));
    assert_eq!(printed_json(home, &["accounts", "--json"])["accounts"], json!([]));

    let empty = add_key(&daemon, "").await;
    assert_eq!(empty.code, Some(64), "{empty:?}");

    standin.accept_key(KEY);
    let added = add_key(&daemon, KEY).await;
    let account = printed_json(home, &["accounts", "--json"])["accounts"][0].clone();
    let id = account["id"].as_str().unwrap();
    let expect = format!(
        "Added an API key of openai to bundle \"Keys\" (account {id})\nThe provider accepted the key.\n"
    );
    assert_eq!((added.code, added.stdout.as_str(), added.stderr.as_str()), (Some(0), expect.as_str(), ""));
    assert_eq!((&account["status"], &account["name"]), (&json!("valid"), &json!("API key")));

    let accounts = stdout(home, &["accounts", "--bundle", "keys"]);
    let cells: Vec<&str> = accounts.lines().nth(1).unwrap().split("  ").map(str::trim).collect();
    let cells: Vec<&str> = cells.into_iter().filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells, ["openai", "API key (ghij)", "API key", "✓ valid", "Keys", id]);
    let status = stdout(home, &["status"]);
    assert!(status.contains("Keys") && status.contains("✓ valid"), "{status}");
    let unknown = home.run(&["accounts", "--bundle", "Nowhere"]);
    assert_eq!(code(&unknown), 1);
    assert!(text(&unknown.stderr).contains("no bundle has the id or the name \"Nowhere\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn command_hints_at_the_right_one_when_the_provider_does_not_fit() {
    let daemon = Home::new().start();
    let check = async |args: &[&str], hint: &str| {
        let mut command = Program::start(daemon.home.command(args));
        if args[0] == "add-key" {
            command.types(KEY).await;
        }
        let ended = command.end().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(&format!("\nhint: {hint}")), "{args:?}: {ended:?}");
    };
    check(&["login", "nobody"], "known providers: amp, anthropic, auggie, aws, claude, cline, codex, ").await;
    check(&["add-key", "nobody"], "known providers: amp, anthropic, auggie, aws, claude, cline, codex, ")
        .await;
    check(&["login", "openai"], "add a key with: srvd add-key openai\n").await;
    check(&["add-key", "codex"], "API keys are taken by: openai (").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_makes_no_bundle_unless_it_is_asked_to() {
    let daemon = fake::home(HAPPY).start();
    for args in [&["login", "fake", "--bundle", "Bix"][..], &["add-key", "openai", "--bundle", "Bix"]] {
        let refused = daemon.home.run(args);
        assert_eq!(code(&refused), 1);
        let said = text(&refused.stderr);
        assert!(
            said.contains("no bundle has the id or the name \"Bix\"\nhint: to make it, add --new"),
            "{said}"
        );
    }
    assert_eq!(daemon.call("auth.list", serde_json::json!({})).await, serde_json::json!({"sessions": []}));
    assert_eq!(code(&daemon.home.run(&["login", "fake", "--new"])), 64, "--new needs a name");
}

/// A login that a client has left can be cancelled by another one, in the ways that the messages name.
#[tokio::test(flavor = "multi_thread")]
async fn running_login_is_cancelled_by_bundle_and_provider() {
    use serde_json::json;
    let daemon = fake::home(HAPPY).start();
    let bundle = daemon.call("bundle.create", json!({"name": "Box"})).await["id"].clone();
    let start = async || {
        let params = json!({"providerId": "fake", "intoBundleId": bundle});
        let started = daemon.call("auth.start", params).await;
        started["sessionId"].as_str().unwrap().to_owned()
    };
    let session = start().await;
    let second = daemon.home.run(&["login", "fake", "--bundle", "Box"]);
    let said = text(&second.stderr);
    assert!(
        said.contains(&format!(
            "hint: to cancel the running login ({session}): srvd login fake --bundle Box --cancel"
        )),
        "{said}"
    );
    let cancelled = daemon.home.run(&["login", "fake", "--bundle", "Box", "--cancel"]);
    assert_eq!((code(&cancelled), text(&cancelled.stdout).as_str()), (0, "Cancelled the login of fake\n"));
    assert_eq!(daemon.ended(&session).await["errorKind"], "cancelled");
    let none = daemon.home.run(&["login", "fake", "--bundle", "Box", "--cancel"]);
    assert_eq!(code(&none), 1);
    assert!(
        text(&none.stderr).contains("no login of Fake is running in this bundle"),
        "{}",
        text(&none.stderr)
    );

    let session = start().await;
    assert_eq!(code(&daemon.home.run(&["login", "fake", "--cancel"])), 0);
    daemon.ended(&session).await;
    start().await;
    let both = json!({"bundleId": bundle, "providerId": "fake"});
    assert_eq!(daemon.call("auth.cancel", both).await, json!({"success": true}));
    assert_eq!(daemon.refused("auth.cancel", json!({"bundleId": bundle})).await.0, 1005);
    assert_eq!(daemon.refused("auth.cancel", json!({})).await.0, 1005);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_reads_its_paste_from_stdin() {
    let daemon = fake::home(HAPPY).start();
    let mut login = Program::start(daemon.home.command(&["login", "fake", "--bundle", "Box", "--new"]));
    login.notes("Open this address to log in:\n\n  https://login.fake.test/authorize?state=st4te").await;
    login.notes("Paste the code or the address that the browser ended on:").await;
    login.types("planted-code-123#wrong").await;
    login.notes("The input was not accepted: ").await;
    login.types(CALLBACK).await;
    let ended = login.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let account = printed_json(&daemon.home, &["accounts", "--json"])["accounts"][0]["id"].clone();
    let expect = format!(
        "Logged in to fake as ann@fake.test in bundle \"Box\" (account {})\n",
        account.as_str().unwrap()
    );
    assert_eq!(ended.stdout, expect);
    assert!(!ended.stderr.contains("planted-code-123"), "{}", ended.stderr);

    // The same person renews the login, and another one is named.
    let again = Program::start(daemon.home.command(&["login", "fake", "--bundle", "box", "--renew"]));
    let ended = log_in_at(again).await;
    assert_eq!((ended.code, ended.stdout), (Some(0), expect), "{}", ended.stderr);
    let bob = HAPPY.replace("ann@fake.test", "bob@fake.test").replace("person-1", "person-2");
    fake::write_script(&daemon.home, &bob);
    let other = Program::start(daemon.home.command(&["login", "fake", "--bundle", "box"]));
    let ended = log_in_at(other).await;
    let said = "the login of fake failed: the CLI logged in as bob@fake.test, but the login in this bundle is ann@fake.test's; it was kept\n";
    assert!(ended.code == Some(1) && ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("bob@fake.test").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(
        "hint: log in again as ann@fake.test, or accept the other person: srvd login fake --bundle "
    ));
    let other =
        Program::start(daemon.home.command(&["login", "fake", "--bundle", "box", "--replace-person"]));
    let ended = log_in_at(other).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.ends_with("; it replaces the login of ann@fake.test\n"), "{}", ended.stdout);
}

/// Pastes the callback at the prompt of `srvd login` and waits for its end.
async fn log_in_at(mut login: Program) -> Ended {
    login.notes("Paste the code or the address that the browser ended on:").await;
    login.types(CALLBACK).await;
    login.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_named_by_its_subject_when_it_has_no_email() {
    let script = "dir-var FAKE_HOME\nout https://login.fake.test/x\n\
                  write credentials.json {\"access\":\"planted-token\",\"id\":\"octocat\"}\nout Logged in.\n";
    let daemon = fake::home(script).start();
    let ended = Program::start(daemon.home.command(&["login", "fake"])).end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = "Logged in to fake as octocat in bundle \"Fake (octocat)\" (account ";
    assert!(ended.stdout.starts_with(said), "{}", ended.stdout);
    for args in [&["accounts"][..], &["status"], &["bundles"]] {
        let listed = stdout(&daemon.home, args);
        assert!(listed.contains("octocat"), "{args:?}: {listed}");
    }
    let forgot = stdout(&daemon.home, &["account", "forget", "octocat", "--yes"]);
    assert!(forgot.starts_with("Forgot fake octocat;"), "{forgot}");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_prints_the_reason_when_it_fails() {
    let daemon = fake::home("out Denied by the person\nexit 1\n").start();
    let ended = Program::start(daemon.home.command(&["login", "fake"])).end().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("srvd: the login of fake failed: the login was denied"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_is_cancelled_in_the_daemon_when_the_client_is_interrupted() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let daemon = fake::home("out https://login.fake.test/x\nhang\n").start();
        let login = Program::start(daemon.home.command(&["login", "fake"]));
        login.notes("https://login.fake.test/x").await;
        let id = daemon.call("auth.list", json!({})).await["sessions"][0]["sessionId"].clone();
        let id = id.as_str().unwrap();
        let status = stdout(&daemon.home, &["status"]);
        assert!(status.contains(id) && status.contains("waiting for you to log in"), "{status}");
        assert!(!status.contains("login.fake.test"), "the address is for whoever started it");
        login.signal(signal);
        let ended = login.end().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.ends_with("srvd: the login was cancelled\n"), "{ended:?}");
        assert_eq!(daemon.ended(id).await["errorKind"], "cancelled");
        assert_eq!(left_over(id), Vec::<u32>::new());
    }
}
