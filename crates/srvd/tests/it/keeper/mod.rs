//! Renewals of CLI logins by their own CLIs: real ones against the stand-in, and scripted ones that misbehave.

mod claude;
mod codex;
mod copies;
mod misbehaving;
mod quota;

use std::path::{Path, PathBuf};
use std::time::Duration;

use identity_store::{BundleId, LoginCredential, SaveLogin};
use serde_json::{Value, json};

use crate::standin::Standin;
use crate::support::{
    Daemon, Home, PATIENCE, clis, now, planted, private_directory, private_file, store, until,
};

/// Creates a home whose CLIs trust the stand-in, with the CLIs from npm.
fn home_at(vendors: &Standin) -> Home {
    let home = Home::new();
    let authority = home.dir("authority.pem");
    std::fs::write(&authority, vendors.certificate()).unwrap();
    let variables = json!({"NODE_EXTRA_CA_CERTS": authority, "SSL_CERT_FILE": authority});
    let config =
        toml::to_string(&json!({"spawn": {"environment": variables}, "keepalive": {"enabled": true}}))
            .unwrap();
    home.config("srvd.toml", &config).search(clis())
}

/// The times of a planted login, in seconds.
#[derive(Clone, Copy)]
struct Times {
    age: i64,
    left: i64,
}

/// A planted login.
struct Login {
    account: String,
    dir: PathBuf,
}

impl Login {
    /// Stores an account of a new bundle, whose directory has no login yet.
    async fn plant(home: &Home, provider: &str, bundle: &str) -> Self {
        let id: BundleId = bundle.parse().unwrap();
        let dir = home.dir("data/identities").join(bundle).join(provider);
        private_directory(&dir);
        let store = store(home).await;
        let email = if provider == "keepfake" { "ann@keepfake.test" } else { "ada@example.com" };
        let row = planted::row(&id, provider, LoginCredential::Directory(dir.clone()));
        let saved = store.save_login(SaveLogin { email: Some(email.to_owned()), ..row }).await;
        store.close().await;
        Self { account: saved.unwrap().account.to_string(), dir }
    }

    /// Writes a login of Codex with this refresh token.
    fn write_codex(&self, token: &str, times: Times) {
        let text = json!({
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": null,
            "tokens": {
                "id_token": jwt(times),
                "access_token": jwt(times),
                "refresh_token": token,
                "account_id": "acct-standin-1",
            },
            "last_refresh": "2026-01-01T00:00:00Z",
        });
        private_file(&self.dir.join("auth.json"), text.to_string().as_bytes());
    }

    /// Writes a login of Claude Code with this refresh token.
    fn write_claude(&self, token: &str, left: i64) {
        let login = json!({
            "accessToken": format!("sk-ant-oat01-{token}"),
            "refreshToken": token,
            "expiresAt": now() + left * 1000,
            "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max",
        });
        let state = json!({
            "hasCompletedOnboarding": true,
            "oauthAccount": {"accountUuid": "acct-standin-1", "emailAddress": "ada@example.com"},
        });
        private_file(&self.dir.join(".claude.json"), state.to_string().as_bytes());
        private_file(
            &self.dir.join(".credentials.json"),
            json!({"claudeAiOauth": login}).to_string().as_bytes(),
        );
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }

    /// Reads the state of the renewals.
    async fn kept(&self, daemon: &Daemon) -> Value {
        let kept = daemon.call("account.keepalive", json!({"accountId": self.account})).await;
        kept["logins"][0].clone()
    }

    /// Waits until the state of the renewals satisfies the condition.
    async fn until(&self, daemon: &Daemon, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let client = daemon.client().await;
        let mut changes = client.subscribe(["identityaccounts:changed:*"]).await.unwrap();
        let wait = async {
            loop {
                let kept = self.kept(daemon).await;
                if holds(&kept) && kept["state"] != "running" {
                    return kept;
                }
                // Not every change of the state is a change of the account.
                let _ = tokio::time::timeout(Duration::from_millis(200), changes.next()).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, wait).await;
        match done {
            Ok(kept) => kept,
            Err(late) => panic!("{what}: {late}: {}\n{}", self.kept(daemon).await, daemon.log()),
        }
    }

    /// Waits until an attempt has ended, and returns its state.
    async fn tried(&self, daemon: &Daemon) -> Value {
        self.until(daemon, "no attempt ended", |kept| kept["triedAt"].is_i64()).await
    }
}

/// Returns an unsigned JSON Web Token with the claims that Codex needs.
fn jwt(Times { age, left }: Times) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let second = now() / 1000;
    let identity = json!({
        "chatgpt_account_id": "acct-standin-1", "chatgpt_user_id": "user-1", "chatgpt_plan_type": "pro",
    });
    let claims = json!({
        "iat": second - age,
        "exp": second + left,
        "email": "ada@example.com",
        "sub": "auth0|1",
        "https://api.openai.com/auth": identity,
        "https://api.openai.com/profile": {"email": "ada@example.com"},
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "none"})), part(&claims))
}

/// Waits until the audit log has rows about renewals, and returns their outcomes.
fn audited(daemon: &Daemon) -> Vec<String> {
    let read = || {
        let printed = daemon.home.run(&["audit", "--json"]);
        let document: Value = serde_json::from_slice(&printed.stdout).unwrap_or_default();
        let rows = document["rows"].as_array().cloned().unwrap_or_default();
        let rows = rows.into_iter().filter(|row| row["action"] == "account.keepalive");
        rows.filter_map(|row| row["outcome"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    // Rows are written a moment after the action.
    until("no row is written", || !read().is_empty());
    read()
}

/// Makes a lock directory that was last touched some time ago.
fn old_lock(path: &Path, age: Duration) {
    std::fs::create_dir(path).unwrap();
    let file = std::fs::File::open(path).unwrap();
    let then = std::time::SystemTime::now() - age;
    file.set_times(std::fs::FileTimes::new().set_modified(then)).unwrap();
}

/// Returns the number of moments at which a daemon is killed, which the nightly script raises.
fn rounds() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "the number is named by the test script, not by a user")]
    let named = std::env::var("SRVD_TEST_KEEPER_KILLS");
    named.ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}
