//! The requests that the original desktop frontend sends, in the default policy. That frontend resolves a CLI itself and
//! sends a command, a check and variables of its own.

use std::time::Instant;

use serde_json::{Value, json};

use super::{browse, home_at, is_stored, page, parameter, paste, stop};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{Daemon, Home, PATIENCE, clis, files_below};

/// A request of that frontend, and the expected answer.
struct FrontendRequest {
    provider: &'static str,
    program: &'static str,
    login: &'static [&'static str],
    check: &'static [&'static str],
    /// The config-dir variable that the frontend sets.
    variable: &'static str,
    terminal: bool,
    /// The expected recipe.
    recipe: &'static str,
    /// The expected fields that are not used, apart from the variable.
    not_used: &'static [&'static str],
}

const CLAUDE: FrontendRequest = FrontendRequest {
    provider: "claude",
    program: "claude",
    login: &["auth", "login"],
    check: &["auth", "status", "--json"],
    variable: "CLAUDE_CONFIG_DIR",
    terminal: true,
    recipe: "login",
    not_used: &["authCheckArgs", "requiresTty"],
};

const CODEX: FrontendRequest = FrontendRequest {
    provider: "codex",
    program: "codex",
    login: &["login"],
    check: &["login", "status"],
    variable: "CODEX_HOME",
    terminal: false,
    recipe: "login",
    not_used: &[],
};

const OPENCLAW: FrontendRequest = FrontendRequest {
    provider: "openclaw",
    program: "openclaw",
    login: &["models", "auth", "login", "--provider", "openai-codex"],
    check: &[],
    variable: "OPENCLAW_STATE_DIR",
    terminal: true,
    recipe: "openai",
    not_used: &[],
};

const GEMINI: FrontendRequest = FrontendRequest {
    provider: "gemini",
    program: "gemini",
    login: &["auth", "login"],
    check: &[],
    variable: "GEMINI_CLI_HOME",
    terminal: true,
    recipe: "login",
    not_used: &[],
};

/// The CLI of this name is Kimi Code today, the successor of the old Kimi CLI.
const KIMI: FrontendRequest = FrontendRequest {
    provider: "kimi",
    program: "kimi",
    login: &["login"],
    check: &["whoami"],
    variable: "KIMI_CODE_HOME",
    terminal: true,
    recipe: "login",
    not_used: &["authCheckArgs", "providerId", "requiresTty"],
};

impl FrontendRequest {
    /// Starts the login and checks the answer. Returns the session's id.
    async fn start(&self, daemon: &Daemon, bundle: &Value) -> String {
        let own = daemon.home.dir("frontend").join(self.provider);
        let started = daemon
            .call(
                "auth.start",
                json!({
                    "providerId": self.provider,
                    "cliPath": clis().join(self.program),
                    "authLoginArgs": self.login,
                    "authCheckArgs": self.check,
                    "authEnv": {self.variable: own},
                    "requiresTty": self.terminal,
                    "intoBundleId": bundle,
                }),
            )
            .await;
        assert_eq!((&started["status"], &started["recipe"]), (&json!("pending"), &json!(self.recipe)));
        let mut fields: Vec<&str> = started["notUsed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| {
                assert!(!field["reason"].as_str().unwrap().is_empty(), "{field}");
                field["field"].as_str().unwrap()
            })
            .collect();
        fields.sort_unstable();
        let variable = format!("authEnv.{}", self.variable);
        let mut expected: Vec<&str> = self.not_used.to_vec();
        expected.push(&variable);
        expected.sort_unstable();
        assert_eq!(fields, expected, "{}", self.provider);
        started["sessionId"].as_str().unwrap().to_owned()
    }

    /// Does what the person does in the browser.
    async fn finish(&self, daemon: &Daemon, vendors: &Standin, session: &str) -> Value {
        if self.provider == "kimi" {
            daemon.session(session, |session| session["status"] == "code-emitted").await;
            vendors.approve();
            return daemon.ended(session).await;
        }
        let shown = page(daemon, session).await;
        let address = vendors.consent(&shown);
        match self.provider {
            "codex" => {
                browse(&address);
            }
            "claude" => {
                let answer = format!("{}#{}", parameter(&address, "code"), parameter(&shown, "state"));
                assert_eq!(paste(daemon, session, answer).await, json!({"success": true}));
            }
            _ => assert_eq!(paste(daemon, session, address.to_string()).await, json!({"success": true})),
        }
        daemon.ended(session).await
    }
}

/// Starts a daemon that knows the version of a CLI. On a busy machine a CLI can take longer than a daemon waits for its
/// version. Another daemon then asks again.
async fn identified(vendors: &Standin, provider: &str) -> Daemon {
    let deadline = Instant::now() + PATIENCE * 4;
    loop {
        let daemon = home_at(vendors).start();
        let listed = daemon.call("provider.list", json!({"providerId": provider})).await;
        if listed["providers"][0]["cli"]["version"].is_string() {
            return daemon;
        }
        assert!(Instant::now() < deadline, "no version of {provider}: {listed}");
    }
}

/// Logs in with the request, and again into the same bundle if the login can be renewed beside the present one.
async fn log_in(vendors: &Standin, request: &FrontendRequest, stored: &str, email: &Value, renews: bool) {
    let daemon = identified(vendors, stored).await;
    let session = request.start(&daemon, &json!("")).await;
    let done = request.finish(&daemon, vendors, &session).await;
    is_stored(&daemon, &done, stored, email).await;
    let mut sessions = vec![session];
    if renews {
        let session = request.start(&daemon, &done["bundleId"]).await;
        let again = request.finish(&daemon, vendors, &session).await;
        is_stored(&daemon, &again, stored, email).await;
        assert_eq!(
            (&again["bundleId"], &again["accountId"]),
            (&done["bundleId"], &done["accountId"]),
            "{again}"
        );
        sessions.push(session);
    }
    let own = daemon.home.dir("frontend");
    assert!(!own.exists() || files_below(&own).is_empty(), "nothing is written to the frontend's directory");
    stop(daemon, &sessions.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn frontend_request_for_claude_is_served_in_the_default_policy() {
    inside(async |vendors| log_in(&vendors, &CLAUDE, "claude", &json!("ada@example.com"), true).await);
}

#[test]
fn frontend_request_for_codex_is_served_in_the_default_policy() {
    inside(async |vendors| log_in(&vendors, &CODEX, "codex", &json!("ada@example.com"), true).await);
}

#[test]
fn frontend_request_for_openclaw_is_served_in_the_default_policy() {
    inside(async |vendors| log_in(&vendors, &OPENCLAW, "openclaw", &json!("ada@example.com"), false).await);
}

#[test]
fn frontend_request_for_gemini_is_served_in_the_default_policy() {
    inside(async |vendors| log_in(&vendors, &GEMINI, "gemini", &json!("ada@example.com"), false).await);
}

#[test]
fn frontend_request_for_kimi_is_served_by_kimi_code_in_the_default_policy() {
    inside(async |vendors| log_in(&vendors, &KIMI, "kimi-code", &Value::Null, true).await);
}

/// The policy `checked` runs what the request says: on a terminal, and with the check of the client.
#[test]
fn checked_policy_runs_the_frontend_requests_of_claude_and_codex_on_a_terminal() {
    inside(async |vendors| {
        let daemon = checked(home_at(&vendors)).start();
        for request in [CLAUDE, CODEX] {
            let params = json!({
                "providerId": request.provider,
                "cliPath": clis().join(request.program),
                "authLoginArgs": request.login,
                "authCheckArgs": request.check,
                "requiresTty": true,
            });
            let started = daemon.call("auth.start", params).await;
            assert_eq!(started["notUsed"], json!([]), "{started}");
            let session = started["sessionId"].as_str().unwrap();
            let done = request.finish(&daemon, &vendors, session).await;
            is_stored(&daemon, &done, request.provider, &json!("ada@example.com")).await;
            let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
            assert_eq!(account["evidence"], "check", "{account}");
        }
    });
}

/// Adds the policy to the configuration of a home.
fn checked(home: Home) -> Home {
    let path = home.dir("config/srvd.toml");
    let mut config: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let spawn = config.get_mut("spawn").and_then(toml::Value::as_table_mut).unwrap();
    spawn.insert("policy".to_owned(), "checked".into());
    std::fs::write(path, config.to_string()).unwrap();
    home
}
