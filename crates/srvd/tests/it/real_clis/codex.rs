//! Codex: whole logins at the stand-in, and its browser login up to the vendor.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use url::Url;

use super::{home, is_stored, leased, named, nothing_is_left, overlay, parameter, paste, recipes, start};
use crate::program::Program;
use crate::standin::Standin;
use crate::support::{Daemon, Home, clis, event, left_over};

/// A home whose Codex logs in at the stand-in: the shipped recipes, with one more argument.
fn codex_home(standin: &Standin) -> Home {
    let mut recipes = recipes("codex");
    for recipe in recipes.as_array_mut().unwrap() {
        let args = recipe["args"].as_array_mut().unwrap();
        args.extend(["--experimental_issuer", standin.url()].map(toml::Value::from));
    }
    overlay(home(), "codex", [("recipes", recipes)])
}

/// Asks Codex itself whether it is logged in there.
fn codex_is_logged_in(daemon: &Daemon, dir: &Path) -> bool {
    let mut codex = Command::new(clis().join("codex"));
    codex.args(["login", "status"]).env_clear().env("HOME", daemon.home.dir("home")).env("CODEX_HOME", dir);
    codex.output().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_logs_in_by_device_code() {
    let standin = Standin::start().await;
    let daemon = codex_home(&standin).start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["identitybundlebindings:changed:*"]).await.unwrap();
    let id = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
        (&json!("ABCD-00001"), &json!(format!("{}/codex/device", standin.url())), &json!(false))
    );
    standin.approve();
    let done = daemon.ended(&id).await;
    let dir = is_stored(&daemon, &done, "codex", &json!("ada@example.com")).await;
    event(&mut events, &format!("identitybundlebindings:changed:{}", done["bundleId"].as_str().unwrap()))
        .await;
    assert_eq!(named(&daemon.home, |name| name == "auth.json"), [dir.join("auth.json")]);
    assert!(codex_is_logged_in(&daemon, &dir));
    // The CLI may still be saying goodbye, but not to a daemon that is gone.
    let (_, _home) = daemon.stop();
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_is_refused_and_leaves_nothing() {
    let standin = Standin::start().await;
    standin.deny();
    let daemon = codex_home(&standin).start();
    let id = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!(
        (&ended["status"], &ended["errorKind"], &ended["exitCode"]),
        (&json!("failed"), &json!("cli_exited"), &json!(1)),
        "{ended}"
    );
    assert!(ended["error"].as_str().unwrap().contains("400 Bad Request"), "{ended}");
    nothing_is_left(&daemon, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_logs_in_through_the_command_line() {
    let standin = Standin::start().await;
    let daemon = codex_home(&standin).start();
    let args = ["login", "codex", "--recipe", "device-auth", "--bundle", "work", "--no-browser"];
    let login = Program::start(daemon.home.command(&args));
    login.notes("Enter this code there: ABCD-00001").await;
    login.notes(&format!("\n  {}/codex/device\n", standin.url())).await;
    standin.approve();
    let ended = login.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let bundles = daemon.home.run(&["bundles", "--json"]);
    let bundles: Value = serde_json::from_slice(&bundles.stdout).unwrap();
    assert_eq!(bundles, daemon.call("bundle.list", json!({})).await);
    let work = bundles["bundles"].as_array().unwrap().iter().find(|bundle| bundle["name"] == "work").unwrap();
    let binding = &work["bindings"][0];
    assert_eq!((&binding["providerId"], &binding["status"]), (&json!("codex"), &json!("valid")));
    let account = binding["accountId"].as_str().unwrap();
    let expect = format!("Logged in to Codex as ada@example.com in bundle \"work\" (account {account})\n");
    assert_eq!(ended.stdout, expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_waits_for_the_browser_until_it_is_cancelled() {
    let _port = leased(1455).await;
    let daemon = home().start();
    let first = start(&daemon, json!({"providerId": "codex", "recipe": "login"})).await;
    let shown = daemon.session(&first, |session| session["status"] == "url-available").await;
    assert!(
        shown["authUrl"].as_str().unwrap().starts_with("https://auth.openai.com/oauth/authorize?"),
        "{shown}"
    );
    assert_eq!(shown["openable"], true);

    let other = daemon.call("bundle.create", json!({"name": "Other"})).await["id"].clone();
    let (code, data) =
        daemon.refused("auth.start", json!({"providerId": "codex", "intoBundleId": other})).await;
    assert_eq!((code, &data["sessionId"], &data["port"]), (1002, &json!(first), &json!(1455)));
    daemon.call("bundle.delete", json!({"bundleId": other})).await;

    assert!(!left_over(&first).is_empty(), "the CLI runs");
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": first})).await, json!({"success": true}));
    assert_eq!(daemon.ended(&first).await["errorKind"], "cancelled");
    nothing_is_left(&daemon, &first).await;
    TcpListener::bind(("127.0.0.1", 1455)).expect("the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_gets_a_pasted_callback_at_its_own_port() {
    let _port = leased(1455).await;
    let daemon = home().start();
    let id = start(&daemon, json!({"providerId": "codex", "recipe": "login"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "url-available").await;
    let state = parameter(&Url::parse(shown["authUrl"].as_str().unwrap()).unwrap(), "state");
    let callback =
        |state: &str| format!("http://localhost:1455/auth/callback?code=planted-code&state={state}");
    let refused = paste(&daemon, &id, callback(&format!("{state}x"))).await;
    assert_eq!((&refused["success"], &refused["errorKind"]), (&json!(false), &json!("invalid_input")));
    let accepted = paste(&daemon, &id, callback(&state)).await;
    assert_eq!(accepted, json!({"success": true}));
    // The code is made up and there is no way to the vendor, so this is as far as it goes.
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("cli_exited")), "{ended}");
    assert!(ended["error"].as_str().unwrap().contains("Token exchange failed"), "{ended}");
    assert!(!ended.to_string().contains("planted-code") && !daemon.log().contains("planted-code"));
    nothing_is_left(&daemon, &id).await;
    TcpListener::bind(("127.0.0.1", 1455)).expect("the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_keeps_its_old_login_until_it_has_a_new_one() {
    let standin = Standin::start().await;
    let daemon = codex_home(&standin).start();
    let first = start(&daemon, json!({"providerId": "codex", "recipe": "device-auth"})).await;
    daemon.session(&first, |session| session["status"] == "code-emitted").await;
    standin.approve();
    let done = daemon.ended(&first).await;
    let dir = is_stored(&daemon, &done, "codex", &json!("ada@example.com")).await;
    let before = std::fs::read(dir.join("auth.json")).unwrap();

    // The stand-in has approved already; a refusal is what ends this one.
    standin.deny();
    let again = json!({"providerId": "codex", "recipe": "device-auth", "intoBundleId": done["bundleId"], "force": true});
    let second = start(&daemon, again.clone()).await;
    assert_eq!(daemon.ended(&second).await["status"], "failed");
    assert_eq!(std::fs::read(dir.join("auth.json")).unwrap(), before);
    // And this one waits for the browser until it is cancelled.
    let _port = leased(1455).await;
    let browser =
        json!({"providerId": "codex", "recipe": "login", "intoBundleId": done["bundleId"], "force": true});
    let third = start(&daemon, browser).await;
    daemon.session(&third, |session| session["status"] == "url-available").await;
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": third})).await, json!({"success": true}));
    daemon.ended(&third).await;
    assert_eq!(std::fs::read(dir.join("auth.json")).unwrap(), before);
    assert!(codex_is_logged_in(&daemon, &dir));

    standin.approve();
    let fourth = start(&daemon, again).await;
    let renewed = daemon.ended(&fourth).await;
    assert_eq!(is_stored(&daemon, &renewed, "codex", &json!("ada@example.com")).await, dir);
    assert_eq!(renewed["accountId"], done["accountId"]);
    assert_ne!(std::fs::read(dir.join("auth.json")).unwrap(), before);
    assert!(codex_is_logged_in(&daemon, &dir));
}
