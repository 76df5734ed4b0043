//! Logins over an existing login: the old one stays complete until the new one is stored.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake::{self, HAPPY, PROVIDER};
use crate::support::{Daemon, Home, PATIENCE, files_below, left_over, until};

const CALLBACK: &str = "https://login.fake.test/callback?code=planted-code-123&state=st4te";
/// Script of a CLI that overwrites its files at once, before the person has done anything.
const SPOILS: &str = "dir-var FAKE_HOME\nwrite credentials.json {\"half\":1}\nwrite other {}\n";

fn as_bob() -> String {
    HAPPY.replace("ann@fake.test", "bob@fake.test").replace("person-1", "person-2")
}

/// A daemon with one bundle that has a login. The login has settings in the same file and beside it, and a
/// conversation.
struct Renewed {
    daemon: Daemon,
    bundle: Value,
    account: Value,
    dir: PathBuf,
}

impl Renewed {
    async fn new(home: Home) -> Self {
        let daemon = home.start();
        let done = log_in(&daemon, json!({})).await;
        let (bundle, account) = (done["bundleId"].clone(), done["accountId"].clone());
        let dir = daemon.home.dir("data/identities").join(bundle.as_str().unwrap()).join("fake");
        std::fs::create_dir(dir.join("sessions")).unwrap();
        std::fs::write(dir.join("sessions/talk"), "hello").unwrap();
        std::fs::write(dir.join("credentials.json"), OLD).unwrap();
        Self { daemon, bundle, account, dir }
    }

    async fn start(&self, recipe: &str, force: bool) -> String {
        let params =
            json!({"providerId": PROVIDER, "intoBundleId": self.bundle, "recipe": recipe, "force": force});
        self.daemon.call("auth.start", params).await["sessionId"].as_str().unwrap().to_owned()
    }

    async fn prompted(&self, session: &str) {
        self.daemon.session(session, |session| session["prompt"] == true).await;
    }

    async fn paste(&self, session: &str) {
        let params = json!({"sessionId": session, "callbackUrl": CALLBACK});
        assert_eq!(self.daemon.call("auth.submitcallback", params).await, json!({"success": true}));
    }

    async fn account(&self) -> Value {
        self.daemon.call("account.get", json!({"accountId": self.account})).await
    }

    /// Returns every file of the identities by its path, with its bytes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        contents(&self.daemon.home.dir("data/identities"))
    }
}

/// A login with a setting of the CLI in the same file.
const OLD: &str = r#"{"access":"old","refresh":"r","email":"ann@fake.test","id":"person-1","theme":"dark"}"#;
/// The same person's file without a login.
const ENDED: &str = r#"{"email":"ann@fake.test","id":"person-1","theme":"dark"}"#;

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(dir).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Waits until no file of a renewal is left. The CLI of a successful renewal may still be ending.
fn nothing_is_left(home: &Home) {
    let place = home.dir("data/identities/.renewals");
    until("files of a renewal are left", || {
        !std::fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_some())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_leaves_old_login_unchanged_when_it_fails() {
    for recipe in ["pipe", "pty"] {
        let renewed =
            Renewed::new(fake::home(HAPPY).config("srvd.toml", "[spawn]\nlogin_seconds = 5\n")).await;
        let before = renewed.files();
        for (ending, kind) in [
            ("exit 3\n", "cli_exited"),
            ("out Denied by the person\nexit 1\n", "denied"),
            ("out Logged in.\n", "not_authenticated"),
            ("out https://login.fake.test/x\nhang\n", "cancelled"),
            ("hang\n", "expired"),
        ] {
            fake::write_script(&renewed.daemon.home, &format!("{SPOILS}{ending}"));
            let id = renewed.start(recipe, true).await;
            if kind == "cancelled" {
                renewed.daemon.session(&id, |session| session["status"] == "url-available").await;
                assert_eq!(renewed.files().len(), before.len() + 2, "it runs elsewhere");
                renewed.daemon.call("auth.cancel", json!({"sessionId": id})).await;
            }
            let ended = renewed.daemon.ended(&id).await;
            assert_eq!(ended["errorKind"], kind, "{recipe}: {ended}");
            assert_eq!(renewed.files(), before, "{recipe} {kind}");
            assert_eq!(left_over(&id), Vec::<u32>::new());
            let found = renewed.account().await;
            assert_eq!((&found["status"], &found["id"]), (&json!("valid"), &renewed.account), "{found}");
        }
        nothing_is_left(&renewed.daemon.home);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_replaces_only_credentials_when_it_succeeds() {
    for recipe in ["pipe", "pty"] {
        let renewed = Renewed::new(fake::home(HAPPY)).await;
        let id = renewed.start(recipe, true).await;
        renewed.prompted(&id).await;
        assert_eq!(std::fs::read_to_string(renewed.dir.join("credentials.json")).unwrap(), OLD);
        renewed.paste(&id).await;
        let done = renewed.daemon.ended(&id).await;
        assert_eq!(
            (&done["status"], &done["accountId"], &done["bundleId"]),
            (&json!("success"), &renewed.account, &renewed.bundle),
            "{done}"
        );
        let file = read(&renewed.dir.join("credentials.json"));
        assert!(file["access"].as_str().unwrap().starts_with("planted-token-access-"), "{file}");
        assert_eq!((&file["theme"], &file["email"]), (&json!("dark"), &json!("ann@fake.test")));
        assert_eq!(std::fs::read_to_string(renewed.dir.join("sessions/talk")).unwrap(), "hello");
        let found = renewed.account().await;
        assert_eq!(found["secretRef"], json!({"backend": "config_dir", "dir": renewed.dir}));
        assert_eq!(found["boundTo"], json!([renewed.bundle]));
        nothing_is_left(&renewed.daemon.home);
        assert_eq!(renewed.files().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_by_another_person_is_refused_unless_allowed() {
    for recipe in ["pipe", "pty"] {
        let renewed = Renewed::new(fake::home(HAPPY)).await;
        std::fs::write(renewed.dir.join("credentials.json"), ENDED).unwrap();
        fake::write_script(&renewed.daemon.home, &as_bob());
        let before = renewed.files();
        let id = renewed.start(recipe, false).await;
        renewed.prompted(&id).await;
        renewed.paste(&id).await;
        let ended = renewed.daemon.ended(&id).await;
        assert_eq!(ended["errorKind"], "identity_mismatch", "{ended}");
        assert_eq!(renewed.files(), before);
        assert_eq!(renewed.account().await["email"], "ann@fake.test");

        let id = renewed.start(recipe, true).await;
        renewed.prompted(&id).await;
        renewed.paste(&id).await;
        let done = renewed.daemon.ended(&id).await;
        assert_eq!((&done["status"], &done["accountId"]), (&json!("success"), &renewed.account), "{done}");
        let file = read(&renewed.dir.join("credentials.json"));
        assert_eq!((&file["email"], &file["theme"]), (&json!("bob@fake.test"), &json!("dark")));
        let found = renewed.account().await;
        assert_eq!((&found["email"], &found["subject"]), (&json!("bob@fake.test"), &json!("person-2")));
        nothing_is_left(&renewed.daemon.home);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_fails_when_credentials_file_cannot_be_replaced() {
    let renewed = Renewed::new(fake::home(HAPPY)).await;
    let id = renewed.start("pipe", true).await;
    renewed.prompted(&id).await;
    let file = renewed.dir.join("credentials.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    renewed.paste(&id).await;
    let ended = renewed.daemon.ended(&id).await;
    assert_eq!((&ended["status"], &ended["errorKind"]), (&json!("failed"), &json!("storage")), "{ended}");
    assert!(file.is_dir());
    nothing_is_left(&renewed.daemon.home);
}

/// Whenever the daemon is killed, the next start finds either the old login or the new one, complete. The session's row
/// says which.
#[tokio::test(flavor = "multi_thread")]
async fn renewal_leaves_old_or_new_login_complete_when_daemon_is_killed() {
    let mut renewed = Renewed::new(fake::home(HAPPY)).await;
    let file = renewed.dir.join("credentials.json");
    for moment in ["running", "placed", "placed", "pasted", "placed", "renewed", "placed"] {
        std::fs::write(&file, OLD).unwrap();
        let id = renewed.start("pipe", true).await;
        renewed.prompted(&id).await;
        if moment != "running" {
            renewed.paste(&id).await;
        }
        let planned = renewed.daemon.home.dir("data/identities/.renewals").join(&id).join("plan.json");
        let deadline = Instant::now() + PATIENCE;
        while match moment {
            "placed" => !planned.exists() && std::fs::read_to_string(&file).unwrap() == OLD,
            "renewed" => std::fs::read_to_string(&file).unwrap() == OLD,
            _ => false,
        } {
            assert!(Instant::now() < deadline, "{moment}");
            std::thread::yield_now();
        }
        let daemon = renewed.daemon.kill().start();
        let session = daemon.ended(&id).await;
        let text = std::fs::read_to_string(&file).unwrap();
        if session["status"] == "success" {
            assert!(text.contains("planted-token-access-") && text.contains("dark"), "{moment}: {text}");
        } else {
            assert_eq!((&session["errorKind"], text.as_str()), (&json!("daemon_restarted"), OLD), "{moment}");
        }
        assert_ne!((moment, &session["status"]), ("running", &json!("success")));
        nothing_is_left(&daemon.home);
        assert_eq!(left_over(&id), Vec::<u32>::new());
        renewed.daemon = daemon;
        assert_eq!(renewed.files().len(), 2, "{moment}");
        let found = renewed.daemon.call("account.refreshstatus", json!({"accountId": renewed.account})).await;
        assert_eq!((&found["status"], &found["email"]), (&json!("valid"), &json!("ann@fake.test")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_keeps_login_refreshed_by_agent_when_cancelled() {
    let renewed = Renewed::new(fake::home(HAPPY)).await;
    let id = renewed.start("pipe", true).await;
    renewed.prompted(&id).await;
    let file = renewed.dir.join("credentials.json");
    let refreshed = OLD.replace("old", "refreshed");
    std::fs::write(&file, &refreshed).unwrap();
    renewed.daemon.call("auth.cancel", json!({"sessionId": id})).await;
    assert_eq!(renewed.daemon.ended(&id).await["errorKind"], "cancelled");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), refreshed);
    assert_eq!(renewed.account().await["status"], "valid");
}

/// A login that cannot be moved is made in its place. If a failed one has damaged the old login, the account says so.
#[tokio::test(flavor = "multi_thread")]
async fn renewal_runs_in_place_when_login_cannot_be_moved() {
    let home = fake::home(HAPPY);
    let path = home.dir("config/providers.d/fake.toml");
    let entry = std::fs::read_to_string(&path).unwrap();
    let entry = entry.replace("history =", "keychain = [\"linux\", \"macos\"]\nhistory =");
    std::fs::write(&path, entry).unwrap();
    let renewed = Renewed::new(home).await;
    // The file changes as in an agent's refresh, which is no new login.
    let refreshed = "{\"access\":\"{now_us}\",\"email\":\"ann@fake.test\",\"id\":\"person-1\"}";
    for (written, status) in [(refreshed, "valid"), ("{\"half\":1}", "needs_reauth")] {
        let script = format!("dir-var FAKE_HOME\nwrite credentials.json {written}\nexit 1\n");
        fake::write_script(&renewed.daemon.home, &script);
        let id = renewed.start("pipe", true).await;
        assert_eq!(renewed.daemon.ended(&id).await["errorKind"], "cli_exited");
        let found = renewed.account().await;
        assert_eq!((&found["status"], &found["evidence"]), (&json!(status), &json!("file")), "{found}");
    }
    let found = renewed.account().await;
    assert!(
        found["nextStep"]["command"].as_str().unwrap().starts_with("srvd login fake --bundle "),
        "{found}"
    );
}
