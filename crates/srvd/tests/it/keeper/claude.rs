//! Claude Code, whose processes take turns by their own locks.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Login, home_at, old_lock};
use crate::support::namespace::inside;

#[test]
fn claude_login_is_renewed_inside_its_window() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "claude", "work").await;
        login.write_claude("rt_1", 200);
        vendors.accept_refresh_token("rt_1");
        let daemon = home.start();
        let kept = login.tried(&daemon).await;
        assert_eq!((&kept["outcome"], &kept["state"]), (&json!("moved"), &json!("waiting")), "{kept}");
        assert_eq!(vendors.refreshes(), ["rt_1"]);
        // Not earlier than its CLI does so, even on request.
        let refreshed = daemon.home.run(&["refresh", &login.account]);
        let said = String::from_utf8(refreshed.stdout).unwrap();
        assert!(said.contains("its CLI renews it only shortly before its end"), "{said}");
        assert_eq!(vendors.refreshes(), ["rt_1"]);
    });
}

#[test]
fn claude_login_that_the_provider_refuses_is_dead() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "claude", "work").await;
        login.write_claude("rt_1", 200);
        vendors.refuse_refreshes(Some(400));
        let daemon = home.start();
        let kept = login.until(&daemon, "it is not dead", |kept| kept["state"] == "dead").await;
        assert_eq!((&kept["outcome"], &kept["nextAt"]), (&json!("wiped"), &Value::Null), "{kept}");
        let account = daemon.call("account.refreshstatus", json!({"accountId": login.account})).await;
        assert_eq!(account["status"], "needs_reauth", "{account}");
        assert!(account["statusReason"].as_str().unwrap().contains("refused its refresh token"), "{account}");
        assert_eq!(vendors.refreshes(), ["rt_1"]);
    });
}

#[test]
fn claude_login_is_kept_when_the_provider_fails() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "claude", "work").await;
        login.write_claude("rt_1", 200);
        vendors.refuse_refreshes(Some(500));
        let before = login.text(".credentials.json");
        let daemon = home.start();
        let kept = login.tried(&daemon).await;
        assert_eq!((&kept["outcome"], &kept["state"]), (&json!("unchanged"), &json!("failing")), "{kept}");
        assert_eq!(login.text(".credentials.json"), before);
    });
}

/// A process that was killed while it renewed the login leaves its locks. The CLI itself disregards them after a minute.
#[test]
fn claude_login_is_renewed_when_a_lock_that_was_left_is_stale() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "claude", "work").await;
        login.write_claude("rt_1", 200);
        vendors.accept_refresh_token("rt_1");
        let age = Duration::from_secs(50);
        old_lock(&login.dir.join(".oauth_refresh.lock"), age);
        old_lock(&login.dir.with_extension("lock"), age);
        let daemon = home.start();
        let kept = login.tried(&daemon).await;
        assert_eq!(kept["outcome"], "moved", "{kept}\n{}", daemon.log());
        assert_eq!(vendors.refreshes(), ["rt_1"]);
        // Neither lock is taken for a login, and the lock beside the directory goes with its account.
        old_lock(&login.dir.with_extension("lock"), age);
        let deleted = daemon.call("bundle.delete", json!({"bundleId": "work"})).await;
        assert!(!login.dir.parent().unwrap().exists(), "{deleted}");
    });
}
