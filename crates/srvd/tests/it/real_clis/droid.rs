//! Droid: a login on the first screen of its TUI, kept in a file that only Droid can read.

use serde_json::json;

use super::seen::{CANARY, Launch, only_the_login_is_sent, stored};
use super::{home_at, nothing_is_left, start, stop};
use crate::support::namespace::inside;
use crate::support::optional;

#[test]
fn droid_logs_in_and_launches_by_its_own_login() {
    let Some(droid) = optional("droid") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&droid).start();
        let id = start(&daemon, json!({"providerId": "droid"})).await;
        let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("DROI-0001"), &json!("https://auth.factory.ai/device"), &json!(true))
        );
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = stored(&daemon, &done, "droid", (json!(null), json!(null))).await;
        assert!(dir.join(".factory/auth.v2.file").is_file());
        let launch = Launch {
            provider: "droid",
            program: droid.join("droid"),
            args: &["exec", "hi"],
            request: "POST api.factory.ai/api/sessions/create",
            hosts: &["factory.ai"],
            // Not a login of Droid's, which it would have to encrypt itself.
            own: (".factory/settings.json", json!({"apiKey": CANARY})),
        };
        only_the_login_is_sent(&vendors, &daemon, done["bundleId"].as_str().unwrap(), &launch).await;
        stop(daemon, &[&id]);
    });
}

#[test]
fn droid_login_leaves_nothing_when_it_is_denied() {
    let Some(droid) = optional("droid") else { return };
    inside(async |vendors| {
        let daemon = home_at(&vendors).search(&droid).start();
        let id = start(&daemon, json!({"providerId": "droid"})).await;
        daemon.session(&id, |session| session["status"] == "code-emitted").await;
        vendors.deny();
        let ended = daemon.ended(&id).await;
        // The CLI tells a refusal and an expired code with the same words.
        assert_eq!(
            (&ended["status"], &ended["errorKind"]),
            (&json!("failed"), &json!("login_failed")),
            "{ended}"
        );
        nothing_is_left(&daemon, &id).await;
    });
}
