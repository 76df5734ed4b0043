//! Tests of tokens stored by the daemon: each is refreshed once and in time, and none is lost or made up.

mod endpoint;
mod refused;
mod shared;
mod storm;

use std::collections::BTreeSet;

use serde_json::{Value, json};

pub(crate) use self::endpoint::entry;
use self::endpoint::{Endpoint, Mode, id_token};
use crate::support::{Daemon, Home, event};

const HOUR: i64 = 3600;
const DECLARED: &str = "planted-declared-key";

/// Creates a home with the provider `lent`, and with a key for it that is declared for the agent `shared`.
fn home(endpoint: &Endpoint) -> Home {
    let home = Home::new().config("providers.d/lent.toml", &entry("lent", &endpoint.url, "form"));
    let text = format!("[[agents]]\nid = 'shared'\nproviders.lent.key = '{DECLARED}'\n");
    crate::support::private_file(&home.dir("config/agents.toml"), text.as_bytes());
    home
}

/// Stores expired tokens that can be refreshed.
async fn bring(daemon: &Daemon, provider: &str, (user, agent): (&str, &str), refresh: &str) -> Value {
    let tokens = json!({"accessToken": "planted-access-first", "refreshToken": refresh, "expiresAt": 1000});
    let params = json!({"userId": user, "agentId": agent, "providerId": provider, "tokens": tokens});
    daemon.call("profile.upsert", params).await
}

pub(crate) fn question(provider: &str, (user, agent): (&str, &str)) -> Value {
    json!({"userId": user, "agentId": agent, "providerId": provider})
}

/// Returns the token with which an agent is launched.
async fn launched(daemon: &Daemon, provider: &str, whose: (&str, &str)) -> Value {
    let launch = daemon.call("launch.resolve", question(provider, whose)).await;
    launch["set"][format!("{}_TOKEN", provider.to_uppercase())].clone()
}

/// The old refresh token is sent once, and every caller receives the new tokens.
#[tokio::test(flavor = "multi_thread")]
async fn expired_token_is_refreshed_once_when_twenty_callers_resolve_it() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    endpoint.set(Mode::Hold);
    let first = endpoint.login();
    let brought = bring(&daemon, "lent", ("u", "shared"), &first).await;
    let params = question("lent", ("u", "shared"));
    // `launch.ready` sends no request to the endpoint, and reports what a launch would do.
    let ready = daemon.call("launch.ready", params.clone()).await;
    assert_eq!((&ready["ready"], &ready["providers"][0].get("reason")), (&json!(true), &None), "{ready}");
    let clients: Vec<_> = futures_util::future::join_all((0..20).map(|_| daemon.client())).await;
    let calls = futures_util::future::join_all(
        clients.iter().map(|client| client.call_raw("launch.resolve", &params)),
    );
    let release = async {
        endpoint.asked(1).await;
        endpoint.set(Mode::Grant);
    };
    let (launches, ()) = tokio::join!(calls, release);
    let tokens: BTreeSet<String> =
        launches.into_iter().map(|one| one.unwrap()["set"]["LENT_TOKEN"].to_string()).collect();
    assert_eq!(tokens, [format!("\"planted-access-of-{first}\"")].into());
    assert_eq!(endpoint.seen().sent, std::slice::from_ref(&first));
    assert_eq!(endpoint.seen().media, ["application/x-www-form-urlencoded".to_owned()].into());

    let best = daemon.call("profile.best", params).await;
    assert_eq!((&best["profileId"], &best["status"]), (&brought["id"], &json!("valid")), "{best}");
    assert_eq!((best.get("degradedFrom"), best.get("refreshFirst")), (None, None), "{best}");
    // The token is valid for longer than the minimum, so the endpoint is not contacted again.
    let longer = json!({"userId": "u", "agentId": "shared", "providerId": "lent", "minTtlMs": 60_000});
    daemon.call("profile.best", longer).await;
    assert_eq!(endpoint.seen().sent.len(), 1);
    assert!(!daemon.log().contains("planted-access"), "the log contains a token");
    assert!(!daemon.log().contains("planted-refresh"), "the log contains a token");
}

/// While the endpoint fails, the declared key is used. The user's own token stays unchanged and scheduled for a
/// refresh.
#[tokio::test(flavor = "multi_thread")]
async fn launch_falls_back_to_the_declared_key_when_the_endpoint_fails() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    endpoint.set(Mode::Say(500, "text/plain", "planted-trouble".to_owned(), None));
    let mut events = daemon.client().await.subscribe(["*"]).await.unwrap();
    let first = endpoint.login();
    let brought = bring(&daemon, "lent", ("u", "shared"), &first).await;
    event(&mut events, "userprofiles:changed:u").await;
    let best = daemon.call("profile.best", question("lent", ("u", "shared"))).await;
    assert_eq!(best["profileId"], "declared:shared:lent");
    let from = &best["degradedFrom"];
    assert_eq!((&from["profileId"], &from["source"]), (&brought["id"], &json!("user")), "{best}");
    assert!(from["reason"].as_str().unwrap().contains("refresh failed"), "{best}");
    assert_eq!(launched(&daemon, "lent", ("u", "shared")).await, DECLARED);
    assert_eq!(daemon.call("launch.ready", question("lent", ("u", "shared"))).await["ready"], true);
    // The failure is announced.
    event(&mut events, "userprofiles:changed:u").await;

    bring(&daemon, "lent", ("u", "alone"), &endpoint.login()).await;
    let (code, data) = daemon.refused("profile.best", question("lent", ("u", "alone"))).await;
    assert!([1008, 1014].contains(&code), "{code} {data}");
    assert_eq!(daemon.call("launch.ready", question("lent", ("u", "alone"))).await["ready"], false);
    assert_eq!(endpoint.seen().sent.iter().filter(|sent| **sent == first).count(), 1, "it waits");
    assert!(!daemon.log().contains("planted-trouble"), "the log contains a response");

    let (_, home) = daemon.stop();
    let store = crate::support::store(&home).await;
    let account = brought["accountId"].as_str().unwrap().parse().unwrap();
    let stored = store.tokens(&account, crate::support::now()).await.unwrap();
    assert_eq!((stored.state, stored.failures), (identity_store::RefreshState::Active, 1));
    assert!(stored.next_refresh_at.is_some() && stored.next_refresh_at == stored.next_attempt_at);
    assert_eq!(secrecy::ExposeSecret::expose_secret(&stored.tokens.refresh.unwrap().secret), first);
    store.close().await;
}

/// Responses that no issuer should send. Each is a failure with a specific reason, and no row is lost.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_fails_with_a_specific_reason_when_the_response_is_bad() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    let check = async |user: &str, answer: (u16, &'static str, String), status: &str, reason: &str| {
        endpoint.set(Mode::Say(answer.0, answer.1, answer.2, None));
        let brought = bring(&daemon, "lent", (user, "alone"), &endpoint.login()).await;
        daemon.refused("profile.best", question("lent", (user, "alone"))).await;
        let listed = daemon.call("profile.list", json!({"userId": user})).await;
        let found = &listed["profiles"][0];
        let expect = json!([brought["id"], status, reason]);
        assert_eq!(json!([found["id"], found["status"], found["statusReason"]]), expect, "{user}");
    };
    let json_media = "application/json";
    check("html", (200, "text/html", "<html>".into()), "expired", "malformed_answer").await;
    check("long", (200, json_media, "x".repeat(10_000_000)), "expired", "malformed_answer").await;
    check("empty", (200, json_media, "{}".into()), "expired", "malformed_answer").await;
    check("down", (503, "text/html", "<html>".into()), "expired", "server_error").await;
    check("client", (401, json_media, r#"{"error":"invalid_client"}"#.into()), "expired", "invalid_client")
        .await;
    let error = |text: &str| text.to_owned();
    check(
        "github",
        (200, json_media, error(r#"{"error":"bad_refresh_token"}"#)),
        "needs_reauth",
        "invalid_grant",
    )
    .await;
    let used = r#"{"error":"unauthorized_client","error_description":"token was already used"}"#;
    check("gitea", (400, json_media, error(used)), "needs_reauth", "refresh_token_reused").await;
    check("dead", (400, json_media, error(r#"{"error":"invalid_grant"}"#)), "needs_reauth", "invalid_grant")
        .await;
}

/// A caller that waits for a hung endpoint gets an answer within its budget. Meanwhile, other users' tokens are
/// refreshed.
#[tokio::test(flavor = "multi_thread")]
async fn hung_endpoint_delays_neither_resolution_nor_other_users() {
    let (hung, other) = (Endpoint::start(HOUR).await, Endpoint::start(HOUR).await);
    hung.set(Mode::Hold);
    let home = home(&hung).config("providers.d/other.toml", &entry("other", &other.url, "json"));
    let daemon = home.start();
    for user in 0..20 {
        bring(&daemon, "lent", (&format!("u{user}"), "shared"), &hung.login()).await;
    }
    hung.asked(1).await;
    let client = daemon.client().await;
    let params = question("lent", ("u19", "shared"));
    let waiting = client.call_raw("launch.resolve", &params);
    let others = async {
        let first = other.login();
        bring(&daemon, "other", ("v", "shared"), &first).await;
        assert_eq!(launched(&daemon, "other", ("v", "shared")).await, format!("planted-access-of-{first}"));
    };
    let (degraded, ()) = tokio::join!(waiting, others);
    assert_eq!(degraded.unwrap()["set"]["LENT_TOKEN"], DECLARED);
    assert_eq!(other.seen().media, ["application/json".to_owned()].into());
    // The shutdown of the daemon waits for the refreshes in progress.
    hung.set(Mode::Grant);
}

/// A token that cannot be refreshed is used until it expires, and no endpoint is contacted.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_without_an_endpoint_are_never_refreshed() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    bring(&daemon, "anthropic", ("u", "alone"), "planted-refresh-nowhere").await;
    let params = question("anthropic", ("u", "alone"));
    let (code, data) = daemon.refused("profile.best", params.clone()).await;
    assert_eq!((code, &data["refreshable"]), (1008, &json!(false)), "{data}");
    assert_eq!(daemon.call("launch.ready", params).await["ready"], false);
    let key = json!({"userId": "u", "agentId": "alone", "providerId": "lent", "apiKey": "planted-key-of-u"});
    daemon.call("profile.upsert", key).await;
    assert_eq!(launched(&daemon, "lent", ("u", "alone")).await, "planted-key-of-u");
    assert_eq!(endpoint.seen().sent, Vec::<String>::new());
}

/// An endpoint that returns a different user's tokens changes nothing, and is not contacted again.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_changes_nothing_when_the_response_is_for_a_different_user() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    endpoint.set(Mode::Person("eve"));
    let first = endpoint.login();
    let tokens = json!({
        "accessToken": "planted-access-first", "refreshToken": first, "idToken": id_token("ada"),
        "subject": "ada", "expiresAt": 1000,
    });
    let mut params = question("lent", ("u", "alone"));
    params["tokens"] = tokens;
    let brought = daemon.call("profile.upsert", params).await;
    let (code, data) = daemon.refused("profile.best", question("lent", ("u", "alone"))).await;
    assert_eq!(code, 1007, "{data}");
    let listed = daemon.call("profile.list", json!({"userId": "u"})).await;
    assert_eq!(listed["profiles"][0]["statusReason"], "identity_mismatch");
    assert_eq!(endpoint.seen().sent, std::slice::from_ref(&first));
    let (_, home) = daemon.stop();
    let store = crate::support::store(&home).await;
    let account = brought["accountId"].as_str().unwrap().parse().unwrap();
    let stored = store.tokens(&account, crate::support::now()).await.unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&stored.tokens.refresh.unwrap().secret), first);
    assert_eq!(stored.generation, 1);
    store.close().await;
}

/// If a login completes while a caller waits for a refresh, the caller receives the tokens of the login, whatever the
/// endpoint says about the old token.
#[tokio::test(flavor = "multi_thread")]
async fn login_takes_precedence_over_a_refresh_in_progress() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    endpoint.set(Mode::Hold);
    bring(&daemon, "lent", ("u", "alone"), &endpoint.login()).await;
    let client = daemon.client().await;
    let params = question("lent", ("u", "alone"));
    let waiting = client.call_raw("launch.resolve", &params);
    let login = async {
        endpoint.asked(1).await;
        let ends = crate::support::now() + HOUR * 1000;
        let tokens =
            json!({"accessToken": "planted-access-new", "refreshToken": endpoint.login(), "expiresAt": ends});
        let mut params = params.clone();
        params["tokens"] = tokens;
        daemon.call("profile.upsert", params).await;
        let dead = r#"{"error":"invalid_grant"}"#.to_owned();
        endpoint.set(Mode::Say(400, "application/json", dead, None));
    };
    let (launch, ()) = tokio::join!(waiting, login);
    assert_eq!(launch.unwrap()["set"]["LENT_TOKEN"], "planted-access-new");
    let listed = daemon.call("profile.list", json!({"userId": "u"})).await;
    let found = &listed["profiles"][0];
    assert_eq!((&found["status"], found.get("statusReason")), (&json!("valid"), None), "{found}");
    assert_eq!(endpoint.seen().sent.len(), 1);
}
