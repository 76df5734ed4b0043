//! Frontends: the example, run as a frontend developer would run it, and the requests of one that resolves a CLI itself.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::fake::{self, HAPPY, PROVIDER};
use crate::support::program::Program;
use crate::support::{Daemon, clis, now};

const EXAMPLE: &str = include_str!("../../../../examples/frontend.mjs");

const DEVICE: &str = "\
dir-var FAKE_HOME
out Go to https://login.fake.test/device
out and enter code: ABCD-1234
wait-file approved
write credentials.json {\"access\":\"a\",\"email\":\"ann@fake.test\"}
out Logged in.
";

#[tokio::test(flavor = "multi_thread")]
async fn frontend_example_logs_in() {
    let daemon = fake::home(DEVICE).start();
    let mut node = Command::new(clis().join("node"));
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/frontend.mjs");
    node.env_clear().arg(example).arg(daemon.home.dir("run/endpoint.json")).args(["fake", "device"]);
    let frontend = Program::start(node);
    frontend.says("enter ABCD-1234 at https://login.fake.test/device\n").await;
    std::fs::write(daemon.home.dir("approved"), "").unwrap();
    let ended = frontend.end().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");

    let account = daemon.call("account.list", json!({})).await["accounts"][0].clone();
    let bundle = account["boundTo"][0].as_str().unwrap();
    let mut lines: Vec<&str> = ended.stdout.lines().filter(|line| !line.starts_with("open ")).collect();
    let logged_in = format!("logged in ann@fake.test in bundle {bundle}");
    let changed = format!("event identitybundlebindings:changed:{bundle}");
    // The order of the event and the answer is not fixed, and more than one event may arrive.
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(
        lines,
        ["enter ABCD-1234 at https://login.fake.test/device", changed.as_str(), logged_in.as_str()]
    );
}

#[test]
fn readme_contains_the_frontend_example_unchanged() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    assert!(readme.contains(&format!("```js\n{EXAMPLE}```\n")), "README.md shows another example");
}

const CALLBACK: &str = "https://login.fake.test/callback?code=planted-code-123&state=st4te";

/// Starts a login as a frontend that resolves the CLI itself, and returns the answer.
async fn start(daemon: &Daemon, changes: Value) -> Value {
    let mut params = json!({
        "providerId": PROVIDER,
        "cliPath": daemon.home.dir("bin/fakecli"),
        "authLoginArgs": ["login"],
        "authCheckArgs": ["status", "--json"],
        "authEnv": {"FAKE_HOME": daemon.home.dir("frontend"), "LANG": "C.UTF-8", "FAKE_SCRIPT": "/nowhere"},
        "requiresTty": true,
    });
    params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    daemon.call("auth.start", params).await
}

/// Returns the fields that an answer says were not used.
fn unused(started: &Value) -> Vec<&str> {
    started["notUsed"].as_array().unwrap().iter().map(|field| field["field"].as_str().unwrap()).collect()
}

async fn finish(daemon: &Daemon, started: &Value) -> Value {
    let id = started["sessionId"].as_str().unwrap();
    daemon.session(id, |session| session["prompt"] == true).await;
    let paste = json!({"sessionId": id, "callbackUrl": CALLBACK});
    assert_eq!(daemon.call("auth.submitcallback", paste).await, json!({"success": true}));
    daemon.ended(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn frontend_request_chooses_the_recipe_and_is_told_what_is_not_used() {
    let daemon = fake::home(HAPPY).start();
    for (args, tty, recipe, fields) in [
        (json!(["login"]), true, "pipe", &["authCheckArgs", "requiresTty"][..]),
        (json!(["login", "--tty", "--verbose"]), true, "pty", &["authCheckArgs"]),
        (json!(["signin"]), false, "pipe", &["authLoginArgs", "authCheckArgs"]),
    ] {
        let started = start(&daemon, json!({"authLoginArgs": args, "requiresTty": tty})).await;
        assert_eq!(started["recipe"], recipe, "{started}");
        let expected = [fields, &["authEnv.FAKE_HOME", "authEnv.FAKE_SCRIPT"]].concat();
        assert_eq!(unused(&started), expected, "{started}");
        let done = finish(&daemon, &started).await;
        assert_eq!(done["status"], "success", "{done}");
        assert!(!daemon.home.dir("frontend").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn program_outside_the_searched_directories_is_never_run() {
    let daemon = fake::home(HAPPY).start();
    let outside = daemon.home.dir("outside/fakecli");
    std::fs::create_dir(outside.parent().unwrap()).unwrap();
    std::fs::write(&outside, "#!/bin/sh\ntouch \"$0.was-run\"\n").unwrap();
    std::fs::set_permissions(&outside, PermissionsExt::from_mode(0o755)).unwrap();
    // The same program elsewhere is used in its place.
    for path in [outside.clone(), daemon.home.dir("gone/fakecli")] {
        let started = start(&daemon, json!({"cliPath": path})).await;
        assert_eq!(unused(&started)[0], "cliPath", "{started}");
        let reason = started["notUsed"][0]["reason"].as_str().unwrap();
        assert!(
            reason.ends_with(&format!("{} is used", daemon.home.dir("bin/fakecli").display())),
            "{reason}"
        );
        assert_eq!(finish(&daemon, &started).await["status"], "success");
    }
    std::fs::remove_file(daemon.home.dir("bin/fakecli")).unwrap();
    for path in [outside.clone(), "/bin/sh".into()] {
        let params = json!({"providerId": PROVIDER, "cliPath": path});
        let (code, data) = daemon.refused("auth.start", params).await;
        assert_eq!((code, &data["field"]), (1004, &json!("cliPath")), "{data}");
        assert!(data["hint"].as_str().unwrap().contains("search_path under [spawn]"), "{data}");
    }
    assert!(!daemon.home.dir("outside/fakecli.was-run").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn checked_policy_obeys_the_terminal_and_runs_the_check_of_the_client() {
    let script = |code: u8| {
        format!(
            "when --version\nout fakecli 1.2.3\nexit 0\nwhen status --json\ntouch checked\n\
             err Error: the token was refused\nexit {code}\nwhen *\ndump-env environment\n{HAPPY}"
        )
    };
    let daemon = fake::home(&script(0)).config("srvd.toml", "[spawn]\npolicy = \"checked\"\n").start();
    let params = json!({"authEnv": {}, "authLoginArgs": ["login"]});
    let started = start(&daemon, params.clone()).await;
    assert_eq!(unused(&started), Vec::<&str>::new(), "{started}");
    let done = finish(&daemon, &started).await;
    assert_eq!(done["status"], "success", "{done}");
    assert!(daemon.home.dir("checked").exists());
    let environment = std::fs::read_to_string(daemon.home.dir("environment")).unwrap();
    assert!(environment.contains("TERM=xterm-256color"), "it ran on a terminal: {environment}");
    // The words of the check say why a login is not confirmed.
    fake::write_script(&daemon.home, &script(1));
    let ended = finish(&daemon, &start(&daemon, params).await).await;
    let error = "the CLI exited without logging in: the CLI's check command (status --json) did not confirm the login: \
                 \"Error: the token was refused\"";
    assert_eq!(
        (&ended["errorKind"], &ended["error"]),
        (&json!("not_authenticated"), &json!(error)),
        "{ended}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_pasted_before_the_prompt_is_kept_for_it() {
    for recipe in ["pipe", "pty"] {
        // The CLI discards what is typed before its prompt, as a program does that reads its terminal anew.
        let script = HAPPY.replace("outn Paste code here", "touch shown\nwait-file go\noutn Paste code here");
        let daemon = fake::home(&script).start();
        let started = daemon.call("auth.start", json!({"providerId": PROVIDER, "recipe": recipe})).await;
        let id = started["sessionId"].as_str().unwrap();
        // Nothing has been shown yet, or only the URL.
        let paste = json!({"sessionId": id, "callbackUrl": CALLBACK});
        let client = daemon.client().await;
        let pasted = async { client.call_raw("auth.submitcallback", &paste).await.unwrap() };
        let prompts = async {
            daemon.session(id, |session| session["status"] == "url-available").await;
            std::fs::write(daemon.home.dir("go"), "").unwrap();
        };
        let (outcome, ()) = tokio::join!(pasted, prompts);
        assert_eq!(outcome, json!({"success": true}), "{recipe}");
        let done = daemon.ended(id).await;
        assert_eq!(done["status"], "success", "{recipe}: {done}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_login_says_why_and_not_how_to_open_a_browser() {
    let guide = "err If your browser did not open, navigate to this URL to authenticate:\n";
    for (script, error) in [
        (
            "dir-var FAKE_HOME\nwrite credentials.json {\"email\":\"ann@fake.test\"}\nout Logged in.\nexit 0\n",
            "the CLI exited without logging in: credentials.json holds no login: the file has no access token",
        ),
        (
            "dir-var FAKE_HOME\nwrite credentials.json half\nexit 0\n",
            "the CLI exited without logging in: credentials.json cannot be read: not JSON at line 1",
        ),
        (
            "err Error: the account is locked\nexit 0\n",
            "the CLI exited without logging in: Error: the account is locked",
        ),
        ("exit 0\n", "the CLI exited without logging in: it stored no login"),
        (
            "err Error: the account is locked\nexit 3\n",
            "the CLI exited with an error: Error: the account is locked",
        ),
    ] {
        let daemon = fake::home(&format!("{guide}{script}")).start();
        let started = daemon.call("auth.start", json!({"providerId": PROVIDER})).await;
        let ended = daemon.ended(started["sessionId"].as_str().unwrap()).await;
        assert_eq!(ended["error"], error, "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnect_renews_the_same_person_and_force_accepts_another() {
    let daemon = fake::home(HAPPY).start();
    let done = finish(&daemon, &start(&daemon, json!({})).await).await;
    let into = json!({"intoBundleId": done["bundleId"]});
    let again = finish(&daemon, &start(&daemon, into.clone()).await).await;
    assert_eq!((&again["status"], &again["accountId"]), (&json!("success"), &done["accountId"]), "{again}");
    assert!(again.get("replacedPerson").is_none(), "{again}");

    let bob = HAPPY.replace("ann@fake.test", "bob@fake.test").replace("person-1", "person-2");
    let unnamed = HAPPY.replace(",\"email\":\"ann@fake.test\",\"id\":\"person-1\"", "");
    for (script, came) in [(&bob, "bob@fake.test"), (&unnamed, "an unknown person")] {
        fake::write_script(&daemon.home, script);
        let refused = finish(&daemon, &start(&daemon, into.clone()).await).await;
        assert_eq!(refused["errorKind"], "identity_mismatch", "{refused}");
        let error = format!(
            "the CLI logged in as {came}, but the login in this bundle is ann@fake.test's; it was kept"
        );
        assert_eq!(refused["error"], error);
        assert!(refused["hint"].as_str().unwrap().ends_with("--replace-person"), "{refused}");
        let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
        assert_eq!((&account["status"], &account["email"]), (&json!("valid"), &json!("ann@fake.test")));
    }

    fake::write_script(&daemon.home, &bob);
    let forced = json!({"intoBundleId": done["bundleId"], "force": true});
    let replaced = finish(&daemon, &start(&daemon, forced.clone()).await).await;
    assert_eq!((&replaced["status"], &replaced["accountId"]), (&json!("success"), &done["accountId"]));
    let persons = json!({"former": "ann@fake.test", "present": "bob@fake.test"});
    assert_eq!(replaced["replacedPerson"], persons, "{replaced}");

    // The person of a valid login that names nobody is unknown, so only force replaces it.
    fake::write_script(&daemon.home, &unnamed);
    let new = finish(&daemon, &start(&daemon, json!({})).await).await;
    let into = json!({"providerId": PROVIDER, "intoBundleId": new["bundleId"]});
    let (code, data) = daemon.refused("auth.start", into).await;
    assert_eq!((code, &data["accountId"]), (1002, &new["accountId"]), "{data}");
    assert!(data["hint"].as_str().unwrap().contains("force"), "{data}");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_expiry_is_a_login_with_an_assumed_end() {
    for (value, assumed) in [
        ("\"soon\"", true),
        ("null", true),
        ("-1", true),
        ("1e300", true),
        ("", true),
        ("\"2090-01-01T00:00:00Z\"", false),
        ("3786912000.5", false),
        ("\"3786912000000\"", false),
    ] {
        let member = if value.is_empty() { String::new() } else { format!(",\"expires\":{value}") };
        let script = format!(
            "dir-var FAKE_HOME\nout https://login.fake.test/x\n\
             write credentials.json {{\"access\":\"planted-token\",\"email\":\"ann@fake.test\"{member}}}\nout Logged in.\n"
        );
        let home = fake::home(&script);
        let path = home.dir("config/providers.d/fake.toml");
        let entry = std::fs::read_to_string(&path).unwrap();
        let ends = "expires = { pointer = \"/expires\", unit = \"ms\" }\nrefresh = \"/refresh\"";
        std::fs::write(&path, entry.replace("refresh = \"/refresh\"", ends)).unwrap();
        let daemon = home.start();
        let before = now();
        let started = daemon.call("auth.start", json!({"providerId": PROVIDER})).await;
        let done = daemon.ended(started["sessionId"].as_str().unwrap()).await;
        assert_eq!(done["status"], "success", "{value}: {done}");
        let account = daemon.call("account.get", json!({"accountId": done["accountId"]})).await;
        assert_eq!(account["status"], "valid", "{value}: {account}");
        let end = account["expiresAt"].as_i64().unwrap();
        if assumed {
            assert_eq!(account["evidence"], "assumed", "{value}: {account}");
            // The clock of the file system is coarser than the daemon's.
            assert!((before + 3_600_000 - 1000..=now() + 3_600_000).contains(&end), "{value}: {end}");
            // It does not depend on when it is read, and the next change moves it.
            let again = daemon.call("account.refreshstatus", json!({"accountId": done["accountId"]})).await;
            assert_eq!((&again["expiresAt"], &again["evidence"]), (&account["expiresAt"], &json!("assumed")));
            let file = daemon
                .home
                .dir("data/identities")
                .join(done["bundleId"].as_str().unwrap())
                .join("fake/credentials.json");
            std::fs::write(
                &file,
                r#"{"access":"planted-token","email":"ann@fake.test","expires":3786912000000}"#,
            )
            .unwrap();
            let after = daemon.call("account.refreshstatus", json!({"accountId": done["accountId"]})).await;
            assert_eq!(
                (&after["expiresAt"], &after["evidence"]),
                (&json!(3_786_912_000_000_i64), &json!("file")),
                "{value}"
            );
        } else {
            assert_eq!(
                (end / 1_000_000_000_000, &account["evidence"]),
                (3, &json!("file")),
                "{value}: {account}"
            );
        }
    }
}
