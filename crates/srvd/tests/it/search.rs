//! The search for CLIs by a daemon whose own `PATH` is short, as that of a service is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Daemon, Home, private_directory};

fn program(path: &Path, text: &str) {
    private_directory(path.parent().unwrap());
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Starts a daemon as a service does: with the `PATH` of the system, and with the user's shell in its environment.
fn of_service(home: Home) -> Daemon {
    home.start_with(|command| command.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh"))
}

async fn cli(daemon: &Daemon, provider: &str) -> Value {
    daemon.call("provider.list", json!({"providerId": provider})).await["providers"][0]["cli"].clone()
}

/// Installs a CLI as nvm does: a script for Node, with its own Node beside it.
fn nvm(home: &Home) -> PathBuf {
    let bin = home.dir("home/.nvm/versions/node/v22.11.0/bin");
    program(&bin.join("codex"), "#!/usr/bin/env node\n");
    // This Node stands in for the CLI. Another one would not know how to run the script.
    let node = "#!/bin/sh\n[ \"$2\" = --version ] && exec echo codex-cli 0.169.0\n\
        echo 'Error logging in: the node beside was started' >&2; exit 1\n";
    program(&bin.join("node"), node);
    bin.join("codex")
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_of_a_version_manager_is_found_and_runs_with_the_interpreter_beside_it() {
    let home = Home::new();
    let codex = nvm(&home);
    let daemon = of_service(home);
    let found = cli(&daemon, "codex").await;
    assert_eq!((&found["path"], &found["version"]), (&json!(codex), &json!("0.169.0")), "{found}");
    let started = daemon.call("auth.start", json!({"providerId": "codex", "recipe": "device-auth"})).await;
    let ended = daemon.ended(started["sessionId"].as_str().unwrap()).await;
    let error = ended["error"].as_str().unwrap();
    assert!(error.contains("the node beside was started"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_that_only_the_login_shell_knows_is_found_and_every_command_reports_the_daemons_view() {
    let home = Home::new();
    let tools = home.dir("tools");
    program(&tools.join("codex"), "#!/bin/sh\nexec echo codex-cli 0.169.0\n");
    let open = home.dir("open");
    program(&open.join("gemini"), "#!/bin/sh\nexec echo 1.0.0\n");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let profile = format!("echo Welcome\nPATH=\"{}:{}:$PATH\"\n", tools.display(), open.display());
    std::fs::write(home.dir("home/.profile"), profile).unwrap();
    let daemon = of_service(home);
    let found = cli(&daemon, "codex").await;
    assert_eq!(found["path"], json!(tools.join("codex")), "{found}");
    assert_eq!(cli(&daemon, "gemini").await["path"].as_str().filter(|path| path.contains("open/")), None);
    // The callers' environment has neither the shell nor the directory.
    let output = daemon.home.run(&["doctor", "--json"]);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let codex = findings["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == "cli.codex");
    assert!(codex.unwrap()["detail"].as_str().unwrap().contains("tools/codex"), "{codex:?}");
    let output = daemon.home.run(&["providers", "check", "codex", "--json", "--wait", "1"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["providers"][0]["path"], json!(tools.join("codex")), "{report}");
    let output = daemon.home.run(&["providers"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("tools/codex"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_cli_is_reported_with_the_places_that_were_searched_and_the_setting() {
    let home = Home::new();
    let only = home.dir("only");
    std::fs::create_dir(&only).unwrap();
    let named = format!("[spawn]\nsearch_path = [\"{}\", \"/no/such/dir\"]\n", only.display());
    let daemon = home.config("srvd.toml", &named).start();
    let output = daemon.home.run(&["login", "codex"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("codex is not installed"), "{text}");
    let searched = format!("(searched: {};", only.display());
    assert!(text.contains(&searched) && text.contains("search_path under [spawn] in srvd.toml"), "{text}");
    assert!(text.contains("npm install -g @openai/codex"), "{text}");
    let (_, data) = daemon.refused("auth.start", json!({"providerId": "codex"})).await;
    assert_eq!(data["searched"], json!([only]), "{data}");
}
