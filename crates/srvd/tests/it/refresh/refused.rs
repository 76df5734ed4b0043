//! Tests of a provider's service that rejects a token before its expiry.

use serde_json::{Value, json};

use super::endpoint::{Endpoint, Mode};
use super::{HOUR, home, launched, question};
use crate::support::{Daemon, event};

const WHOSE: (&str, &str) = ("u", "alone");

/// Stores tokens that are valid for an hour, and returns the account.
async fn good(daemon: &Daemon, refresh: &str) -> Value {
    let ends = crate::support::now() + HOUR * 1000;
    let tokens = json!({"accessToken": "planted-access-first", "refreshToken": refresh, "expiresAt": ends});
    let mut params = question("lent", WHOSE);
    params["tokens"] = tokens;
    daemon.call("profile.upsert", params).await["accountId"].clone()
}

/// Returns the generation reported by a launch.
async fn generation(daemon: &Daemon) -> Value {
    let launch = daemon.call("launch.resolve", question("lent", WHOSE)).await;
    launch["accounts"][0]["generation"].clone()
}

/// After a 401, the token is refreshed once, whatever its expiry. After a 403, it is never refreshed.
#[tokio::test(flavor = "multi_thread")]
async fn token_is_refreshed_once_after_a_401_and_never_after_a_403() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    let first = endpoint.login();
    let account = good(&daemon, &first).await;
    let report = |generation: u64, status: u16, retried: bool| json!({"accountId": account, "generation": generation, "status": status, "retried": retried});
    let next = async |params: Value| daemon.call("account.refused", params).await["next"].clone();
    assert_eq!(generation(&daemon).await, 1);
    assert_eq!(next(report(1, 403, false)).await, "missing_scope");
    assert_eq!(next(report(1, 500, false)).await, "nothing");
    assert_eq!(endpoint.seen().sent, [""; 0]);

    // Ten calls were rejected at once.
    endpoint.set(Mode::Hold);
    let clients: Vec<_> = futures_util::future::join_all((0..10).map(|_| daemon.client())).await;
    let params = report(1, 401, false);
    let reports = futures_util::future::join_all(
        clients.iter().map(|client| client.call_raw("account.refused", &params)),
    );
    let release = async {
        endpoint.asked(1).await;
        endpoint.set(Mode::Grant);
    };
    let (reports, ()) = tokio::join!(reports, release);
    for one in reports {
        assert_eq!(one.unwrap(), json!({"next": "retry"}));
    }
    assert_eq!(endpoint.seen().sent, std::slice::from_ref(&first));
    assert_eq!(launched(&daemon, "lent", WHOSE).await, format!("planted-access-of-{first}"));
    assert_eq!(generation(&daemon).await, 2);
    // A late report finds a newer token.
    assert_eq!(next(report(1, 401, true)).await, "retry");

    let mut events = daemon.client().await.subscribe(["userprofiles:changed:u"]).await.unwrap();
    assert_eq!(next(report(2, 401, true)).await, "sign_in");
    event(&mut events, "userprofiles:changed:u").await;
    let (code, data) = daemon.refused("profile.best", question("lent", WHOSE)).await;
    assert_eq!((code, &data["accountId"]), (1007, &account), "{data}");
    assert_eq!(next(report(2, 401, false)).await, "sign_in");
    assert_eq!(endpoint.seen().sent.len(), 1);
}

/// A token that cannot be refreshed immediately requires a sign-in. A temporary failure changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_token_that_cannot_be_refreshed_requires_a_sign_in() {
    let endpoint = Endpoint::start(HOUR).await;
    let daemon = home(&endpoint).start();
    endpoint.set(Mode::Say(503, "text/plain", String::new(), None));
    let account = good(&daemon, &endpoint.login()).await;
    let report = |account: &Value| json!({"accountId": account, "generation": 1, "status": 401});
    let (code, data) = daemon.refused("account.refused", report(&account)).await;
    assert_eq!((code, data["retryAt"].is_i64()), (1014, true), "{data}");
    assert_eq!(launched(&daemon, "lent", WHOSE).await, "planted-access-first");

    let tokens = json!({"accessToken": "planted-access-alone"});
    let mut params = question("lent", ("v", "alone"));
    params["tokens"] = tokens;
    let alone = daemon.call("profile.upsert", params).await["accountId"].clone();
    assert_eq!(daemon.call("account.refused", report(&alone)).await, json!({"next": "sign_in"}));

    let key = json!({"userId": "w", "agentId": "a", "providerId": "lent", "apiKey": "planted-key-of-w"});
    let key = daemon.call("profile.upsert", key).await["accountId"].clone();
    assert_eq!(daemon.refused("account.refused", report(&key)).await.0, 1005);
    assert_eq!(daemon.refused("account.refused", report(&json!("nobody"))).await.0, 1001);
}
