//! Complete sign-ins at the certified provider, which `scripts/issuer.sh` installs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use srvd::forge::oauth::callback::Page;
use srvd::forge::oauth::table::{Ending, StateInvalid, Status};
use srvd::forge::oauth::{Dead, Failure, Identity};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::browser::{Browser, End};
use super::{NOW, operator};
use crate::support::PATIENCE;

/// The provider in a separate process.
pub(crate) struct Issuer {
    pub(crate) url: String,
    notes: watch::Receiver<Vec<Note>>,
    /// The process ends when its standard input closes or when this is dropped.
    _process: Child,
}

/// An action of the provider.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Note {
    /// The grant type of the request.
    pub(crate) grant: Option<String>,
    /// The refresh token in the request.
    pub(crate) sent: Option<String>,
    /// The refresh token in the answer.
    pub(crate) given: Option<String>,
    /// The reason of a refusal.
    pub(crate) error: Option<String>,
    /// True if the provider revoked a whole grant.
    #[serde(default)]
    pub(crate) revoked: bool,
    /// The endpoint that performed the action.
    pub(crate) by: Option<String>,
}

impl Issuer {
    /// Starts a provider with the endpoints of this kind of forge. Its access tokens live `life` seconds.
    pub(crate) async fn start(kind: &str, life: u32) -> Self {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = crate_dir.ancestors().nth(2).unwrap();
        let dir = named("SRVD_TEST_ISSUER").unwrap_or_else(|| workspace.join("target/issuer"));
        assert!(dir.join("complete").is_file(), "no issuer in {}: run scripts/issuer.sh", dir.display());
        let clis = named("SRVD_TEST_CLIS").unwrap_or_else(|| workspace.join("target/clis"));
        let node = Some(clis.join("bin/node")).filter(|node| node.is_file()).unwrap_or_else(|| "node".into());
        let mut process = Command::new(node)
            .arg(crate_dir.join("tests/fixtures/issuer/issuer.mjs"))
            .arg(&dir)
            .args([kind, &life.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = tokio::time::timeout(PATIENCE, async {
            // The library may print warnings first.
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(url) = serde_json::from_str::<Value>(&line)
                    .ok()
                    .and_then(|said| said["url"].as_str().map(str::to_owned))
                {
                    return url;
                }
            }
            panic!("the issuer ended before it served");
        });
        let url = said.await.unwrap();
        let (sender, notes) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let said: Note = serde_json::from_str(&line).unwrap();
                sender.send_modify(|notes: &mut Vec<Note>| notes.push(said));
            }
        });
        Self { url, notes, _process: process }
    }

    /// Waits until the provider's actions satisfy the condition, and returns them.
    pub(crate) async fn until(&self, enough: impl Fn(&[Note]) -> bool) -> Vec<Note> {
        let mut notes = self.notes.clone();
        let waited = tokio::time::timeout(PATIENCE, notes.wait_for(|notes| enough(notes))).await;
        let Ok(found) = waited else { panic!("the issuer only did {:?}", *self.notes.borrow()) };
        found.unwrap().clone()
    }

    /// Waits until the provider has answered `times` refreshes, with success or with an error. Returns them.
    pub(crate) async fn refreshes(&self, times: usize) -> Vec<Note> {
        let refresh = |note: &&Note| note.grant.as_deref() == Some("refresh_token");
        let notes = self.until(|notes| notes.iter().filter(refresh).count() >= times).await;
        notes.into_iter().filter(|note| refresh(&note)).collect()
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the place is named by the test script, not by a user")]
    std::env::var_os(variable).map(PathBuf::from)
}

#[tokio::test]
async fn browser_sign_in_refreshes_and_is_revoked_when_a_refresh_token_is_reused() {
    let issuer = Issuer::start("github", 28_800).await;
    let mut operator = operator("github", &issuer.url, true);
    let started = operator.flows.start_code(&operator.start()).unwrap();
    let End::Callback(callback) = Browser::of("ada").visit(started.auth_url.as_str()).await else {
        panic!("the browser was not sent back");
    };
    assert_eq!(&callback[..url::Position::AfterPath], "http://127.0.0.1:7000/oauth/callback");
    let query = callback.query().unwrap();
    assert_eq!(operator.flows.status(&started.session_id), Some(Status::Waiting));
    assert_eq!(operator.flows.callback(query, None).await, Page::SignedIn);
    let success = Status::Ended(Ending::Success { account: "a1".into(), login: Some("ada".into()) });
    assert_eq!(operator.flows.status(&started.session_id), Some(success));
    assert_eq!(operator.flows.callback(query, None).await, Page::NotAwaited(StateInvalid::Unknown));

    let obtained = operator.obtained.recv().await.unwrap();
    let identity = Identity { account_id: "4711".into(), login: "ada".into(), email: None };
    assert_eq!((obtained.owner.as_str(), &obtained.identity), ("operator", &Ok(identity)));
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
    // The provider detects the reuse and revokes the whole family of tokens.
    assert_eq!(issuer.refresh(&first).await.err(), Some(Failure::Dead(Dead::InvalidGrant)));
    assert_eq!(issuer.refresh(&second).await.err(), Some(Failure::Dead(Dead::InvalidGrant)));
    assert_eq!(operator.forge.identify(&renewed.access).await, Err(Failure::Dead(Dead::InvalidGrant)));
}

#[tokio::test]
async fn device_sign_in_grants_tokens_once() {
    let issuer = Issuer::start("github", 28_800).await;
    let operator = operator("github", &issuer.url, true);
    let forge = &operator.forge;
    let device = forge.issuer.device().await.unwrap();
    let page = format!("{}?user_code={}", device.verification_url(), device.user_code());
    // The first poll is answered with "pending". The person decides in the pause after it.
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
    // The device code has been used.
    let again = forge.issuer.approved(&device, async |_| {}).await;
    assert_eq!(again.err(), Some(Failure::Dead(Dead::InvalidGrant)));
}

#[tokio::test]
async fn code_is_bound_to_its_verifier_and_redirect_address() {
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
    let dead = Some(Failure::Dead(Dead::InvalidGrant));
    let (first, _) = code().await;
    let (second, own) = code().await;
    assert_eq!(forge.issuer.redeem(&first, &own, &redirect).await.err(), dead, "another login's verifier");
    assert_eq!(forge.issuer.redeem(&second, &own, &other).await.err(), dead, "another redirect address");
    let (third, own) = code().await;
    assert!(forge.issuer.redeem(&third, &own, &redirect).await.is_ok());
    assert_eq!(forge.issuer.redeem(&third, &own, &redirect).await.err(), dead, "a code is used once");
}
