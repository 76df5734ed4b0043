//! Claude Code: each of its logins, with each form of the answer that its page shows.

use serde_json::{Value, json};

use super::{home_at, is_stored, named, page, parameter, paste, refuses, start, stop};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{Daemon, files_below};

const REDIRECT: &str = "https://platform.claude.com/oauth/code/callback";
const EMAIL: &str = "ada@example.com";

/// Logs in three times: with the address where the browser ends, with `code#state` and with the code alone. Each login
/// first gets the answer of another attempt. Returns the ended sessions.
async fn log_in(vendors: &Standin, recipe: &str, expected: &str) -> (Daemon, Vec<Value>) {
    let daemon = home_at(vendors).start();
    let mut logins = Vec::new();
    for form in ["address", "code#state", "code"] {
        let params = json!({"providerId": "claude", "recipe": recipe, "bundleName": form});
        let id = start(&daemon, params).await;
        let shown = page(&daemon, &id).await;
        assert!(shown.as_str().starts_with(expected), "{shown}");
        let state = parameter(&shown, "state");
        refuses(&daemon, &id, format!("{REDIRECT}?code=planted-code&state={state}x")).await;
        refuses(&daemon, &id, format!("planted-code#{state}x")).await;

        let address = vendors.consent(&shown);
        assert!(address.as_str().starts_with(REDIRECT), "{address}");
        let code = parameter(&address, "code");
        let answer = match form {
            "address" => address.to_string(),
            "code" => code.clone(),
            _ => format!("{code}#{state}"),
        };
        assert_eq!(paste(&daemon, &id, answer).await, json!({"success": true}), "{form}");
        let done = daemon.ended(&id).await;
        assert_eq!(done["status"], "success", "{form}: {done}\n{:?}", vendors.requests());
        assert_eq!((vendors.exchanged("code"), vendors.exchanged("state")), (code.clone(), state), "{form}");
        for text in [done.to_string(), daemon.log()] {
            assert!(!text.contains(&code) && !text.contains("sk-ant-"), "{form}");
        }
        logins.push(done);
    }
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<std::path::PathBuf>::new());
    (daemon, logins)
}

fn nothing_runs(daemon: Daemon, logins: &[Value]) {
    let sessions: Vec<&str> = logins.iter().map(|login| login["sessionId"].as_str().unwrap()).collect();
    stop(daemon, &sessions);
}

#[test]
fn claude_login_succeeds_by_each_form_of_paste() {
    inside(async |vendors| {
        let (daemon, logins) = log_in(&vendors, "login", "https://claude.com/cai/oauth/authorize?").await;
        for done in &logins {
            let dir = is_stored(&daemon, done, "claude", &json!(EMAIL)).await;
            assert!(dir.join(".credentials.json").exists());
        }
        nothing_runs(daemon, &logins);
    });
}

#[test]
fn claude_console_login_succeeds_by_each_form_of_paste() {
    inside(async |vendors| {
        let (daemon, logins) =
            log_in(&vendors, "console", "https://platform.claude.com/oauth/authorize?").await;
        for done in &logins {
            let dir = is_stored(&daemon, done, "claude", &json!(EMAIL)).await;
            let text = std::fs::read_to_string(dir.join(".claude.json")).unwrap();
            let stored: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(stored["primaryApiKey"], "sk-ant-api03-planted-key");
        }
        nothing_runs(daemon, &logins);
    });
}

/// The token is shown once. It is stored only in the daemon's account.
#[test]
fn claude_setup_token_succeeds_by_each_form_of_paste() {
    inside(async |vendors| {
        let (daemon, logins) =
            log_in(&vendors, "setup-token", "https://claude.com/cai/oauth/authorize?").await;
        for done in &logins {
            let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
            assert_eq!(
                (&account["status"], &account["secretRef"]["backend"]),
                (&json!("valid"), &json!("sealed"))
            );
        }
        assert_eq!(named(&daemon.home, |name| name == ".credentials.json"), Vec::<std::path::PathBuf>::new());
        nothing_runs(daemon, &logins);
    });
}

#[test]
fn claude_login_fails_with_the_reason_when_its_code_is_refused() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let id = start(&daemon, json!({"providerId": "claude"})).await;
        let address = vendors.consent(&page(&daemon, &id).await);
        vendors.refuse_codes();
        assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
        let ended = daemon.ended(&id).await;
        assert_eq!(
            (&ended["status"], &ended["errorKind"]),
            (&json!("failed"), &json!("login_failed")),
            "{ended}"
        );
        assert!(ended["error"].as_str().unwrap().contains("That code wasn't accepted"), "{ended}");
        assert!(!ended.to_string().contains(&parameter(&address, "code")));
    });
}
