//! Whole logins of users with real CLIs, and launches by user and agent: the vendor sees that user's token.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{home_at, page, paste, start, stop};
use crate::standin::Standin;
use crate::support::namespace::inside;
use crate::support::{Daemon, clis, files_below, private_directory};

/// Asserts that a login became a profile of the user, in a directory of the user's.
async fn is_a_profile(daemon: &Daemon, done: &Value, user: &str) -> PathBuf {
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &json!("ada@example.com")), "{done}");
    let listed = daemon.call("profile.list", json!({"userId": user})).await;
    let profile = &listed["profiles"][0];
    assert_eq!(
        [&profile["id"], &profile["accountId"], &profile["agentId"], &profile["status"]],
        [&done["profileId"], &done["accountId"], &json!("coder"), &json!("valid")],
        "{listed}"
    );
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    let dir = PathBuf::from(account["secretRef"]["dir"].as_str().unwrap());
    assert!(
        dir.starts_with(daemon.home.dir("data/identities/.agents").join(user).join("coder")),
        "{account}"
    );
    assert_eq!(files_below(&daemon.home.dir("home")), Vec::<PathBuf>::new());
    assert_eq!(daemon.call("bundle.list", json!({})).await["bundles"].as_array().unwrap().len(), 1);
    dir
}

/// Starts a CLI by user and agent, and returns the tokens that the vendor saw.
async fn sent(
    vendors: &Standin,
    daemon: &Daemon,
    (user, provider): (&str, &str),
    args: &[&str],
    (request, hosts): (&str, &[&str]),
) -> std::collections::BTreeSet<String> {
    let work = daemon.home.dir("work");
    private_directory(&work);
    let program = clis().join(provider);
    let program = program.to_str().unwrap();
    let launch = ["exec", "--agent", "coder", "--user", user, "--provider", provider, "--", program];
    let mut command = daemon.home.command(&launch);
    command.args(args).current_dir(work);
    // The daemon's own children get these from `spawn.environment`, a launched program from its caller.
    for name in ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
        command.env(name, daemon.home.dir("authority.pem"));
    }
    for name in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"] {
        command.env(name, "stray-planted-0123456789");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let program = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    vendors.seen(request).await;
    drop(program);
    vendors.bearers(hosts)
}

#[test]
fn claude_login_of_a_user_is_launched_by_user_and_agent() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let params = json!({"providerId": "claude", "userId": "ann", "agentId": "coder"});
        let id = start(&daemon, params).await;
        let address = vendors.consent(&page(&daemon, &id).await);
        assert_eq!(paste(&daemon, &id, address.to_string()).await, json!({"success": true}));
        let done = daemon.ended(&id).await;
        let dir = is_a_profile(&daemon, &done, "ann").await;
        assert!(dir.join(".credentials.json").exists());
        let tokens = sent(
            &vendors,
            &daemon,
            ("ann", "claude"),
            &["-p", "hi"],
            ("POST api.anthropic.com/v1/messages", &["api.anthropic.com"]),
        )
        .await;
        assert!(!tokens.is_empty() && tokens.iter().all(|token| vendors.has_issued(token)), "{tokens:?}");
        let params = json!({"agentId": "coder", "userId": "bob", "providerId": "claude"});
        assert_eq!(daemon.refused("launch.resolve", params).await.0, 1006);
        assert_eq!(daemon.call("user.delete", json!({"userId": "ann"})).await["profilesDeleted"], 1);
        assert!(!dir.exists(), "the login ends with its user");
        stop(daemon, &[&id]);
    });
}

#[test]
fn codex_login_of_a_user_is_launched_by_user_and_agent() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let params =
            json!({"providerId": "codex", "userId": "ann", "agentId": "coder", "recipe": "device-auth"});
        let id = start(&daemon, params).await;
        daemon.session(&id, |session| session["status"] == "code-emitted").await;
        vendors.approve();
        let done = daemon.ended(&id).await;
        let dir = is_a_profile(&daemon, &done, "ann").await;
        assert!(dir.join("auth.json").exists());
        let tokens = sent(
            &vendors,
            &daemon,
            ("ann", "codex"),
            &["exec", "--skip-git-repo-check", "hi"],
            ("GET chatgpt.com/backend-api/codex/models", &["chatgpt.com"]),
        )
        .await;
        assert!(!tokens.is_empty() && tokens.iter().all(|token| vendors.has_issued(token)), "{tokens:?}");
        stop(daemon, &[&id]);
    });
}
