//! Refreshes of the operator's tokens. Each token is refreshed at its own forge, once, and each change is announced.

use rpc_engine::Subscription;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{CHANGED, daemon, named, sign_in, start};
use crate::forge::standin::Standin;
use crate::support::{Daemon, event, store};

/// Stores expired tokens that can be refreshed, of the person that the forge knows.
async fn bring(daemon: &Daemon, kind: &str, forge: &Standin) -> Value {
    let (access, refresh) = forge.hand_out();
    let tokens = json!({"accessToken": access, "refreshToken": refresh, "expiresAt": 1000, "subject": "12"});
    let whose = json!({"forgeType": kind, "baseUrl": forge.url, "clientId": "srvd", "accountLogin": "ada"});
    let mut params = whose;
    params["tokens"] = tokens;
    daemon.call("operator.upsert", params).await
}

/// Returns the operator's account when it satisfies the condition. Reads it again after each event.
async fn until(
    daemon: &Daemon,
    events: &mut Subscription,
    account: &Value,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    loop {
        let list = daemon.call("operator.list", json!({})).await;
        let own = list["tokens"].as_array().unwrap().iter().find(|token| &token["accountId"] == account);
        if let Some(token) = own.filter(|token| wanted(token)) {
            return token.clone();
        }
        event(events, CHANGED).await;
    }
}

/// Four forges, two of which differ only in their address.
#[tokio::test(flavor = "multi_thread")]
async fn token_is_refreshed_at_its_own_forge() {
    let forges = [
        ("hub", "github", Standin::start("github").await),
        ("lab", "gitlab", Standin::start("gitlab").await),
        ("one", "forgejo", Standin::start("forgejo").await),
        ("two", "forgejo", Standin::start("forgejo").await),
    ];
    let clients: Vec<_> =
        forges.iter().map(|(name, kind, forge)| (*name, *kind, forge.url.as_str())).collect();
    let daemon = daemon(&clients);
    let client = daemon.client().await;
    let mut events = client.subscribe([CHANGED]).await.unwrap();
    let mut brought = Vec::new();
    for (_, kind, forge) in &forges {
        brought.push(bring(&daemon, kind, forge).await);
    }
    let mut renewed = Vec::new();
    for stored in &brought {
        let fresh = |token: &Value| token["expiresAt"].as_i64().unwrap() > crate::support::now();
        let token = until(&daemon, &mut events, &stored["accountId"], fresh).await;
        assert_eq!((&token["state"], token.get("stateReason")), (&json!("active"), None), "{token}");
        // No new sign-in was needed, and the account is the same as before.
        for same in ["subject", "accountLogin", "active", "createdAt", "updatedAt"] {
            assert_eq!(token[same], stored[same], "{same}");
        }
        renewed.push(token);
    }
    let (_, home) = daemon.stop();
    let store = store(&home).await;
    for ((_, kind, forge), token) in forges.iter().zip(&renewed) {
        assert_eq!(forge.exchanges(), 1, "{kind}");
        let account = token["accountId"].as_str().unwrap().parse().unwrap();
        let stored = store.tokens(&account, crate::support::now()).await.unwrap();
        let refresh = stored.tokens.refresh.unwrap().secret.expose_secret().to_owned();
        assert_eq!(forge.live(), [refresh].into(), "{kind}");
        assert_eq!(stored.generation, 2, "{kind}");
    }
    store.close().await;
}

/// A forge that no longer accepts the refresh token is asked once. A sign-in makes the account
/// valid again.
#[tokio::test(flavor = "multi_thread")]
async fn account_needs_a_new_sign_in_when_its_refresh_token_is_dead() {
    let (hub, git) = (Standin::start("github").await, Standin::start("gitea").await);
    let daemon = daemon(&[("hub", "github", &hub.url), ("git", "gitea", &git.url)]);
    hub.fail(Some((200, json!({"error": "bad_refresh_token", "error_description": "planted-words"}))));
    git.fail(Some((
        400,
        json!({"error": "unauthorized_client", "error_description": "token was already used"}),
    )));
    let client = daemon.client().await;
    let mut events = client.subscribe([CHANGED]).await.unwrap();
    let accounts = [bring(&daemon, "github", &hub).await, bring(&daemon, "gitea", &git).await];
    for (account, reason) in accounts.iter().zip(["invalid_grant", "refresh_token_reused"]) {
        let dead = |token: &Value| token["state"] == "needs_reauth";
        let token = until(&daemon, &mut events, &account["accountId"], dead).await;
        assert_eq!(token["stateReason"], reason, "{token}");
    }
    let (_, home) = daemon.stop();
    hub.fail(None);
    git.fail(None);
    let daemon = start(home);
    let mut events = daemon.client().await.subscribe([CHANGED]).await.unwrap();
    let (session, _) = sign_in(&daemon, json!({"forgeType": "github"}), None).await;
    assert_eq!(session["accountId"], accounts[0]["accountId"]);
    let good = |token: &Value| token["state"] == "active" && token["active"] == true;
    let token = until(&daemon, &mut events, &session["accountId"], good).await;
    assert_eq!(token.get("stateReason"), None, "{token}");
    assert_eq!(hub.exchanges(), 2, "the dead token once, and the code");
    assert_eq!(git.exchanges(), 1, "nobody asks a second time");
    assert!(!daemon.log().contains("planted-words"), "the log holds an answer");
}

/// A forge that cannot answer leaves the account as it is, and the failure is announced.
#[tokio::test(flavor = "multi_thread")]
async fn account_stays_active_when_the_forge_is_down() {
    let lab = Standin::start("gitlab").await;
    lab.fail(Some((503, json!({"message": "down"}))));
    let daemon = daemon(&[("lab", "gitlab", &lab.url)]);
    let mut events = daemon.client().await.subscribe([CHANGED]).await.unwrap();
    let brought = bring(&daemon, "gitlab", &lab).await;
    let failed = |token: &Value| token.get("stateReason").is_some();
    let token = until(&daemon, &mut events, &brought["accountId"], failed).await;
    assert_eq!((&token["state"], &token["stateReason"]), (&json!("active"), &json!("server_error")));
    let (_, home) = daemon.stop();
    let store = store(&home).await;
    let account = brought["accountId"].as_str().unwrap().parse().unwrap();
    let stored = store.tokens(&account, crate::support::now()).await.unwrap();
    assert_eq!((stored.generation, stored.failures), (1, 1));
    assert_eq!(lab.live(), [stored.tokens.refresh.unwrap().secret.expose_secret().to_owned()].into());
    store.close().await;
}

/// A forge that answers with another person's token changes nothing, and is not asked again.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_is_rejected_when_the_token_belongs_to_another_person() {
    let lab = Standin::start("gitlab").await;
    let daemon = daemon(&[("lab", "gitlab", &lab.url)]);
    let mut events = daemon.client().await.subscribe([CHANGED]).await.unwrap();
    lab.person(77, "eve");
    let brought = bring(&daemon, "gitlab", &lab).await;
    let stuck = |token: &Value| token["state"] == "needs_reauth";
    let token = until(&daemon, &mut events, &brought["accountId"], stuck).await;
    assert_eq!((&token["stateReason"], &token["accountLogin"]), (&json!("identity_mismatch"), &json!("ada")));
    let (_, home) = daemon.stop();
    let store = store(&home).await;
    let account = brought["accountId"].as_str().unwrap().parse().unwrap();
    let stored = store.tokens(&account, crate::support::now()).await.unwrap();
    let refresh = stored.tokens.refresh.unwrap().secret.expose_secret().to_owned();
    assert!(!lab.live().contains(&refresh), "the account's own token stays");
    assert_eq!((stored.generation, lab.exchanges()), (1, 1));
    store.close().await;
}

/// A token without an end is never due, neither today nor in ten years.
#[tokio::test(flavor = "multi_thread")]
async fn token_refresh_is_never_scheduled_when_the_token_has_no_expiry() {
    let hub = Standin::start("github").await;
    hub.lives(0);
    let daemon = daemon(&[("hub", "github", &hub.url)]);
    let (session, _) = sign_in(&daemon, json!({"forgeType": "github"}), None).await;
    let (_, home) = daemon.stop();
    let daemon = start(home);
    let list = daemon.call("operator.list", json!({})).await;
    let token = named(&list, "github");
    assert_eq!((&token["accountId"], &token["state"]), (&session["accountId"], &json!("active")));
    assert_eq!(token.get("expiresAt"), None, "{token}");
    let (_, home) = daemon.stop();
    let store = store(&home).await;
    let later = crate::support::now() + 10 * 365 * 24 * 3600 * 1000;
    assert_eq!(store.next_refresh_at().await.unwrap(), None);
    assert_eq!(store.due_refreshes(later, 10).await.unwrap(), []);
    store.close().await;
    assert_eq!(hub.exchanges(), 1, "the code and nothing else");
}

/// The earlier sign-in stays valid, whatever the result of another one.
#[tokio::test(flavor = "multi_thread")]
async fn failed_sign_in_leaves_the_earlier_one_unchanged() {
    let lab = Standin::start("gitlab").await;
    let daemon = daemon(&[("lab", "gitlab", &lab.url)]);
    let begin = json!({"forgeType": "gitlab"});
    sign_in(&daemon, begin.clone(), None).await;
    let before = daemon.call("operator.list", json!({})).await;
    let mut events = daemon.client().await.subscribe(["authsession:changed:*"]).await.unwrap();
    // Each step is announced, and at that time a poll already shows it.
    let mut step = async |session: &Value, status: &str, kind: Option<&str>| {
        let ask = json!({"sessionId": session["sessionId"]});
        let topic = format!("authsession:changed:{}", session["sessionId"].as_str().unwrap());
        assert_eq!(event(&mut events, &topic).await.as_ref(), Some(&ask));
        let shown = daemon.call("operator.poll", ask).await;
        assert_eq!((shown["status"].as_str(), shown["errorKind"].as_str()), (Some(status), kind), "{shown}");
    };
    let cancelled = daemon.call("operator.start", begin.clone()).await;
    step(&cancelled, "pending", None).await;
    daemon.call("operator.cancel", json!({"sessionId": cancelled["sessionId"]})).await;
    step(&cancelled, "failed", Some("cancelled")).await;
    let superseded = daemon.call("operator.start", begin.clone()).await;
    step(&superseded, "pending", None).await;
    let denied = daemon.call("operator.start", begin.clone()).await;
    step(&superseded, "failed", Some("superseded")).await;
    step(&denied, "pending", None).await;
    lab.deny();
    let callback = super::approved(denied["authUrl"].as_str().unwrap()).await;
    assert_eq!(super::browse(&daemon, &callback, None).0, 400);
    // The sign-in was being finished for a moment, which is also a step.
    for _ in 0..2 {
        step(&denied, "failed", Some("denied")).await;
    }
    assert_eq!(daemon.call("operator.list", json!({})).await, before);
    assert_eq!(daemon.call("operator.active", json!({})).await["accountLogin"], "ada");
    assert_eq!(lab.revoked(), [""; 0]);
}
