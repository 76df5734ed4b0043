//! Claude: as far as it goes without the vendor.

use serde_json::json;
use url::Url;

use super::{home, nothing_is_left, parameter, paste, start};
use crate::support::{Daemon, left_over};

const REDIRECT: &str = "https://platform.claude.com/oauth/code/callback";

/// Starts a login and waits until it takes a paste: the session, and the state in its address.
async fn claude(daemon: &Daemon, recipe: &str, page: &str) -> (String, String) {
    let id = start(daemon, json!({"providerId": "claude", "recipe": recipe})).await;
    let shown = daemon.session(&id, |session| session["prompt"] == true).await;
    assert_eq!((&shown["status"], &shown["openable"]), (&json!("url-available"), &json!(true)), "{shown}");
    let url = Url::parse(shown["authUrl"].as_str().unwrap()).unwrap();
    assert!(url.as_str().starts_with(page), "{url}");
    assert_eq!(parameter(&url, "redirect_uri"), REDIRECT);
    assert_eq!(parameter(&url, "response_type"), "code");
    assert_eq!(parameter(&url, "code_challenge_method"), "S256");
    (id, parameter(&url, "state"))
}

async fn no_paste_of_another_login(recipe: &str, page: &str) {
    let daemon = home().start();
    let (id, state) = claude(&daemon, recipe, page).await;
    let before = daemon.call("auth.poll", json!({"sessionId": id})).await;
    for text in [format!("{REDIRECT}?code=planted-code&state={state}x"), format!("planted-code#{state}x")] {
        let refused = paste(&daemon, &id, text).await;
        assert_eq!((&refused["success"], &refused["errorKind"]), (&json!(false), &json!("invalid_input")));
    }
    // The CLI takes whatever line it gets, so it would not be waiting any more.
    assert_eq!(daemon.call("auth.poll", json!({"sessionId": id})).await, before);
    assert!(!left_over(&id).is_empty(), "the CLI runs");
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": id})).await, json!({"success": true}));
    assert_eq!(daemon.ended(&id).await["errorKind"], "cancelled");
    nothing_is_left(&daemon, &id).await;
}

async fn its_own_callback(recipe: &str, page: &str) {
    let daemon = home().start();
    let (id, state) = claude(&daemon, recipe, page).await;
    let accepted = paste(&daemon, &id, format!("{REDIRECT}?code=planted-code&state={state}")).await;
    assert_eq!(accepted, json!({"success": true}));
    // The code is made up and there is no way to the vendor, so this is as far as it goes.
    let ended = daemon.ended(&id).await;
    assert_eq!(
        (&ended["status"], &ended["errorKind"]),
        (&json!("failed"), &json!("login_failed")),
        "{ended}"
    );
    assert!(!ended.to_string().contains("planted-code") && !daemon.log().contains("planted-code"));
    nothing_is_left(&daemon, &id).await;
}

/// Each recipe, with the page that its address leads to.
const LOGIN: (&str, &str) = ("login", "https://claude.com/cai/oauth/authorize?");
const CONSOLE: (&str, &str) = ("console", "https://platform.claude.com/oauth/authorize?");
/// A TUI, on a terminal; the token that it would show at the end needs the vendor.
const SETUP_TOKEN: (&str, &str) = ("setup-token", "https://claude.com/cai/oauth/authorize?");

#[tokio::test(flavor = "multi_thread")]
async fn claude_gets_no_paste_of_another_login_and_ends_when_cancelled() {
    no_paste_of_another_login(LOGIN.0, LOGIN.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_gets_no_paste_of_another_login_and_ends_when_cancelled() {
    no_paste_of_another_login(CONSOLE.0, CONSOLE.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_token_gets_no_paste_of_another_login_and_ends_when_cancelled() {
    no_paste_of_another_login(SETUP_TOKEN.0, SETUP_TOKEN.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_takes_the_callback_of_its_own_login() {
    its_own_callback(LOGIN.0, LOGIN.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_takes_the_callback_of_its_own_login() {
    its_own_callback(CONSOLE.0, CONSOLE.1).await;
}
