//! Complete sign-ins at the certified provider installed by `scripts/issuer.sh`.

use secrecy::ExposeSecret as _;

use super::browser::{Browser, End};
use super::issuer::Issuer;
use super::{NOW, operator};
use crate::forge::oauth::callback::Page;
use crate::forge::oauth::identity::Identity;
use crate::forge::oauth::table::{Ending, StateInvalid, Status};
use crate::forge::oauth::{Failure, PermanentFailure};

#[tokio::test]
async fn browser_sign_in_refreshes_and_is_revoked_when_a_refresh_token_is_reused() {
    let issuer = Issuer::start("github", 28_800).await;
    let mut operator = operator("github", &issuer.url, true);
    let started = operator.flows.start_code(&operator.start()).unwrap();
    let End::Callback(callback) = Browser::of("ada").visit(started.auth_url.as_str()).await else {
        panic!("the browser was not redirected back");
    };
    assert_eq!(&callback[..url::Position::AfterPath], "http://127.0.0.1:7000/oauth/callback");
    let query = callback.query().unwrap();
    assert_eq!(operator.flows.status(&started.session_id), Some(Status::Waiting));
    assert_eq!(operator.flows.callback(query, None).await, Page::SignedIn { missing: Vec::new() });
    let success = Status::Ended(Ending::Success {
        account: "a1".into(),
        login: Some("ada".into()),
        missing: Vec::new(),
    });
    assert_eq!(operator.flows.status(&started.session_id), Some(success));
    assert_eq!(operator.flows.callback(query, None).await, Page::NotAwaited(StateInvalid::Unknown));

    let obtained = operator.obtained.recv().await.unwrap();
    let identity = Identity { account_id: "4711".into(), login: "ada".into(), email: None };
    assert_eq!(obtained.identity, Ok(identity));
    let granted = obtained.granted;
    assert_eq!((granted.expires_in, granted.received_at), (Some(28_800), NOW));
    assert_eq!(granted.scopes.as_deref(), Some("openid"));
    assert!(granted.id_token.is_some());

    let first = granted.refresh.unwrap();
    let issuer = &operator.forge.issuer;
    let renewed = issuer.refresh(&first).await.unwrap();
    let second = renewed.refresh.unwrap();
    assert_ne!(second.expose_secret(), first.expose_secret());
    assert_eq!(operator.forge.identify(&renewed.access).await.unwrap().login, "ada");
    // The provider detects the reuse and revokes the whole token family.
    assert_eq!(issuer.refresh(&first).await.err(), Some(Failure::Permanent(PermanentFailure::InvalidGrant)));
    assert_eq!(issuer.refresh(&second).await.err(), Some(Failure::Permanent(PermanentFailure::InvalidGrant)));
    assert_eq!(
        operator.forge.identify(&renewed.access).await,
        Err(Failure::Permanent(PermanentFailure::InvalidGrant))
    );
}

#[tokio::test]
async fn device_sign_in_grants_tokens_once() {
    let issuer = Issuer::start("github", 28_800).await;
    let operator = operator("github", &issuer.url, true);
    let forge = &operator.forge;
    let device = forge.issuer.device().await.unwrap();
    let page = format!("{}?user_code={}", device.verification_url(), device.user_code());
    // The first poll is answered with "pending". The user decides during the pause after it.
    let approve = async |_| {
        let End::Page(page) = Browser::of("ada").visit(&page).await else {
            panic!("no redirect is expected")
        };
        assert!(page.contains("Sign-in Success"), "{page}");
    };
    let granted = forge.issuer.approved(&device, approve).await.unwrap();
    assert_eq!(forge.identify(&granted.access).await.unwrap().login, "ada");
    let renewed = forge.issuer.refresh(&granted.refresh.unwrap()).await.unwrap();
    assert!(renewed.refresh.is_some());
    // The device code has already been used.
    let again = forge.issuer.approved(&device, async |_| {}).await;
    assert_eq!(again.err(), Some(Failure::Permanent(PermanentFailure::InvalidGrant)));
}

#[tokio::test]
async fn code_is_bound_to_its_verifier_and_redirect_url() {
    let issuer = Issuer::start("github", 28_800).await;
    let operator = operator("github", &issuer.url, true);
    let forge = &operator.forge;
    let redirect = url::Url::parse("http://127.0.0.1:7000/oauth/callback").unwrap();
    let other = url::Url::parse("http://127.0.0.1:7001/oauth/callback").unwrap();
    let mut browser = Browser::of("ada");
    let mut code = async || {
        let begun = forge.issuer.begin(&redirect);
        let End::Callback(callback) = browser.visit(begun.url.as_str()).await else { panic!("no code") };
        let code = callback.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        (secrecy::SecretString::from(code), begun.verifier)
    };
    let dead = Some(Failure::Permanent(PermanentFailure::InvalidGrant));
    let (first, _) = code().await;
    let (second, own) = code().await;
    assert_eq!(forge.issuer.redeem(&first, &own, &redirect).await.err(), dead, "another login's verifier");
    assert_eq!(forge.issuer.redeem(&second, &own, &other).await.err(), dead, "another redirect URL");
    let (third, own) = code().await;
    assert!(forge.issuer.redeem(&third, &own, &redirect).await.is_ok());
    assert_eq!(
        forge.issuer.redeem(&third, &own, &redirect).await.err(),
        dead,
        "a code can be used only once"
    );
}
