//! Codex: its device login and its browser login.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{
    browse, cancel, home_at, is_stored, named, nothing_is_left, page, parameter, paste, start, stop,
};
use crate::support::namespace::inside;
use crate::support::program::Program;
use crate::support::terminal::Terminal;
use crate::support::{Daemon, clis, event, left_over};

/// Asks Codex whether it is logged in with this directory.
fn codex_is_logged_in(daemon: &Daemon, dir: &Path) -> bool {
    let mut codex = Command::new(clis().join("codex"));
    codex.args(["login", "status"]).env_clear().env("HOME", daemon.home.dir("home")).env("CODEX_HOME", dir);
    codex.output().unwrap().status.success()
}

#[test]
fn codex_logs_in_by_device_code() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let client = daemon.client().await;
        let mut events = client.subscribe(["identitybundlebindings:changed:*"]).await.unwrap();
        let id = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
        let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("ABCD-00001"), &json!("https://auth.openai.com/codex/device"), &json!(true))
        );
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "codex", &json!("ada@example.com")).await;
        let bundle = done["bundleId"].as_str().unwrap();
        event(&mut events, &format!("identitybundlebindings:changed:{bundle}")).await;
        assert_eq!(named(&daemon.home, |name| name == "auth.json"), [dir.join("auth.json")]);
        assert!(codex_is_logged_in(&daemon, &dir));
        stop(daemon, &[&id]);
    });
}

#[test]
fn codex_is_refused_and_leaves_nothing() {
    inside(async |vendors| {
        vendors.deny();
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!(
            (&ended["status"], &ended["errorKind"], &ended["exitCode"]),
            (&json!("failed"), &json!("cli_exited"), &json!(1)),
            "{ended}"
        );
        assert!(ended["error"].as_str().unwrap().contains("400 Bad Request"), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}

#[test]
fn codex_logs_in_through_the_command_line() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let args = ["login", "codex", "--recipe", "device-auth", "--bundle", "work", "--new", "--no-browser"];
        let login = Program::start(daemon.home.command(&args));
        login.notes("Enter this code there: ABCD-00001").await;
        login.notes("\n  https://auth.openai.com/codex/device\n").await;
        vendors.approve();
        let ended = login.end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let bundles = daemon.home.run(&["bundles", "--json"]);
        let bundles: Value = serde_json::from_slice(&bundles.stdout).unwrap();
        assert_eq!(bundles, daemon.call("bundle.list", json!({})).await);
        let work =
            bundles["bundles"].as_array().unwrap().iter().find(|bundle| bundle["name"] == "work").unwrap();
        let binding = &work["bindings"][0];
        assert_eq!((&binding["providerId"], &binding["status"]), (&json!("codex"), &json!("valid")));
        let account = binding["accountId"].as_str().unwrap();
        let expect =
            format!("Logged in to Codex as ada@example.com in bundle \"work\" (account {account})\n");
        assert_eq!(ended.stdout, expect);
    });
}

#[test]
fn codex_logs_in_by_the_browser() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "codex", "recipe": "login"})).await;
        let shown = page(&daemon, &id).await;
        let answer = browse(&vendors.consent(&shown));
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "codex", &json!("ada@example.com")).await;
        assert!(codex_is_logged_in(&daemon, &dir));
        stop(daemon, &[&id]);
    });
}

/// Over SSH the browser is on another machine and its callback does not reach the CLI, so the person pastes the
/// address.
#[test]
fn codex_login_is_finished_by_a_paste_in_a_remote_terminal() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let mut srvd =
            daemon.home.command(&["login", "codex", "--recipe", "login", "--bundle", "far", "--new"]);
        srvd.env("TERM", "xterm").env("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22");
        let mut login = Terminal::start(srvd.current_dir(daemon.home.dir("home")));
        login.shows("paste the address that it ended on").await;
        let sessions = daemon.call("auth.list", json!({})).await;
        let shown = page(&daemon, sessions["sessions"][0]["sessionId"].as_str().unwrap()).await;
        let address = vendors.consent(&shown);
        login.types(&address.as_str().replace("state=", "state=x"));
        login.types("\r");
        login.shows("The input was not accepted").await;
        login.types(address.as_str());
        login.types("\r");
        login.shows("Logged in to Codex as ada@example.com in bundle \"far\"").await;
        let (code, shown) = login.end();
        assert_eq!(code, 0, "{shown}");
        assert!(!shown.contains(&parameter(&address, "code")), "a paste is not shown: {shown}");
    });
}

#[test]
fn codex_waits_for_the_browser_until_it_is_cancelled() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let first = start(&daemon, json!({"providerId": "codex", "recipe": "login"})).await;
        page(&daemon, &first).await;

        let other = daemon.call("bundle.create", json!({"name": "Other"})).await["id"].clone();
        let (code, data) =
            daemon.refused("auth.start", json!({"providerId": "codex", "intoBundleId": other})).await;
        assert_eq!((code, &data["sessionId"], &data["port"]), (1002, &json!(first), &json!(1455)));
        daemon.call("bundle.delete", json!({"bundleId": other})).await;

        assert!(!left_over(&first).is_empty(), "the CLI runs");
        cancel(&daemon, &first).await;
        nothing_is_left(&daemon, &first).await;
        TcpListener::bind(("127.0.0.1", 1455)).expect("the port is free again");
    });
}

#[test]
fn codex_says_why_when_its_code_is_refused() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "codex", "recipe": "login"})).await;
        let address = vendors.consent(&page(&daemon, &id).await);
        vendors.refuse_codes();
        assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
        let ended = daemon.ended(&id).await;
        assert_eq!(
            (&ended["status"], &ended["errorKind"]),
            (&json!("failed"), &json!("cli_exited")),
            "{ended}"
        );
        assert!(ended["error"].as_str().unwrap().contains("Token exchange failed"), "{ended}");
        assert!(!ended.to_string().contains("planted-code") && !daemon.log().contains("planted-code"));
        nothing_is_left(&daemon, &id).await;
        TcpListener::bind(("127.0.0.1", 1455)).expect("the port is free again");
    });
}

#[test]
fn codex_keeps_its_old_login_until_it_has_a_new_one() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let first = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
        daemon.session(&first, |session| session["status"] == "code-emitted").await;
        vendors.approve();
        let done = daemon.ended(&first).await;
        let dir = is_stored(&daemon, &done, "codex", &json!("ada@example.com")).await;
        let before = std::fs::read(dir.join("auth.json")).unwrap();

        // The stand-in has approved already, so a refusal is needed to end this login.
        vendors.deny();
        let again = json!({"providerId": "codex", "recipe": "device-auth", "intoBundleId": done["bundleId"], "force": true});
        let second = start(&daemon, again.clone()).await;
        assert_eq!(daemon.ended(&second).await["status"], "failed");
        assert_eq!(std::fs::read(dir.join("auth.json")).unwrap(), before);
        // This login waits for the browser until it is cancelled.
        let browser = json!({"providerId": "codex", "recipe": "login", "intoBundleId": done["bundleId"], "force": true});
        let third = start(&daemon, browser).await;
        page(&daemon, &third).await;
        cancel(&daemon, &third).await;
        assert_eq!(std::fs::read(dir.join("auth.json")).unwrap(), before);
        assert!(codex_is_logged_in(&daemon, &dir));

        vendors.approve();
        let fourth = start(&daemon, again).await;
        let renewed = daemon.ended(&fourth).await;
        assert_eq!(is_stored(&daemon, &renewed, "codex", &json!("ada@example.com")).await, dir);
        assert_eq!(renewed["accountId"], done["accountId"]);
        assert_ne!(std::fs::read(dir.join("auth.json")).unwrap(), before);
        assert!(codex_is_logged_in(&daemon, &dir));
    });
}
