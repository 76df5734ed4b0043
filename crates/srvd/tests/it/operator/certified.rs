//! The daemon and the certified provider: complete logins, and refreshes with rotation, whose reuse would be detected.

use oauth2::PkceCodeChallenge;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{CHANGED, approved, browse, sign_in, start};
use crate::forge::browser::{Browser, End};
use crate::forge::issuer::{Issuer, Note};
use crate::forge::standin::CLIENT_SECRET;
use crate::refresh::{entry, question};
use crate::support::{Daemon, Home, event, store};

/// The life of an access token in seconds. A token is refreshed after three quarters of its life.
const LIFE: u32 = 2;

fn daemon(kind: &str, issuer: &Issuer) -> Daemon {
    let forge = format!(
        "[forges.own]\ntype = \"{kind}\"\nbase_url = \"{}\"\nclient_id = \"srvd\"\nclient_secret_env = \"PLANTED\"\n\
         scopes = [\"openid\"]\n",
        issuer.url
    );
    start(Home::new().config("srvd.toml", &forge))
}

/// Asserts that each refresh token was sent once, in the order of issue, and that none was refused.
fn assert_rotated(first: &str, refreshes: &[Note]) {
    let mut expected = Some(first.to_owned());
    for note in refreshes {
        assert_eq!((&note.sent, &note.error), (&expected, &None), "{refreshes:?}");
        assert_ne!(note.given, note.sent, "{refreshes:?}");
        expected.clone_from(&note.given);
    }
}

/// Returns the refresh token from the first grant of this kind.
async fn login(issuer: &Issuer, grant: &str) -> String {
    let given = |note: &Note| note.grant.as_deref() == Some(grant) && note.given.is_some();
    let notes = issuer.until(|notes| notes.iter().any(given)).await;
    notes.into_iter().find(given).unwrap().given.unwrap()
}

/// Waits for some rounds of the refresher. Asserts that the row then holds the tokens that the provider issued last.
async fn rounds(daemon: Daemon, issuer: &Issuer, (grant, account): (&str, &Value)) {
    let mut events = daemon.client().await.subscribe([CHANGED]).await.unwrap();
    let first = login(issuer, grant).await;
    issuer.refreshes(4).await;
    event(&mut events, CHANGED).await;
    let (status, home) = daemon.stop();
    assert!(status.success());
    let refreshes = issuer.refreshes(4).await;
    assert_rotated(&first, &refreshes);
    let store = store(&home).await;
    let account = account.as_str().unwrap().parse().unwrap();
    let stored = store.tokens(&account, crate::support::now()).await.unwrap();
    let held = stored.tokens.refresh.unwrap().secret.expose_secret().to_owned();
    assert_eq!(refreshes.last().unwrap().given.as_ref(), Some(&held));
    assert_eq!(stored.generation, 1 + refreshes.len() as u64);
    store.close().await;
    assert!(issuer.until(|_| true).await.iter().all(|note| !note.revoked), "a reuse was found out");
}

/// A login in the browser, refreshed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn browser_login_is_refreshed_again_and_again() {
    let issuer = Issuer::start("github", LIFE).await;
    let daemon = daemon("github", &issuer);
    let (session, _) = sign_in(&daemon, json!({"forgeType": "github"}), None).await;
    rounds(daemon, &issuer, ("authorization_code", &session["accountId"])).await;
}

/// Tokens of a device grant are refreshed too.
#[tokio::test(flavor = "multi_thread")]
async fn device_login_is_refreshed_again_and_again() {
    let issuer = Issuer::start("github", LIFE).await;
    let daemon = daemon("github", &issuer);
    let started = daemon.call("operator.start", json!({"forgeType": "github", "flow": "device"})).await;
    let text = |name: &str| started[name].as_str().unwrap();
    let page = format!("{}?user_code={}", text("verificationUrl"), text("deviceCode"));
    let End::Page(page) = Browser::of("ada").visit(&page).await else { panic!("no redirect is expected") };
    assert!(page.contains("Sign-in Success"), "{page}");
    let session = json!({"sessionId": started["sessionId"], "waitMs": 30_000});
    let session = daemon.call("operator.poll", session).await;
    assert_eq!(session["status"], "success", "{session}");
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    rounds(daemon, &issuer, (grant, &session["accountId"])).await;
}

/// Sends a request to the token endpoint, and returns the answer.
async fn exchange(token_url: &str, form: &[(&str, &str)]) -> Value {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let (_, answer) = Browser::of("ada").ask(&token_url.parse().unwrap(), Some(form)).await;
    serde_json::from_str(&answer).unwrap()
}

/// Signs in with the client that has no secret, and returns the provider's grant.
async fn granted_to_public_client(issuer: &Issuer, token_url: &str) -> Value {
    let redirect = "http://127.0.0.1:7000/oauth/callback";
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let query = [
        ("response_type", "code"),
        ("client_id", "public"),
        ("redirect_uri", redirect),
        ("scope", "openid"),
        ("state", "a-state"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let page = url::Url::parse_with_params(&format!("{}/login/oauth/authorize", issuer.url), query).unwrap();
    let End::Callback(callback) = Browser::of("ada").visit(page.as_str()).await else { panic!("no code") };
    let code = callback.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect),
        ("code_verifier", verifier.secret().as_str()),
        ("client_id", "public"),
    ];
    exchange(token_url, &form).await
}

/// The provider receives the old refresh token once, whatever the number of callers.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_resolvers_send_one_refresh_token() {
    let issuer = Issuer::start("github", 3600).await;
    let token_url = format!("{}/login/oauth/access_token", issuer.url);
    let lent = entry("lent", &token_url, "form").replace("client-id = \"srvd\"", "client-id = \"public\"");
    let daemon = Home::new().config("providers.d/lent.toml", &lent).start();
    let granted = granted_to_public_client(&issuer, &token_url).await;
    let (access, first) = (&granted["access_token"], granted["refresh_token"].as_str().unwrap());

    let tokens = json!({"accessToken": access, "refreshToken": first, "expiresAt": 1000});
    let whose = ("u", "alone");
    let mut params = question("lent", whose);
    let clients: Vec<_> = futures_util::future::join_all((0..20).map(|_| daemon.client())).await;
    params["tokens"] = tokens;
    daemon.call("profile.upsert", params).await;
    let params = question("lent", whose);
    let launches = futures_util::future::join_all(
        clients.iter().map(|client| client.call_raw("launch.resolve", &params)),
    )
    .await;
    let given: std::collections::BTreeSet<String> =
        launches.into_iter().map(|one| one.unwrap()["set"]["LENT_TOKEN"].to_string()).collect();
    assert_eq!(given.len(), 1, "all have the same token");
    assert!(!given.contains(&access.to_string()));
    let refreshes = issuer.refreshes(1).await;
    assert_rotated(first, &refreshes);
    assert_eq!(refreshes.len(), 1);
}

/// R17: the grant that a new sign-in replaced is revoked, and the new one is not.
#[tokio::test(flavor = "multi_thread")]
async fn old_grant_is_revoked_when_a_new_sign_in_replaces_it() {
    let issuer = Issuer::start("gitlab", 3600).await;
    let daemon = daemon("gitlab", &issuer);
    let begin = json!({"forgeType": "gitlab"});
    sign_in(&daemon, begin.clone(), None).await;
    let started = daemon.call("operator.start", begin).await;
    let callback = approved(started["authUrl"].as_str().unwrap()).await;
    assert_eq!(browse(&daemon, &callback, None).0, 200);
    let revoked = |notes: &[Note]| notes.iter().any(|note| note.revoked);
    let notes = issuer.until(revoked).await;
    assert_eq!(notes.last().unwrap().by.as_deref(), Some("revocation"));
    let given: Vec<String> = notes.into_iter().filter_map(|note| note.given).collect();
    let [old, new] = given.as_slice() else { panic!("{given:?}") };
    let token_url = format!("{}/oauth/token", issuer.url);
    let refresh = async |token: &str| {
        let client = [("client_id", "srvd"), ("client_secret", CLIENT_SECRET)];
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), client[0], client[1]];
        exchange(&token_url, &form).await
    };
    assert_eq!(refresh(old).await["error"], "invalid_grant");
    assert!(refresh(new).await["access_token"].is_string());
    assert!(!daemon.log().contains(old), "the log holds a token");
}
