//! The limits of subscriptions, as the real CLIs tell them.

use serde_json::{Value, json};

use super::{Login, Times, home_at};
use crate::support::event;
use crate::support::namespace::inside;

/// A fresh login of Codex.
const FRESH: Times = Times { age: 0, left: 3_600 };

/// Returns the windows of a login as name, share and length.
fn windows(quota: &Value) -> Vec<(String, i64, i64)> {
    let all = quota["windows"].as_array().unwrap().iter();
    all.map(|window| {
        let number = |name: &str| window[name].as_i64().unwrap();
        (window["key"].as_str().unwrap().to_owned(), number("usedPercent"), number("seconds"))
    })
    .collect()
}

#[test]
fn limits_of_codex_are_those_that_its_service_told() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "codex", "work").await;
        login.write_codex("rt_1", FRESH);
        vendors.accept_access_tokens();
        let daemon = home.start();
        let client = daemon.client().await;
        let mut changes = client.subscribe(["accountquota:changed:*"]).await.unwrap();
        let told = daemon.call("quota.refresh", json!({"accountId": login.account})).await;
        let quota = &told["quotas"][0];
        assert_eq!((&told["schemaVersion"], &quota["state"]), (&json!(1), &json!("fine")), "{told}");
        assert_eq!(windows(quota), [("5h".into(), 42, 18_000), ("7d".into(), 5, 604_800)]);
        assert_eq!((&quota["plan"], &quota["billing"]), (&json!("pro"), &json!("subscription")), "{quota}");
        event(&mut changes, &format!("accountquota:changed:{}", login.account)).await;
        // At most once in three minutes, whoever asks.
        let asked = vendors.requests().iter().filter(|request| request.ends_with("/usage")).count();
        daemon.call("quota.refresh", json!({})).await;
        assert_eq!(vendors.requests().iter().filter(|request| request.ends_with("/usage")).count(), asked);
        assert!(vendors.refreshes().is_empty());
        let shown = daemon.home.run(&["quota"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains("5h 42%, resets in"), "{shown}");
        let best = daemon.call("launch.suggest", json!({"providerId": "codex"})).await;
        assert_eq!(best["suggestions"][0]["bundleIds"], json!(["work"]), "{best}");
        let listed = daemon.home.run(&["cswap", "--list", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(listed["accounts"][0]["usage"]["fiveHour"]["pct"], 42, "{listed}");
    });
}

#[test]
fn limits_of_claude_are_asked_without_hooks_servers_or_a_prompt() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let login = Login::plant(&home, "claude", "work").await;
        login.write_claude("rt_1", 7_200);
        vendors.accept_access_tokens();
        let trap = home.dir("trap");
        let touch = format!("touch {}", trap.display());
        let hooks = json!({"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": touch}]}]}});
        std::fs::write(login.dir.join("settings.json"), hooks.to_string()).unwrap();
        let daemon = home.start();
        let told = daemon.call("quota.refresh", json!({"accountId": login.account})).await;
        let quota = &told["quotas"][0];
        assert_eq!(quota["state"], "fine", "{told}\n{}\n{:?}", daemon.log(), vendors.requests());
        let expected =
            [("5h".into(), 42, 18_000), ("7d".into(), 61, 604_800), ("7d:sonnet".into(), 12, 604_800)];
        assert_eq!(windows(quota), expected);
        assert!(!trap.exists(), "a hook of the person was run");
        let prompts = vendors.requests().into_iter().filter(|request| request.contains("/v1/messages"));
        assert_eq!(prompts.collect::<Vec<_>>(), Vec::<String>::new());
    });
}

#[test]
fn limits_are_unknown_when_the_service_does_not_tell_them() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let (codex, kimi) =
            (Login::plant(&home, "codex", "work").await, Login::plant(&home, "kimi-code", "kimi").await);
        codex.write_codex("rt_1", FRESH);
        let daemon = home.start();
        let told = daemon.call("quota.refresh", json!({})).await;
        for quota in told["quotas"].as_array().unwrap() {
            assert_eq!((&quota["state"], &quota["windows"]), (&json!("unknown"), &json!([])), "{quota}");
            assert!(!quota["reason"].as_str().unwrap().is_empty(), "{quota}");
        }
        let ids: Vec<&Value> =
            told["quotas"].as_array().unwrap().iter().map(|one| &one["accountId"]).collect();
        assert!(ids.contains(&&json!(codex.account)) && ids.contains(&&json!(kimi.account)), "{told}");
        assert_eq!(daemon.home.run(&["quota"]).status.code(), Some(3));
    });
}
