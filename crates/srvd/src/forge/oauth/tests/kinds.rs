//! Sign-ins tested with each kind of forge.

use crate::forge::oauth::callback::Page;
use crate::forge::oauth::failure::{Failure, Misconfigured, PermanentFailure};
use crate::forge::oauth::flows::StartError;
use crate::forge::oauth::identity::Identity;
use crate::forge::oauth::table::{Ending, StateInvalid, Status};

use super::browser::{Browser, End};
use super::standin::Standin;
use super::{NOW, Operator, PATIENCE, operator};

fn failed(code: &'static str, text: &str) -> Status {
    Status::Ended(Ending::Failed { code, text: text.to_owned() })
}

/// Returns the query with which a browser returns from a sign-in in progress.
async fn query(auth_url: &url::Url) -> String {
    match Browser::of("ada").visit(auth_url.as_str()).await {
        End::Callback(url) => url.query().unwrap().to_owned(),
        End::Page(page) => panic!("no callback but {page}"),
    }
}

/// The requested scopes that this forge does not grant. Only GitLab's stand-in lists others than those requested.
fn not_granted(kind: &str) -> Vec<String> {
    if kind == "gitlab" { vec!["openid".to_owned()] } else { Vec::new() }
}

#[tokio::test]
async fn browser_sign_in_returns_identity_and_refreshable_tokens() {
    let check = async |kind: &str,
                       lifetime: i64,
                       scopes: Option<&str>,
                       token: &str,
                       reused: PermanentFailure| {
        let forge = Standin::start(kind).await;
        let Operator { flows, forge: client, mut obtained } = operator(kind, &forge.url, true);
        let start = crate::forge::oauth::flows::Start {
            owner: "operator".into(),
            forge: client.clone(),
            session: None,
        };
        let started = flows.start_code(&start).unwrap();
        let query = query(&started.auth_url).await;
        let signed_in = Page::SignedIn { missing: not_granted(kind) };
        assert_eq!(flows.callback(&query, None).await, signed_in, "{kind}");
        let got = obtained.recv().await.unwrap();
        let person =
            Identity { account_id: "12".into(), login: "ada".into(), email: Some("ada@example.org".into()) };
        assert_eq!((&got.session_id, &got.identity), (&started.session_id, &Ok(person)), "{kind}");
        assert_eq!((got.granted.expires_in, got.granted.received_at), (Some(lifetime), NOW), "{kind}");
        assert_eq!(got.granted.scopes.as_deref(), scopes, "{kind}");
        assert!(forge.requests().contains(&format!("POST {token}")), "{:?}", forge.requests());
        let first = got.granted.refresh.unwrap();
        let renewed = client.issuer.refresh(&first).await.unwrap();
        assert_eq!(client.issuer.refresh(&first).await.err(), Some(Failure::Permanent(reused)), "{kind}");
        assert_eq!(client.identify(&renewed.access).await.unwrap().login, "ada", "{kind}");
        // The refresh has invalidated the first access token.
        assert_eq!(
            client.identify(&got.granted.access).await,
            Err(Failure::Permanent(PermanentFailure::InvalidGrant)),
            "{kind}"
        );
    };
    let github = "/login/oauth/access_token";
    check("github", 28800, Some(""), github, PermanentFailure::InvalidGrant).await;
    check("gitlab", 7200, Some("api read_user"), "/oauth/token", PermanentFailure::InvalidGrant).await;
    check("forgejo", 3600, None, github, PermanentFailure::Reused).await;
    check("gitea", 3600, None, github, PermanentFailure::Reused).await;
}

/// Some forges have a device flow; the others suggest the browser instead.
#[tokio::test]
async fn device_sign_in_works_only_when_the_forge_supports_it() {
    for kind in ["github", "gitlab"] {
        let forge = Standin::start(kind).await;
        let mut operator = operator(kind, &forge.url, true);
        let started = operator.flows.start_device(operator.start()).await.unwrap();
        assert_eq!(started.user_code, "AB-CD");
        assert_eq!(started.verification_url, format!("https://{kind}.example/device"));
        let success = Status::Ended(Ending::Success {
            account: "a1".into(),
            login: Some("ada".into()),
            missing: not_granted(kind),
        });
        assert_eq!(operator.flows.ended(&started.session_id, PATIENCE).await, Some(success));
        assert_eq!(operator.obtained.recv().await.unwrap().session_id, started.session_id);
        forge.deny();
        let started = operator.flows.start_device(operator.start()).await.unwrap();
        let ended = operator.flows.ended(&started.session_id, PATIENCE).await;
        assert_eq!(ended, Some(failed("denied", "the user denied the request")));
        assert!(operator.obtained.try_recv().is_err());
    }
    for kind in ["forgejo", "gitea"] {
        let forge = Standin::start(kind).await;
        let operator = operator(kind, &forge.url, true);
        let refused = operator.flows.start_device(operator.start()).await.map(|started| started.user_code);
        let Err(StartError::Forge(failure)) = refused else { panic!("{kind}: {refused:?}") };
        assert_eq!(failure, Failure::Misconfigured(Misconfigured::NoDeviceFlow));
        assert_eq!(
            failure.to_string(),
            "this forge does not support the device flow; sign in with the browser instead"
        );
        assert_eq!(forge.requests(), [""; 0]);
    }
}

/// A denied, cancelled or superseded sign-in stores nothing.
#[tokio::test]
async fn sign_in_stores_nothing_when_denied_cancelled_or_superseded() {
    let forge = Standin::start("github").await;
    let mut operator = operator("github", &forge.url, true);
    let flows = operator.flows.clone();
    let first = flows.start_code(&operator.start()).unwrap();
    let late = query(&first.auth_url).await;
    let second = flows.start_code(&operator.start()).unwrap();
    assert_eq!(flows.status(&first.session_id), Some(Status::Ended(Ending::Superseded)));
    assert_eq!(flows.callback(&late, None).await, Page::NotAwaited(StateInvalid::Unknown));

    let own = query(&second.auth_url).await;
    let foreign = format!("{own}&iss=https%3A%2F%2Fevil.example");
    assert_eq!(flows.callback(&foreign, None).await, Page::Malformed);
    assert_eq!(flows.callback("code=c&state=short", None).await, Page::Malformed);
    assert!(flows.cancel(&second.session_id));
    assert_eq!(flows.callback(&own, None).await, Page::NotAwaited(StateInvalid::Unknown));
    assert!(!flows.cancel(&second.session_id));

    forge.deny();
    let third = flows.start_code(&operator.start()).unwrap();
    let denied = query(&third.auth_url).await;
    assert_eq!(flows.callback(&denied, None).await, Page::Denied);
    assert_eq!(flows.status(&third.session_id), Some(failed("denied", "the user denied the request")));
    assert!(operator.obtained.try_recv().is_err());
    assert!(!forge.requests().contains(&"POST /login/oauth/access_token".to_owned()));
}

#[tokio::test]
async fn sign_in_fails_when_tokens_cannot_be_stored() {
    let forge = Standin::start("gitlab").await;
    let operator = operator("gitlab", &forge.url, false);
    let started = operator.flows.start_code(&operator.start()).unwrap();
    let query = query(&started.auth_url).await;
    assert_eq!(operator.flows.callback(&query, None).await, Page::Failed);
    assert_eq!(operator.flows.status(&started.session_id), Some(failed("storage", "the disk is full")));
}

/// The polling belongs to one login and ends with it.
#[tokio::test]
async fn device_sign_in_ends_when_cancelled_or_superseded_or_at_shutdown() {
    let forge = Standin::start("gitlab").await;
    forge.wait();
    let mut operator = operator("gitlab", &forge.url, true);
    let flows = operator.flows.clone();
    let cancelled = Some(Status::Ended(Ending::Cancelled));
    let first = flows.start_device(operator.start()).await.unwrap();
    assert!(flows.cancel(&first.session_id));
    assert_eq!(flows.ended(&first.session_id, PATIENCE).await, cancelled);
    let second = flows.start_device(operator.start()).await.unwrap();
    let third = flows.start_device(operator.start()).await.unwrap();
    assert_eq!(flows.status(&second.session_id), Some(Status::Ended(Ending::Superseded)));
    assert_eq!(flows.status(&third.session_id), Some(Status::Waiting));
    // The shutdown waits for every task.
    tokio::time::timeout(PATIENCE, flows.shutdown()).await.unwrap();
    assert_eq!(flows.status(&third.session_id), cancelled);
    assert!(operator.obtained.try_recv().is_err());
}
