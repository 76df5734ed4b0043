//! Requests that a client may not send. Each is refused with its kind before any process starts.

use serde_json::{Value, json};

use crate::support::{Daemon, Home, files_below};

fn fixture() -> Daemon {
    home().start()
}

fn home() -> Home {
    let home = Home::new();
    let bin = home.dir("bin");
    crate::support::private_directory(&bin);
    // The program would leave a file if it were run.
    let program = "#!/bin/sh\ntouch \"$0.was-run\"\n";
    for name in ["codex", "evil"] {
        std::fs::write(bin.join(name), program).unwrap();
        std::fs::set_permissions(bin.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    home.search(bin)
}

async fn check(daemon: &Daemon, changes: Value, code: i32, field: &str) {
    let mut params = json!({"providerId": "codex"});
    params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let (got, data) = daemon.refused("auth.start", params).await;
    let name = data.get("field").or_else(|| data.get("what")).cloned().unwrap_or_default();
    assert_eq!((got, name.as_str().unwrap_or_default()), (code, field), "{changes} -> {data}");
}

/// Asserts that no program was run, no directory was created and no session was started.
async fn nothing_happened(daemon: &Daemon) {
    let made: Vec<_> = files_below(&daemon.home.dir(""))
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(".was-run"))
        .collect();
    assert_eq!(made, Vec::<std::path::PathBuf>::new());
    assert!(!daemon.home.dir("data/identities").exists());
    assert_eq!(daemon.call("auth.list", json!({})).await, json!({"sessions": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_refuses_programs_that_are_not_registered() {
    let daemon = fixture();
    let bin = daemon.home.dir("bin");
    let evil = bin.join("evil").display().to_string();
    for path in [&evil, "/bin/sh", "/tmp", "/etc/passwd", &format!("{}/../bin/evil", bin.display())] {
        check(&daemon, json!({"cliPath": path}), 1004, "cliPath").await;
    }
    nothing_happened(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_refuses_arguments_that_may_mean_another_login() {
    let daemon = fixture();
    for args in [
        json!(["-e", "require('fs')"]),
        json!(["login", "--with-api-key"]),
        json!(["login", "--device"]),
        json!(["login", "console"]),
    ] {
        check(&daemon, json!({"authLoginArgs": args}), 1004, "authLoginArgs").await;
    }
    check(&daemon, json!({"recipe": "--help"}), 1022, "recipe").await;
    nothing_happened(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checked_policy_refuses_every_variable_that_decides_what_runs() {
    let daemon = home().config("srvd.toml", "[spawn]\npolicy = \"checked\"\n").start();
    for name in DECIDING {
        let (code, data) = daemon
            .refused("auth.start", json!({"providerId": "codex", "authEnv": {name: "planted-value"}}))
            .await;
        assert_eq!((code, data["field"].as_str().unwrap()), (1004, format!("authEnv.{name}").as_str()));
        assert!(!data.to_string().contains("planted-value"));
    }
    nothing_happened(&daemon).await;
}

/// Names of variables that decide what a CLI runs or whom it asks, and names that are none.
const DECIDING: [&str; 19] = [
    "NODE_OPTIONS",
    "LD_PRELOAD",
    "ld_preload",
    "LD_AUDIT",
    "PATH",
    "BASH_ENV",
    "PYTHONPATH",
    "BROWSER",
    "GIT_SSH_COMMAND",
    "HTTPS_PROXY",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "ANTHROPIC_BASE_URL",
    "OPENAI_BASE_URL",
    "OAUTH_ENCRYPTION_KEY",
    "SRVD_SESSION",
    "HOME",
    "A=B",
    "",
];

#[tokio::test(flavor = "multi_thread")]
async fn login_refuses_unusable_bundles_and_providers() {
    let daemon = fixture();
    let long = "a".repeat(65);
    for id in ["../x", "a/b", "..", ".", "A%2f", "con", "LPT1", "a\u{0}b", &long, "Work", "-x", "é"] {
        check(&daemon, json!({"intoBundleId": id}), 1005, "intoBundleId").await;
    }
    check(&daemon, json!({"intoBundleId": "blank"}), 1005, "intoBundleId").await;
    check(&daemon, json!({"intoBundleId": "nobody"}), 1001, "bundle").await;
    check(&daemon, json!({"bundleName": "BLANK"}), 1002, "bundle name").await;
    check(&daemon, json!({"bundleName": "x".repeat(101)}), 1005, "bundleName").await;
    check(&daemon, json!({"bundleName": "a\u{1b}b"}), 1005, "bundleName").await;
    check(&daemon, json!({"providerId": "nobody"}), 1003, "").await;
    check(&daemon, json!({"providerId": "anthropic"}), 1005, "providerId").await;
    check(&daemon, json!({"providerId": "claude"}), 1001, "cli").await;
    let (_, data) = daemon.refused("auth.start", json!({"providerId": "nobody"})).await;
    assert!(data["known"].as_array().unwrap().contains(&json!("codex")), "{data}");
    nothing_happened(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_calls_fail_when_the_session_is_unknown() {
    let daemon = fixture();
    for id in ["auth-00000000-0000-4000-8000-000000000000", "nonsense", "../x", ""] {
        let (code, data) = daemon.refused("auth.poll", json!({"sessionId": id})).await;
        assert_eq!((code, data["what"].as_str()), (1001, Some("session")), "{id:?}");
        for (method, params) in [
            ("auth.cancel", json!({"sessionId": id})),
            ("auth.submitcallback", json!({"sessionId": id, "callbackUrl": "code#state"})),
        ] {
            let answer = daemon.call(method, params).await;
            assert_eq!(answer["success"], false, "{method} {id:?}");
            assert!(answer["error"].is_string());
        }
    }
}
