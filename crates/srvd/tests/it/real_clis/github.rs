//! gh: device logins.

use serde_json::{Value, json};

use super::{is_stored, named, nothing_is_left, start, stop, trusting};
use crate::namespace::inside;
use crate::support::optional;

#[test]
fn gh_logs_in_by_device_code() {
    let Some(gh) = optional("gh") else { return };
    inside(async |vendors| {
        let daemon = trusting(&vendors).search(&gh).start();
        let id = start(&daemon, json!({"providerId": "github"})).await;
        // The code stands above the address.
        let shown = daemon.session(&id, |session| !session["verificationUrl"].is_null()).await;
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("GHGH-0001"), &json!("https://github.com/login/device"), &json!(true))
        );
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "github", &Value::Null).await;
        assert_eq!(named(&daemon.home, |name| name == "hosts.yml"), [dir.join("hosts.yml")]);
        stop(daemon, &[&id]);
    });
}

#[test]
fn gh_is_refused_and_leaves_nothing() {
    let Some(gh) = optional("gh") else { return };
    inside(async |vendors| {
        vendors.deny();
        let daemon = trusting(&vendors).search(&gh).start();
        let id = start(&daemon, json!({"providerId": "github"})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}
