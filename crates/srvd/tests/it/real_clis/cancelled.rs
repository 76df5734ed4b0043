//! CLIs whose vendor cannot be named: up to the address, and then cancelled.

use std::net::TcpListener;

use serde_json::json;

use super::{home, leased, nothing_is_left, start};
use crate::support::{Daemon, left_over};

/// Drives a login up to its address, or its prompt where it has one, cancels it, and looks for what it has left.
async fn up_to_the_address(daemon: Daemon, (provider, recipe): (&str, &str), page: &str, prompts: bool) {
    let id = start(&daemon, json!({"providerId": provider, "recipe": recipe})).await;
    let waits =
        |session: &serde_json::Value| !session["authUrl"].is_null() && (session["prompt"] == true) >= prompts;
    let shown = daemon.session(&id, waits).await;
    assert!(shown["authUrl"].as_str().unwrap().starts_with(page), "{shown}");
    assert_eq!((&shown["status"], &shown["openable"]), (&json!("url-available"), &json!(true)), "{shown}");
    assert!(!left_over(&id).is_empty(), "the CLI runs");
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": id})).await, json!({"success": true}));
    assert_eq!(daemon.ended(&id).await["errorKind"], "cancelled");
    nothing_is_left(&daemon, &id).await;
}

async fn with_port(port: u16, login: (&str, &str), page: &str, prompts: bool) {
    let _port = leased(port).await;
    up_to_the_address(home().start(), login, page, prompts).await;
    TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
}

const OPENAI: &str = "https://auth.openai.com/oauth/authorize?";

#[tokio::test(flavor = "multi_thread")]
async fn gemini_waits_for_a_code_in_its_tui() {
    let page = "https://accounts.google.com/o/oauth2/v2/auth?";
    up_to_the_address(home().start(), ("gemini", "login"), page, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openclaw_waits_for_a_code_in_its_tui() {
    with_port(1455, ("openclaw", "openai"), OPENAI, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_waits_for_the_browser() {
    with_port(1455, ("opencode", "openai"), OPENAI, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pi_is_led_through_its_menus_to_anthropic() {
    with_port(53692, ("pi", "anthropic"), "https://claude.ai/oauth/authorize?", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pi_is_led_through_its_menus_to_openai() {
    with_port(1455, ("pi", "openai"), OPENAI, true).await;
}

/// These ask the vendor for their code first, so without a network they end, and say why.
async fn fails_offline((provider, recipe): (&str, &str), words: &str) {
    let daemon = home().start();
    let id = start(&daemon, json!({"providerId": provider, "recipe": recipe})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("cli_exited")), "{ended}");
    assert!(ended["error"].as_str().unwrap().contains(words), "{ended}");
    nothing_is_left(&daemon, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copilot_says_that_it_is_offline() {
    fails_offline(("copilot", "login"), "Login failed: Error: request failed").await;
}
