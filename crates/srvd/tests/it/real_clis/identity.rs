//! The answers of real CLIs to the question whose login they would use, in the environment of a launch.

use std::path::Path;
use std::process::Output;

use identity_store::{BundleId, LoginCredential, SaveLogin};
use serde_json::json;

use super::home;
use crate::support::{Daemon, Home, is_late, patiently, planted, private_directory, store};

/// Variables that direct every request to a vendor to a proxy that does not exist.
const NOWHERE: [(&str, &str); 3] = [
    ("ALL_PROXY", "http://127.0.0.1:9"),
    ("HTTP_PROXY", "http://127.0.0.1:9"),
    ("HTTPS_PROXY", "http://127.0.0.1:9"),
];

fn put(path: &Path, text: &str) {
    private_directory(path.parent().unwrap());
    std::fs::write(path, text).unwrap();
}

/// Plants a login of Claude Code in its directory.
fn claude_login(dir: &Path, email: &str) {
    let tokens = json!({
        "accessToken": "planted-access", "refreshToken": "planted-refresh", "expiresAt": 4_102_444_800_000_u64,
        "scopes": ["user:inference", "user:profile"], "subscriptionType": "max"
    });
    put(&dir.join(".credentials.json"), &json!({ "claudeAiOauth": tokens }).to_string());
    let account = json!({"emailAddress": email, "accountUuid": "u-1", "organizationUuid": "o-1"});
    let settings = json!({"hasCompletedOnboarding": true, "oauthAccount": account});
    put(&dir.join(".claude.json"), &settings.to_string());
}

/// Binds a planted login of a person in the bundle `work`.
async fn bind(home: &Home, provider: &str, email: &str, bundle: &BundleId) {
    let dir = home.dir("data/identities").join(bundle.as_str()).join(provider);
    let store = store(home).await;
    let row = planted::row(bundle, provider, LoginCredential::Directory(dir));
    store.save_login(SaveLogin { email: Some(email.to_owned()), ..row }).await.unwrap();
    store.close().await;
}

fn verified(daemon: &Daemon, dir: &Path, bundle: &str, command: &[&str]) -> Output {
    let args = [&["exec", "--bundle", bundle, "--verify", "--"], command].concat();
    let run = || daemon.home.command(&args).envs(NOWHERE).current_dir(dir).output().unwrap();
    patiently(run, |output| is_late(&told(output).1))
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_confirms_its_account_unless_a_setting_takes_its_place() {
    let home = home();
    let bundle: BundleId = "work".parse().unwrap();
    let dir = home.dir("data/identities/work/claude");
    claude_login(&dir, "ann@example.test");
    bind(&home, "claude", "ann@example.test", &bundle).await;
    let daemon = home.start();
    let project = daemon.home.dir("project");
    private_directory(&project);
    let ask = || verified(&daemon, &project, "work", &["claude", "auth", "status", "--json"]);
    let found = ask();
    assert_eq!(told(&found), (Some(0), String::new()));
    assert!(String::from_utf8_lossy(&found.stdout).contains("ann@example.test"), "{found:?}");

    // The settings of the project are no ground for a refusal. What the CLI says about itself is one.
    put(&project.join(".claude/settings.json"), r#"{"apiKeyHelper": "/bin/echo planted"}"#);
    let (code, errors) = told(&ask());
    assert!(code == Some(1) && errors.contains("authMethod is api_key_helper"), "{errors}");
    std::fs::remove_dir_all(project.join(".claude")).unwrap();

    for (settings, key) in [
        (r#"{"apiKeyHelper": "/bin/echo planted"}"#, "apiKeyHelper"),
        (r#"{"env": {"ANTHROPIC_AUTH_TOKEN": "planted"}}"#, "env.ANTHROPIC_AUTH_TOKEN"),
        (r#"{"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}"#, "env.CLAUDE_CODE_USE_BEDROCK"),
    ] {
        put(&dir.join("settings.json"), settings);
        let (code, errors) = told(&ask());
        assert!(code == Some(1) && errors.contains(&format!("settings.json sets {key}, which")), "{errors}");
    }
    std::fs::remove_file(dir.join("settings.json")).unwrap();

    claude_login(&dir, "bob@example.test");
    let (code, errors) = told(&ask());
    assert!(code == Some(1) && errors.contains("another person's login"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_says_whether_it_is_logged_in_also_for_settings_that_no_list_knows() {
    let home = home();
    let bundle: BundleId = "work".parse().unwrap();
    let dir = home.dir("data/identities/work/codex");
    let token = planted::token("ann@example.test");
    let tokens = json!({"id_token": token, "access_token": token, "refresh_token": "planted"});
    put(&dir.join("auth.json"), &json!({ "tokens": tokens }).to_string());
    bind(&home, "codex", "ann@example.test", &bundle).await;
    let daemon = home.start();
    let ask = || told(&verified(&daemon, Path::new("/"), "work", &["codex", "login", "status"]));
    let (code, errors) = ask();
    assert!(
        code == Some(0) && errors.contains("Codex is logged in, but does not say as which person"),
        "{errors}"
    );
    let config = dir.join("config.toml");
    put(&config, "forced_login_method = \"api\"\n");
    let (code, errors) = ask();
    assert!(code == Some(1) && errors.contains("config.toml sets forced_login_method, which"), "{errors}");
    put(&config, "forced_chatgpt_workspace_id = \"another-workspace\"\n");
    let (code, errors) = ask();
    assert!(code == Some(1) && errors.contains("it says that it is not logged in"), "{errors}");
}
