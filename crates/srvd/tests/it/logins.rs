//! Logins through the daemon with the scripted CLI, as a frontend sees them from the start to the stored account.

use serde_json::{Value, json};

use crate::support::fake::{self, HAPPY, PROVIDER};
use crate::support::{Daemon, event, files_below, left_over};

const CALLBACK: &str = "https://login.fake.test/callback?code=planted-code-123&state=st4te";

async fn start(daemon: &Daemon, params: Value) -> String {
    let mut all = json!({"providerId": PROVIDER});
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    let started = daemon.call("auth.start", all).await;
    assert_eq!((&started["status"], &started["authUrl"]), (&json!("pending"), &Value::Null), "{started}");
    started["sessionId"].as_str().unwrap().to_owned()
}

async fn submit(daemon: &Daemon, session: &str, text: &str) -> Value {
    daemon.call("auth.submitcallback", json!({"sessionId": session, "callbackUrl": text})).await
}

/// Starts a login, pastes the callback and waits for the end.
pub(crate) async fn log_in(daemon: &Daemon, params: Value) -> Value {
    let session = start(daemon, params).await;
    daemon.session(&session, |session| session["prompt"] == true).await;
    assert_eq!(submit(daemon, &session, CALLBACK).await, json!({"success": true}));
    daemon.ended(&session).await
}

async fn whole_login(recipe: &str) {
    let daemon = fake::home(HAPPY).start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["*"]).await.unwrap();
    let id = start(&daemon, json!({"recipe": recipe})).await;

    let shown = daemon.session(&id, |session| session["prompt"] == true).await;
    assert_eq!(shown["status"], "url-available");
    assert_eq!(shown["openable"], true);
    assert_eq!(
        shown["authUrl"],
        "https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback"
    );
    assert_eq!(submit(&daemon, &id, CALLBACK).await, json!({"success": true}));
    let done = daemon.ended(&id).await;
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &json!("ann@fake.test")), "{done}");
    assert!(done.get("authUrl").is_none() && done.get("prompt").is_none(), "{done}");
    let pasted = std::fs::read_to_string(daemon.home.dir("pasted")).unwrap();
    assert_eq!(pasted.trim_end_matches(['\r', '\n']), "planted-code-123#st4te");

    let bundle = done["bundleId"].as_str().unwrap();
    event(&mut events, &format!("identitybundlebindings:changed:{bundle}")).await;
    let stored = daemon.call("bundle.get", json!({"bundleId": bundle})).await;
    assert_eq!(stored["name"], "Fake (ann@fake.test)");
    assert_eq!(
        stored["bindings"],
        json!([{"providerId": "fake", "accountId": done["accountId"], "status": "valid"}])
    );
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    let dir = daemon.home.dir("data/identities").join(bundle).join("fake");
    assert_eq!(account["secretRef"], json!({"backend": "config_dir", "dir": dir}));
    assert_eq!((&account["email"], &account["subject"]), (&json!("ann@fake.test"), &json!("person-1")));
    assert!(dir.join("credentials.json").exists());
    assert_eq!(daemon.call("auth.list", json!({})).await["sessions"][0]["status"], "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_succeeds_on_a_pipe() {
    whole_login("pipe").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn login_succeeds_on_a_terminal() {
    whole_login("pty").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_code_is_shown_with_its_address() {
    let script = "dir-var FAKE_HOME\nout Go to https://login.fake.test/device\nout and enter code: ABCD-1234\nwait-file approved\nwrite credentials.json {\"access\":\"a\"}\nout Logged in.\n";
    let daemon = fake::home(script).start();
    let id = start(&daemon, json!({"recipe": "device", "bundleName": "Box"})).await;
    let shown = daemon.session(&id, |session| session["status"] == "code-emitted").await;
    assert_eq!(
        (&shown["deviceCode"], &shown["verificationUrl"]),
        (&json!("ABCD-1234"), &json!("https://login.fake.test/device"))
    );
    std::fs::write(daemon.home.dir("approved"), "").unwrap();
    let done = daemon.ended(&id).await;
    assert_eq!((&done["status"], &done["email"]), (&json!("success"), &Value::Null));
    assert_eq!(daemon.call("bundle.get", json!({"bundleId": done["bundleId"]})).await["name"], "Box");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_login_leaves_no_files_and_reports_its_reason() {
    let check = async |script: &str, kind: &str, exit_code: Value| {
        let daemon = fake::home(script).start();
        let id = start(&daemon, json!({})).await;
        let ended = daemon.ended(&id).await;
        assert_eq!(
            (&ended["status"], &ended["errorKind"]),
            (&json!("failed"), &json!(kind)),
            "{script:?}: {ended}"
        );
        assert_eq!(ended.get("exitCode").cloned().unwrap_or_default(), exit_code, "{script:?}");
        assert_eq!(daemon.call("account.list", json!({})).await["accounts"], json!([]));
        assert_eq!(daemon.call("bundle.list", json!({})).await["bundles"].as_array().unwrap().len(), 1);
        assert_eq!(files_below(&daemon.home.dir("data/identities")), Vec::<std::path::PathBuf>::new());
    };
    check("exit 0\n", "not_authenticated", Value::Null).await;
    check("exit 3\n", "cli_exited", json!(3)).await;
    check("out Denied by the person\nexit 1\n", "denied", Value::Null).await;
    check("out Logged in.\nexit 0\n", "not_authenticated", Value::Null).await;
    check("dir-var FAKE_HOME\nwrite credentials.json {}\nout Logged in.\n", "not_authenticated", Value::Null)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_login_ends_its_processes() {
    let daemon =
        fake::home("ignore TERM\nspawn-grandchild grandchild detach\nout https://login.fake.test/x\nhang\n")
            .start();
    let id = start(&daemon, json!({})).await;
    daemon.session(&id, |session| session["status"] == "url-available").await;
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": id})).await, json!({"success": true}));
    let ended = daemon.ended(&id).await;
    assert_eq!(ended["errorKind"], "cancelled");
    assert_eq!(left_over(&id), Vec::<u32>::new());
    assert_eq!(daemon.call("auth.cancel", json!({"sessionId": id})).await["success"], false);
    assert_eq!(files_below(&daemon.home.dir("data/identities")), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn paste_is_refused_and_not_passed_on_when_invalid() {
    let daemon = fake::home(HAPPY).start();
    let id = start(&daemon, json!({})).await;
    daemon.session(&id, |session| session["prompt"] == true).await;
    let long = format!("{CALLBACK}&x={}", "y".repeat(5000));
    for text in [
        "",
        "planted-code-123#wrong",
        "https://login.fake.test/callback?code=planted-code-123&state=wrong",
        "https://evil.test/callback?code=planted-code-123&state=st4te",
        "file:///etc/passwd",
        "planted-code-123#st4te\nrm -rf",
        "planted-code-123#st4te\u{3}",
        &long,
    ] {
        let answer = submit(&daemon, &id, text).await;
        assert_eq!(
            (&answer["success"], &answer["errorKind"]),
            (&json!(false), &json!("invalid_input")),
            "{text:?}"
        );
        assert!(!daemon.home.dir("pasted").exists());
    }
    assert_eq!(submit(&daemon, &id, CALLBACK).await["success"], true);
    assert_eq!(daemon.ended(&id).await["status"], "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn login_renews_the_one_of_its_bundle_unless_another_is_under_way() {
    let daemon = fake::home(HAPPY).start();
    let bundle = daemon.call("bundle.create", json!({"name": "Work"})).await["id"].clone();
    let first = start(&daemon, json!({"intoBundleId": bundle})).await;
    let (code, data) =
        daemon.refused("auth.start", json!({"providerId": "fake-cli", "intoBundleId": bundle})).await;
    assert_eq!((code, &data["sessionId"]), (1002, &json!(first)));
    daemon.session(&first, |session| session["prompt"] == true).await;
    submit(&daemon, &first, CALLBACK).await;
    let done = daemon.ended(&first).await;
    assert_eq!((&done["status"], &done["bundleId"]), (&json!("success"), &bundle));

    // The same account is logged in again. Its id, directory and binding stay.
    let again = log_in(&daemon, json!({"intoBundleId": bundle})).await;
    assert_eq!(again["status"], "success", "{again}");
    assert_eq!((&again["accountId"], &again["bundleId"]), (&done["accountId"], &done["bundleId"]));
    assert_eq!(again.get("replacedPerson"), None, "{again}");
}

/// Returns the script of the fake CLI for another person.
fn as_bob() -> String {
    HAPPY.replace("ann@fake.test", "bob@fake.test").replace("person-1", "person-2")
}

#[tokio::test(flavor = "multi_thread")]
async fn login_is_refused_when_an_unbound_account_keeps_the_directory() {
    let daemon = fake::home(HAPPY).start();
    let done = log_in(&daemon, json!({})).await;
    let (bundle, account) = (done["bundleId"].clone(), done["accountId"].clone());
    daemon.call("bundle.unbind", json!({"bundleId": bundle, "providerId": PROVIDER})).await;
    fake::write_script(&daemon.home, &as_bob());
    let (code, data) =
        daemon.refused("auth.start", json!({"providerId": PROVIDER, "intoBundleId": bundle})).await;
    assert_eq!((code, &data["accountId"]), (1002, &account));
    daemon.call("account.delete", json!({"accountId": account})).await;
    let bob = log_in(&daemon, json!({"intoBundleId": bundle})).await;
    assert_eq!((&bob["status"], &bob["email"]), (&json!("success"), &json!("bob@fake.test")), "{bob}");
    assert_ne!(bob["accountId"], account);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_is_refused_when_another_bundle_logs_in_to_the_same_directory() {
    let daemon = fake::home(HAPPY).start();
    let done = log_in(&daemon, json!({})).await;
    let other = daemon.call("bundle.create", json!({"name": "other"})).await["id"].clone();
    daemon.call("bundle.bind", json!({"bundleId": other, "accountId": done["accountId"]})).await;
    let first = start(&daemon, json!({"intoBundleId": done["bundleId"], "force": true})).await;
    let again = json!({"providerId": PROVIDER, "intoBundleId": other, "force": true});
    let (code, data) = daemon.refused("auth.start", again).await;
    assert_eq!((code, &data["sessionId"]), (1002, &json!(first)));
    daemon.call("auth.cancel", json!({"sessionId": first})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_deletion_cancels_its_login_and_ends_the_processes() {
    let daemon =
        fake::home("dir-var FAKE_HOME\nout https://login.fake.test/x\nwrite other {}\nhang\n").start();
    let bundle = daemon.call("bundle.create", json!({"name": "Work"})).await["id"].clone();
    let id = start(&daemon, json!({"intoBundleId": bundle})).await;
    daemon.session(&id, |session| session["status"] == "url-available").await;
    daemon.call("bundle.delete", json!({"bundleId": bundle})).await;
    assert_eq!(daemon.ended(&id).await["errorKind"], "cancelled");
    assert_eq!(left_over(&id), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_deletion_removes_the_login_and_keeps_the_history() {
    let daemon = fake::home(HAPPY).start();
    let done = log_in(&daemon, json!({})).await;
    let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
    let dir = std::path::PathBuf::from(account["secretRef"]["dir"].as_str().unwrap());
    std::fs::create_dir(dir.join("sessions")).unwrap();
    std::fs::write(dir.join("sessions/talk"), "").unwrap();
    let gone = daemon.call("bundle.delete", json!({"bundleId": done["bundleId"]})).await;
    assert_eq!(gone["cleanup"], json!([{"path": dir, "outcome": "kept_history"}]));
    assert_eq!(files_below(&daemon.home.dir("data/identities")), [dir.join("sessions/talk")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_processes_end_and_the_session_fails_when_the_daemon_crashes() {
    for recipe in ["pipe", "pty"] {
        let daemon = fake::home("ignore HUP\nout https://login.fake.test/x\nhang\n").start();
        let id = start(&daemon, json!({"recipe": recipe})).await;
        daemon.session(&id, |session| session["status"] == "url-available").await;
        assert_eq!(left_over(&id).len(), 1, "the CLI runs");
        let again = daemon.kill().start();
        assert_eq!(left_over(&id), Vec::<u32>::new(), "{recipe}");
        let ended = again.ended(&id).await;
        assert_eq!(ended["errorKind"], "daemon_restarted", "{ended}");
        assert_eq!(files_below(&again.home.dir("data/identities")), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_child_gets_only_the_allowed_environment() {
    let daemon = fake::home("dump-env environment\nexit 0\n").start_with(|command| {
        command
            .env("OAUTH_ENCRYPTION_KEY", crate::support::KEY)
            .env("ANTHROPIC_API_KEY", "planted-stray-key")
            .env("FAKE_API_KEY", "planted-stray-key")
            .env("LD_LIBRARY_PATH", "/nowhere")
    });
    let id = start(&daemon, json!({})).await;
    daemon.ended(&id).await;
    let text = std::fs::read_to_string(daemon.home.dir("environment")).unwrap();
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "BROWSER",
            "DBUS_SESSION_BUS_ADDRESS",
            "FAKE_HOME",
            "FAKE_SCRIPT",
            "HOME",
            "PATH",
            "SHELL",
            "SRVD_SESSION",
            "TERM"
        ]
    );
    assert!(!text.contains("planted-stray-key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_secrets_appear_in_no_log_event_or_database_file() {
    let daemon = fake::home(HAPPY).start();
    let client = daemon.client().await;
    let mut events = client.subscribe(["*"]).await.unwrap();
    let done = log_in(&daemon, json!({})).await;
    let topic = format!("identityaccounts:changed:{}", done["accountId"].as_str().unwrap());
    let heard = format!("{:?} {done}", event(&mut events, &topic).await);
    let log = daemon.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is at trace level");
    let home = daemon.kill();
    for secret in
        ["planted-code-123", "planted-token-access", "planted-token-refresh", "login.fake.test/authorize"]
    {
        assert!(!heard.contains(secret), "{secret} in {heard}");
        assert!(!log.contains(secret), "{secret} is in the log");
        for path in files_below(&home.dir("data")).into_iter().chain(files_below(&home.dir("run"))) {
            let owned_by_cli = path.starts_with(home.dir("data/identities"));
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(owned_by_cli || !found, "{} holds {secret}", path.display());
        }
    }
}
