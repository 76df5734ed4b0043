//! pi, under its present npm name and under the earlier one. Its login is a command in its TUI.

use serde_json::json;

use super::{home_at, is_stored, named, nothing_is_left, page, paste, refuses, start, stop};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{Daemon, Home, optional};

/// Starts a login that the person allows. Pastes the address of another attempt, and then the one where the browser
/// ended.
async fn paste_the_address(vendors: &Standin, daemon: &Daemon, recipe: &str) -> String {
    let id = start(daemon, json!({"providerId": "pi", "recipe": recipe})).await;
    let address = vendors.consent(&page(daemon, &id).await);
    refuses(daemon, &id, address.as_str().replace("state=", "state=x")).await;
    assert_eq!(paste(daemon, &id, address.to_string()).await, json!({"success": true}));
    id
}

async fn log_in(vendors: &Standin, home: Home, recipe: &str) {
    let daemon = home.start();
    let id = paste_the_address(vendors, &daemon, recipe).await;
    let done = daemon.ended(&id).await;
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &json!(null)), "{done}");
    let dir = daemon.home.dir("data/identities").join(done["bundleId"].as_str().unwrap()).join("pi");
    assert_eq!(named(&daemon.home, |name| name == "auth.json"), [dir.join("auth.json")]);
    if recipe == "openai" {
        // Anthropic's part of pi's file names no person.
        assert_eq!(is_stored(&daemon, &done, "pi", &json!(null)).await, dir);
    }
    assert!(!daemon.log().contains("planted-code"));
    let home = stop(daemon, &[&id]);
    assert_eq!(crate::support::files_below(&home.dir("home")), Vec::<std::path::PathBuf>::new());
}

#[test]
fn pi_logs_in_to_anthropic() {
    inside(async |vendors| log_in(&vendors, home_at(&vendors), "anthropic").await);
}

#[test]
fn pi_logs_in_to_openai() {
    inside(async |vendors| log_in(&vendors, home_at(&vendors), "openai").await);
}

#[test]
fn old_pi_logs_in_to_anthropic() {
    let Some(old) = optional("pi-old") else { return };
    inside(async |vendors| log_in(&vendors, home_at(&vendors).search(&old), "anthropic").await);
}

#[test]
fn old_pi_logs_in_to_openai() {
    let Some(old) = optional("pi-old") else { return };
    inside(async |vendors| log_in(&vendors, home_at(&vendors).search(&old), "openai").await);
}

#[test]
fn pi_is_not_refused_when_the_network_fails() {
    inside(async |vendors| {
        vendors.fail();
        let daemon = home_at(&vendors).start();
        let id = paste_the_address(&vendors, &daemon, "anthropic").await;
        let ended = daemon.ended(&id).await;
        assert_eq!(ended["status"], "failed", "{ended}");
        assert_ne!(ended["errorKind"], "denied", "{ended}");
        let told = format!("{} {}", ended["error"], ended["hint"]);
        assert!(!told.contains("login was denied") && !told.contains("approve it"), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}
