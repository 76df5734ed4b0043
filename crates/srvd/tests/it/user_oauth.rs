//! Logins of users at a provider's own OAuth endpoints, without a CLI, with the certified provider.

use serde_json::{Value, json};
use url::Url;

use crate::forge::browser::{Browser, End};
use crate::forge::issuer::Issuer;
use crate::refresh::entry;
use crate::support::{Daemon, Home, event};

/// Returns a home whose daemon knows the provider `lent`, with endpoints for both kinds of login.
fn home(issuer: &Issuer) -> Home {
    let token_url = format!("{}/login/oauth/access_token", issuer.url);
    let text = entry("lent", &token_url, "form").replace("client-id = \"srvd\"", "client-id = \"public\"");
    let login = format!(
        "authorization-url = \"{0}/login/oauth/authorize\"\ndevice-authorization-url = \"{0}/login/device/code\"\nscopes = [\"openid\"]\n",
        issuer.url
    );
    Home::new().config("providers.d/lent.toml", &(text + &login))
}

async fn start(daemon: &Daemon, user: &str, recipe: &str) -> Value {
    let params = json!({"providerId": "lent", "userId": user, "agentId": "alone", "recipe": recipe});
    daemon.call("auth.start", params).await
}

fn id(started: &Value) -> &str {
    started["sessionId"].as_str().unwrap()
}

/// Approves a login in the browser, and returns the address to which the browser is sent.
async fn approved(started: &Value) -> Url {
    let page = started["authUrl"].as_str().unwrap();
    let End::Callback(callback) = Browser::of("ada").visit(page).await else { panic!("no callback") };
    callback
}

/// Opens an address of the daemon as the browser does, and returns the page.
async fn open(address: &Url) -> String {
    Browser::of("ada").ask(address, None).await.1
}

async fn launched(daemon: &Daemon, user: &str) -> Value {
    let params = json!({"providerId": "lent", "userId": user, "agentId": "alone"});
    assert_eq!(daemon.call("launch.ready", params.clone()).await["ready"], true);
    daemon.call("launch.resolve", params).await["set"]["LENT_TOKEN"].clone()
}

async fn browser_and_device(daemon: &Daemon, user: &str) {
    let mut events = daemon.client().await.subscribe(["userprofiles:changed:*"]).await.unwrap();
    let started = start(daemon, user, "").await;
    let page: Url = started["authUrl"].as_str().unwrap().parse().unwrap();
    let query =
        |name: &str| page.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(query("code_challenge_method").as_deref(), Some("S256"));
    let shown = daemon.call("auth.poll", json!({"sessionId": id(&started)})).await;
    let facts = ["status", "authUrl", "openable", "userId", "agentId"].map(|field| shown[field].clone());
    let expect =
        [json!("url-available"), started["authUrl"].clone(), json!(true), json!(user), json!("alone")];
    assert_eq!(facts, expect, "{shown}");
    let (code, data) =
        daemon.refused("auth.start", json!({"providerId": "lent", "userId": user, "agentId": "alone"})).await;
    assert_eq!((code, &data["sessionId"]), (1002, &started["sessionId"]));

    // An answer to another login does not use this one up.
    let callback = approved(&started).await;
    let state = query("state").unwrap();
    let other = callback.as_str().replace(&state, &format!("{}x", &state[..state.len() - 1]));
    assert!(open(&other.parse().unwrap()).await.contains("No sign-in in progress"));
    assert!(open(&callback).await.contains("You are signed in"));
    let done = daemon.ended(id(&started)).await;
    assert_eq!(done["status"], "success", "{done}");
    assert!(done.get("bundleId").is_none() && done.get("authUrl").is_none(), "{done}");
    event(&mut events, &format!("userprofiles:changed:{user}")).await;
    assert!(open(&callback).await.contains("No sign-in in progress"), "an answer works once");
    let listed = daemon.call("profile.list", json!({"userId": user})).await;
    let profile = &listed["profiles"][0];
    assert_eq!((&profile["id"], &profile["kind"]), (&done["profileId"], &json!("oauth")), "{listed}");
    let first = launched(daemon, user).await;
    assert!(first.as_str().is_some_and(|token| !token.is_empty()), "{first}");

    // The same person logs in again with a code. The profile stays, its tokens are new.
    let started = start(daemon, user, "oauth-device").await;
    let shown = daemon.session(id(&started), |session| session["status"] == "code-emitted").await;
    let text = |name: &str| shown[name].as_str().unwrap();
    let page = format!("{}?user_code={}", text("verificationUrl"), text("deviceCode"));
    let End::Page(page) = Browser::of("ada").visit(&page).await else { panic!("no redirect is expected") };
    assert!(page.contains("Sign-in Success"), "{page}");
    let again = daemon.ended(id(&started)).await;
    assert_eq!((&again["status"], &again["profileId"]), (&json!("success"), &done["profileId"]), "{again}");
    assert_ne!(launched(daemon, user).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_logs_in_at_a_provider_without_a_cli() {
    let issuer = Issuer::start("github", 3600).await;
    let daemon = home(&issuer).start();
    browser_and_device(&daemon, "u1").await;
    let token = launched(&daemon, "u1").await;
    assert!(!daemon.log().contains(token.as_str().unwrap()), "the log holds a token");
    // The tokens survive a restart, and end with the user.
    let daemon = daemon.stop().1.start();
    assert_eq!(launched(&daemon, "u1").await, token);
    let gone = daemon.call("user.delete", json!({"userId": "u1"})).await;
    assert_eq!(gone["profilesDeleted"], 1);
    let params = json!({"providerId": "lent", "userId": "u1", "agentId": "alone"});
    assert_eq!(daemon.refused("launch.resolve", params).await.0, 1006);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_logs_in_at_a_provider_when_the_database_is_postgresql() {
    let server = crate::support::postgres().await;
    let issuer = Issuer::start("github", 3600).await;
    let daemon = home(&issuer).start_with(|command| command.env("SRVD_DATABASE_URL", &server.url));
    browser_and_device(&daemon, &format!("u{}", uuid::Uuid::new_v4().simple())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_at_a_provider_ends_with_its_reason() {
    let issuer = Issuer::start("github", 3600).await;
    let daemon = home(&issuer).start();
    let (code, data) = daemon.refused("auth.start", json!({"providerId": "lent"})).await;
    assert_eq!((code, &data["field"]), (1005, &json!("userId")), "{data}");
    let listed = daemon.call("provider.list", json!({"providerId": "lent"})).await;
    let logins = listed["providers"][0]["logins"].clone();
    let kinds: Vec<_> =
        logins.as_array().unwrap().iter().map(|login| (&login["id"], &login["kind"])).collect();
    let expect = [("oauth-browser", "browser"), ("oauth-device", "device_code")];
    assert_eq!(
        kinds,
        expect.map(|(id, kind)| (json!(id), json!(kind))).iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
    );

    // The user refuses.
    let denied = start(&daemon, "u1", "").await;
    let page: Url = denied["authUrl"].as_str().unwrap().parse().unwrap();
    let value = |name: &str| page.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let mut back: Url = value("redirect_uri").parse().unwrap();
    back.query_pairs_mut().append_pair("error", "access_denied").append_pair("state", &value("state"));
    assert!(open(&back).await.contains("The sign-in was denied"));
    assert_eq!(daemon.ended(id(&denied)).await["errorKind"], "denied");

    // The answer is pasted, at first into another login.
    let (one, two) = (start(&daemon, "u1", "").await, start(&daemon, "u2", "").await);
    let callback = approved(&one).await;
    let paste = async |started: &Value, text: &str| {
        daemon.call("auth.submitcallback", json!({"sessionId": id(started), "callbackUrl": text})).await
    };
    for (started, text) in [(&two, callback.as_str()), (&one, "planted-code")] {
        assert_eq!(paste(started, text).await["errorKind"], "invalid_input", "{text}");
    }
    assert_eq!(paste(&one, callback.as_str()).await, json!({"success": true}));
    assert_eq!(daemon.ended(id(&one)).await["status"], "success");

    // Cancelled, ended with the user, and cut off by a restart.
    let cancel = json!({"providerId": "lent", "userId": "u2", "agentId": "alone"});
    assert_eq!(daemon.call("auth.cancel", cancel).await, json!({"success": true}));
    assert_eq!(daemon.ended(id(&two)).await["errorKind"], "cancelled");
    let device = start(&daemon, "u3", "oauth-device").await;
    daemon.call("user.delete", json!({"userId": "u3"})).await;
    let ended = daemon.ended(id(&device)).await;
    assert_eq!(
        (&ended["errorKind"], &ended["error"]),
        (&json!("cancelled"), &json!("its profile was deleted"))
    );
    let cut = start(&daemon, "u4", "").await;
    let daemon = daemon.kill().start();
    let ended = daemon.call("auth.poll", json!({"sessionId": id(&cut)})).await;
    assert_eq!(ended["errorKind"], "daemon_restarted", "{ended}");
    assert!(!daemon.log().contains("planted"), "the log holds a code");
}

/// The tokens of a login are refreshed as those that `profile.upsert` brings.
#[tokio::test(flavor = "multi_thread")]
async fn login_at_a_provider_is_refreshed() {
    let issuer = Issuer::start("github", 2).await;
    let daemon = home(&issuer).start();
    let started = start(&daemon, "u1", "").await;
    open(&approved(&started).await).await;
    assert_eq!(daemon.ended(id(&started)).await["status"], "success");
    issuer.refreshes(2).await;
    let refused = |note: &crate::forge::issuer::Note| note.error.is_some();
    assert!(!issuer.until(|_| true).await.iter().any(refused));
    launched(&daemon, "u1").await;
}
