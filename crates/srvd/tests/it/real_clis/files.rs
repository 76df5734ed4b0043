//! Planted credential files: srvd's proof is compared with the CLI's own answer. No command here needs a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use auth_spawner::{Proof, Registry, prove, prove_own};
use serde_json::{Value, json};

use crate::support::planted::token;
use crate::support::{Home, clis, optional};

/// Runs a CLI with its directory in the environment, and with a proxy that prevents any access to the network.
fn ask(program: PathBuf, args: &[&str], (var, dir): (&str, &Path), home: &Home) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("HOME", home.dir("home")).env(var, dir).env("PATH", "/usr/bin:/bin");
    command.envs(["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"].map(|name| (name, "http://127.0.0.1:9")));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn cli(provider: &str) -> auth_spawner::Cli {
    Registry::builtin().unwrap().provider(provider).unwrap().cli.clone().unwrap()
}

fn is_login(proof: &Proof) -> bool {
    matches!(proof, Proof::LoggedIn(_))
}

#[test]
fn codex_login_is_proven_when_codex_says_that_it_uses_its_tokens() {
    let home = Home::new();
    let dir = home.dir("home/.codex");
    std::fs::create_dir(&dir).unwrap();
    let file = dir.join("auth.json");
    let codex = cli("codex");
    let uses_tokens = || {
        let (ok, text) = ask(clis().join("codex"), &["login", "status"], ("CODEX_HOME", &dir), &home);
        ok && text.contains("Logged in using ChatGPT")
    };
    let tokens =
        |access: &str| json!({"id_token": token("ada@x"), "access_token": access, "refresh_token": "r"});
    let (good, key) = (tokens(&token("ada@x")), json!("sk-planted-0123456789"));
    for (auth, expected) in [
        (json!({"auth_mode": "chatgpt", "tokens": good}), true),
        (json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": key, "tokens": good}), true),
        (json!({"auth_mode": "chatgptAuthTokens", "tokens": good}), true),
        (json!({"tokens": good}), true),
        (json!({"auth_mode": null, "OPENAI_API_KEY": null, "tokens": good}), true),
        (json!({"OPENAI_API_KEY": key, "tokens": good}), false),
        (json!({"OPENAI_API_KEY": "", "tokens": good}), false),
        (json!({"OPENAI_API_KEY": key}), false),
        (json!({"auth_mode": "apikey", "OPENAI_API_KEY": key, "tokens": good}), false),
        (json!({"auth_mode": "apikey", "tokens": good}), false),
        (json!({"auth_mode": "other", "tokens": good}), false),
        (json!({"auth_mode": "chatgpt", "tokens": tokens("opaque")}), true),
        (json!({"auth_mode": "chatgpt", "tokens": {"refresh_token": "r"}}), false),
    ] {
        std::fs::write(&file, auth.to_string()).unwrap();
        let (said, proven) = (uses_tokens(), is_login(&prove_own(&codex, &dir)));
        assert_eq!((said, proven), (expected, expected), "{auth}");
    }
    // Codex reports a login for a file without any token, but a login needs one.
    std::fs::write(&file, "{}").unwrap();
    assert_eq!((uses_tokens(), is_login(&prove_own(&codex, &dir))), (true, false));
    links(&file, &json!({"auth_mode": "chatgpt", "tokens": good}), uses_tokens, || prove_own(&codex, &dir));
    assert!(!is_login(&prove(&codex, &dir)), "a link in the directory of a bundle");
}

/// Asserts that Codex follows links, and that the proof of the user's own file does as well.
fn links(file: &Path, login: &Value, said: impl Fn() -> bool, proof: impl Fn() -> Proof) {
    let target = file.with_file_name("shared.json");
    for (leads_to, expected) in [(file, false), (Path::new("nothing.json"), false), (target.as_path(), true)]
    {
        std::fs::write(&target, login.to_string()).unwrap();
        std::fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink(leads_to, file).unwrap();
        assert_eq!((said(), is_login(&proof())), (expected, expected), "{leads_to:?}: {:?}", proof());
    }
}

#[test]
fn github_login_is_proven_when_gh_would_use_its_token() {
    let Some(bin) = optional("gh") else { return };
    let home = Home::new();
    let dir = home.dir("home/.config/gh");
    std::fs::DirBuilder::new().recursive(true).create(&dir).unwrap();
    let gh = cli("github");
    for (hosts, expected) in [
        ("github.com:\n    user: octo\n    oauth_token: gho_x\n", true),
        ("github.com:\n    oauth_token: gho_x\n", true),
        (
            "github.com:\n    user: octo\n    oauth_token: gho_x\n    users:\n        octo:\n            oauth_token: gho_x\n",
            true,
        ),
        ("github.com:\n    user: octo\n    users:\n        octo:\n            oauth_token: gho_x\n", false),
        ("github.com:\n    user: octo\n    oauth_token: \"\"\n", false),
        ("github.com:\n    user: octo\n", false),
    ] {
        std::fs::write(dir.join("hosts.yml"), hosts).unwrap();
        let (_, text) = ask(bin.join("gh"), &["auth", "token"], ("GH_CONFIG_DIR", &dir), &home);
        let proven = is_login(&prove_own(&gh, &dir));
        assert_eq!((text.trim() == "gho_x", proven), (expected, expected), "{hosts}: {text}");
    }
}
