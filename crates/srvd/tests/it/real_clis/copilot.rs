//! GitHub Copilot: its device login, which treats every answer without a token as "not yet", and its browser login.

use serde_json::{Value, json};
use url::Url;

use super::{
    browse, home, home_at, is_stored, named, nothing_is_left, page, parameter, paste, refuses, start, stop,
};
use crate::support::namespace::inside;

#[test]
fn copilot_logs_in_by_device_code() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "copilot"})).await;
        let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
        assert_eq!(
            (&shown["deviceCode"], &shown["verificationUrl"], &shown["openable"]),
            (&json!("GHGH-0001"), &json!("https://github.com/login/device"), &json!(true))
        );
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "copilot", &Value::Null).await;
        assert!(named(&daemon.home, |name| name == "config.json").contains(&dir.join("config.json")));
        stop(daemon, &[&id]);
    });
}

/// Copilot prints and logs nothing when the person refuses. It polls until the code has expired by its own clock.
#[test]
fn copilot_login_fails_at_code_expiry_when_user_refuses() {
    inside(async |vendors| {
        vendors.deny();
        vendors.code_lifetime(4);
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "copilot"})).await;
        vendors.seen("POST github.com/login/oauth/access_token").await;
        let ended = daemon.ended(&id).await;
        assert_eq!(
            (&ended["status"], &ended["errorKind"]),
            (&json!("failed"), &json!("login_failed")),
            "{ended}"
        );
        assert!(ended["error"].as_str().unwrap().contains("Device code expired"), "{ended}");
        let polls = vendors.requests();
        let polls = polls.iter().filter(|request| request.ends_with("/login/oauth/access_token")).count();
        assert!(polls > 1, "a refusal ends it at once now, which the registry should say");
        nothing_is_left(&daemon, &id).await;
    });
}

#[test]
fn copilot_logs_in_by_the_browser() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "copilot", "recipe": "web"})).await;
        let address = vendors.consent(&page(&daemon, &id).await);
        refuses(&daemon, &id, address.as_str().replace("state=", "state=x")).await;
        assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
        let done = daemon.ended(&id).await;
        is_stored(&daemon, &done, "copilot", &Value::Null).await;
        assert!(!daemon.log().contains("planted-code"));
        stop(daemon, &[&id]);
    });
}

/// The page sends GitHub's own error text to the callback.
#[test]
fn copilot_login_leaves_nothing_when_refused_in_browser() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "copilot", "recipe": "web"})).await;
        let shown = page(&daemon, &id).await;
        let mut callback = Url::parse(&parameter(&shown, "redirect_uri")).unwrap();
        callback
            .query_pairs_mut()
            .append_pair("error", "access_denied")
            .append_pair("error_description", "The user has denied your application access.")
            .append_pair("state", &parameter(&shown, "state"));
        browse(&callback);
        let ended = daemon.ended(&id).await;
        assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("denied")), "{ended}");
        nothing_is_left(&daemon, &id).await;
    });
}

/// Copilot requests its code first, so without a network it ends with an error.
#[tokio::test(flavor = "multi_thread")]
async fn copilot_login_fails_when_offline() {
    let daemon = home().start();
    let id = start(&daemon, json!({"providerId": "copilot"})).await;
    let ended = daemon.ended(&id).await;
    assert_eq!(
        (&ended["status"], &ended["errorKind"]),
        (&json!("failed"), &json!("login_failed")),
        "{ended}"
    );
    assert!(
        ended["error"].as_str().unwrap().contains("the CLI could not complete the login: request failed"),
        "{ended}"
    );
    nothing_is_left(&daemon, &id).await;
}
