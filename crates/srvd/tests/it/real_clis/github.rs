//! gh: device logins, at github.com and at a GitHub Enterprise Server.

use serde_json::{Value, json};

use super::{is_stored, named, nothing_is_left, start, stop, trusting};
use crate::support::namespace::inside;
use crate::support::optional;

#[test]
fn gh_logs_in_by_device_code() {
    let Some(gh) = optional("gh") else { return };
    inside(async |vendors| {
        let daemon = trusting(&vendors).search(&gh).start();
        let id = start(&daemon, json!({"providerId": "github"})).await;
        // gh prints the code before the address.
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
fn gh_login_leaves_nothing_when_it_is_denied() {
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

/// A GitHub Enterprise Server, which serves the API on its own host.
const ENTERPRISE: &str = "ghe.corp.example";

#[test]
fn gh_logs_in_at_an_enterprise_host_and_is_launched_there() {
    let Some(gh) = optional("gh") else { return };
    inside(async |vendors| {
        let daemon = trusting(&vendors).search(&gh).start();
        let id = start(&daemon, json!({"providerId": "github", "host": ENTERPRISE})).await;
        let shown = daemon.session(&id, |session| !session["verificationUrl"].is_null()).await;
        let page = format!("https://{ENTERPRISE}/login/device");
        assert_eq!((&shown["verificationUrl"], &shown["openable"]), (&json!(page), &json!(true)), "{shown}");
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = is_stored(&daemon, &done, "github", &Value::Null).await;
        let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
        assert_eq!(account["baseUrl"], format!("https://{ENTERPRISE}"), "{account}");
        let launch = daemon.call("launch.resolve", json!({"bundleId": done["bundleId"]})).await;
        assert_eq!(launch["set"]["GH_HOST"], ENTERPRISE, "{launch}");
        let bundle = done["bundleId"].as_str().unwrap();
        let exec = ["exec", "--bundle", bundle, "--", "gh", "auth", "token", "-h", ENTERPRISE];
        let token = String::from_utf8(daemon.home.run(&exec).stdout).unwrap();
        let hosts = std::fs::read_to_string(dir.join("hosts.yml")).unwrap();
        assert!(
            !token.trim().is_empty() && hosts.contains(&format!("oauth_token: {}", token.trim())),
            "{hosts}"
        );
        assert!(!hosts.contains("github.com"), "{hosts}");
        stop(daemon, &[&id]);
    });
}
