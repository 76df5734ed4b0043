//! Qoder: a login by an address alone, kept in a file that only Qoder can read.

use serde_json::json;

use super::seen::{CANARY, Launch, only_the_login_is_sent, stored};
use super::{home_at, nothing_is_left, start, stop};
use crate::support::namespace::inside;
use crate::support::optional;

#[test]
fn qoder_logs_in_and_launches_by_its_own_login() {
    let Some(qoder) = optional("qodercli") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&qoder).start();
        let id = start(&daemon, json!({"providerId": "qoder"})).await;
        let shown = daemon.session(&id, |session| session["status"] == "url-available").await;
        let address = shown["authUrl"].as_str().unwrap();
        assert!(address.starts_with("https://qoder.com/device/selectAccounts?challenge="), "{shown}");
        assert_eq!((&shown["openable"], &shown["prompt"]), (&json!(true), &json!(null)), "{shown}");
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = stored(&daemon, &done, "qoder", (json!(null), json!(null))).await;
        assert!(dir.join(".auth/user").is_file());
        let launch = Launch {
            provider: "qoder",
            program: qoder.join("qodercli"),
            args: &["-p", "hi"],
            request: "GET openapi.qoder.sh/api/v3/user/status",
            // What goes to the other host is signed with the token and does not show it.
            hosts: &["openapi.qoder.sh"],
            // Not a login of Qoder's, which it would have to encrypt itself.
            own: (".qoder/settings.json", json!({"apiKey": CANARY})),
        };
        only_the_login_is_sent(&vendors, &daemon, done["bundleId"].as_str().unwrap(), &launch).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn qoder_login_leaves_nothing_when_it_is_denied() {
    let Some(qoder) = optional("qodercli") else { return };
    inside(async |vendors| {
        vendors.deny();
        let daemon = home_at(&vendors).search(&qoder).start();
        let id = start(&daemon, json!({"providerId": "qoder"})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!(
            (&ended["status"], &ended["errorKind"]),
            (&json!("failed"), &json!("login_failed")),
            "{ended}"
        );
        nothing_is_left(&daemon, &id).await;
    });
}
