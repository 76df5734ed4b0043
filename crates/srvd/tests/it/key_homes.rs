//! Keys beside logins, and the homes in which CLIs run with a key: what takes the key's place, and what cannot be used.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use auth_spawner::Registry;
use identity_store::LoginCredential;
use serde_json::json;

use crate::support::{Daemon, Home, planted, private_directory, store};

const KEY: &str = "sk-ant-planted-0123456789abcdefghijklmnop-the-end-of-the-key";

/// Creates a home with programs of these names that print their environment.
fn home(programs: &[&str]) -> Home {
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

async fn add_key(daemon: &Daemon, bundle: &str) {
    let params = json!({
        "providerId": "anthropic", "intoBundleId": bundle, "apiKey": KEY, "accountName": "Key", "validate": false
    });
    assert_eq!(daemon.call("auth.submitapikey", params).await["success"], true);
}

/// Returns the exit code and both outputs of `srvd exec` in the bundle `work`.
fn exec(daemon: &Daemon, args: &[&str]) -> (Option<i32>, String, String) {
    let args = [&["exec", "--bundle", "work"], args].concat();
    told(&daemon.home.command(&args).env("ANTHROPIC_API_KEY", "own").output().unwrap())
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn key_in(printed: &str) -> Option<&str> {
    printed.lines().find_map(|line| line.strip_prefix("ANTHROPIC_API_KEY="))
}

#[tokio::test(flavor = "multi_thread")]
async fn key_is_left_out_where_a_cli_would_use_it_instead_of_its_login() {
    let home = home(&["claude", "opencode"]);
    let registry = Registry::builtin().unwrap();
    let cli = registry.provider("claude").unwrap().cli.as_ref().unwrap();
    let dir = home.dir("data/identities/work/claude");
    private_directory(&home.dir("data/identities/work"));
    assert!(planted::login(cli, &dir, "ann@example.test"));
    let store = store(&home).await;
    let row = planted::row(&"work".parse().unwrap(), "claude", LoginCredential::Directory(dir));
    store.save_login(row).await.unwrap();
    store.close().await;
    let daemon = home.start();
    add_key(&daemon, "work").await;
    for args in [&["--", "env"][..], &["--", "sh", "-c", "claude"], &["--", "claude"]] {
        let (code, printed, errors) = exec(&daemon, args);
        assert_eq!((code, key_in(&printed)), (Some(0), None), "{args:?} {errors}");
        assert!(errors.contains("removed ANTHROPIC_API_KEY: "), "{args:?} {errors}");
    }
    // This CLI runs with the key, and a person may ask for the key alone.
    for args in [&["--", "opencode"][..], &["--provider", "anthropic", "--", "env"]] {
        let (code, printed, errors) = exec(&daemon, args);
        assert_eq!((code, key_in(&printed)), (Some(0), Some(KEY)), "{args:?} {errors}");
    }
    let reason = "Claude Code would use it instead of its login";
    let (_, explained, _) = exec(&daemon, &["--explain", "--", "env"]);
    assert!(explained.contains(reason), "{explained}");
    let (_, shown, _) = told(&daemon.home.run(&["which", "--bundle", "work"]));
    assert!(shown.contains(reason) && !shown.contains("not ready"), "{shown}");
    let ready = daemon.call("launch.ready", json!({"bundleId": "work"})).await;
    assert_eq!(ready["ready"], true, "{ready}");
}

/// A daemon with the bundle `work` that holds a key, and the directory in which Claude Code runs with it.
async fn with_key() -> (Daemon, PathBuf) {
    let daemon = home(&["claude"]).start();
    let id = daemon.call("bundle.create", json!({"name": "work"})).await["id"].as_str().unwrap().to_owned();
    add_key(&daemon, &id).await;
    let (code, printed, errors) = exec(&daemon, &["--", "claude"]);
    assert_eq!((code, key_in(&printed)), (Some(0), Some(KEY)), "{errors}");
    let dir = daemon.home.dir("data/identities").join(id).join(".key/claude");
    assert!(dir.join(".claude.json").is_file());
    (daemon, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_in_place_of_the_key_refuses_its_cli_and_warns_every_other_program() {
    let (daemon, dir) = with_key().await;
    let settings = dir.join("settings.json");
    for (text, key) in [
        (r#"{"apiKeyHelper": "/bin/echo other"}"#, "apiKeyHelper"),
        (r#"{"env": {"ANTHROPIC_BASE_URL": "https://other.test"}}"#, "env.ANTHROPIC_BASE_URL"),
    ] {
        std::fs::write(&settings, text).unwrap();
        let named = format!("{} sets {key}, which its CLI uses in place of the key", settings.display());
        let (code, _, errors) = exec(&daemon, &["--", "claude"]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(&named) && errors.contains(&format!("remove {key} from")), "{errors}");
        let (code, printed, errors) = exec(&daemon, &["--", "env"]);
        assert_eq!((code, key_in(&printed)), (Some(0), Some(KEY)), "{errors}");
        assert!(errors.contains(&named), "{errors}");
    }
    let (code, data) =
        daemon.refused("launch.resolve", json!({"bundleId": bundle(&dir), "program": "claude"})).await;
    assert_eq!((code, &data["kind"]), (1031, &json!("shadowed")), "{data}");
    let (_, found, _) = told(&daemon.home.run(&["doctor", "--json"]));
    assert!(found.contains("login.shadowed") && found.contains("env.ANTHROPIC_BASE_URL"), "{found}");
    std::fs::write(&settings, r#"{"theme": "dark"}"#).unwrap();
    assert_eq!(exec(&daemon, &["--", "claude"]).0, Some(0));
}

/// Returns the id of the bundle whose home this is.
fn bundle(home: &Path) -> String {
    home.ancestors().nth(2).unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn home_that_cannot_be_used_is_named_and_stops_nothing_else() {
    let (daemon, dir) = with_key().await;
    let file = dir.join(".claude.json");
    let refused = |named: &str, place: &Path| {
        let (code, _, errors) = exec(&daemon, &["--", "claude"]);
        assert!(code != Some(0) && errors.contains(named), "{named}: {errors}");
        assert!(errors.contains(place.to_str().unwrap()), "{errors}");
        // The daemon serves everybody else meanwhile.
        assert_eq!(daemon.home.run(&["bundles"]).status.code(), Some(0));
    };
    std::fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused("it is not a regular file", &file);
    std::fs::remove_file(&file).unwrap();
    std::fs::File::create(&file).unwrap().set_len(100 * 1024 * 1024).unwrap();
    refused("it is too large", &file);
    std::fs::write(&file, "{ torn").unwrap();
    refused("key must be a string", &file);
    std::fs::remove_file(&file).unwrap();
    symlink(daemon.home.dir("home"), &file).unwrap();
    refused("Too many levels of symbolic links", &file);
    std::fs::remove_file(&file).unwrap();
    let moved = dir.with_file_name("moved");
    std::fs::rename(&dir, &moved).unwrap();
    symlink(&moved, &dir).unwrap();
    refused("link", &dir);
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&moved, &dir).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&dir, Some(12_345), None).unwrap();
        refused("belongs to uid 12345", &dir);
        std::os::unix::fs::chown(&dir, Some(0), None).unwrap();
    }
    assert_eq!(exec(&daemon, &["--", "claude"]).0, Some(0));
}
