//! Statuses that follow the files and the time without a request.

use std::path::{Path, PathBuf};

use rpc_engine::Subscription;
use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::planted;
use crate::support::{Daemon, Home, PATIENCE, event, store};

/// Creates a home with the fake provider, whose file contains times in milliseconds.
fn home() -> Home {
    let home = fake::home(HAPPY);
    let path = home.dir("config/providers.d/fake.toml");
    let entry = std::fs::read_to_string(&path).unwrap().replace(
        "refresh = \"/refresh\"\n",
        "refresh = \"/refresh\"\nexpires = { pointer = \"/ends\", unit = \"ms\" }\n\
         refresh-expires = { pointer = \"/dies\", unit = \"ms\" }\n",
    );
    std::fs::write(path, entry).unwrap();
    home
}

/// A daemon with one login, and the events about that login.
struct Watched {
    daemon: Daemon,
    bundle: String,
    account: String,
    file: PathBuf,
    events: Subscription,
}

impl Watched {
    async fn new() -> Self {
        let daemon = home().start();
        let done = log_in(&daemon, json!({})).await;
        let bundle = done["bundleId"].as_str().unwrap().to_owned();
        let account = done["accountId"].as_str().unwrap().to_owned();
        let file = daemon.home.dir("data/identities").join(&bundle).join("fake/credentials.json");
        let topics = [
            format!("identityaccounts:changed:{account}"),
            format!("identitybundlebindings:changed:{bundle}"),
        ];
        let events = daemon.client().await.subscribe(topics).await.unwrap();
        let watched = Self { daemon, bundle, account, file, events };
        watched.armed().await;
        watched
    }

    /// Ensures that the account is watched. The first check of an account sets its watch, and this request makes a
    /// check.
    async fn armed(&self) {
        assert_eq!(self.refresh().await["status"], "valid");
    }

    async fn refresh(&self) -> Value {
        self.daemon.call("account.refreshstatus", json!({"accountId": self.account})).await
    }

    async fn now(&self) -> Value {
        self.daemon.call("account.get", json!({"accountId": self.account})).await
    }

    /// Waits for events until the account has this status. Asks for the status only after an event.
    async fn becomes(&mut self, status: &str) -> Value {
        let topic = format!("identityaccounts:changed:{}", self.account);
        let follow = async {
            loop {
                event(&mut self.events, &topic).await;
                let found = self.daemon.call("account.get", json!({"accountId": self.account})).await;
                if found["status"] == status {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, follow).await.unwrap_or_else(|_| panic!("never {status}"))
    }

    /// Returns the path of the credential file relative to the home's root.
    fn relative(&self) -> PathBuf {
        self.file.strip_prefix(self.daemon.home.dir("")).unwrap().to_owned()
    }

    fn write(&self, text: &str) {
        replace(&self.file, text);
    }
}

/// Writes as most CLIs do: a new file beside the old one, and a rename.
fn replace(file: &Path, text: &str) {
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(fresh, file).unwrap();
}

const GOOD: &str = r#"{"access":"x","refresh":"y","email":"ann@fake.test","id":"person-1"}"#;

fn with_times(ends: i64, dies: i64, refresh: bool) -> String {
    let mut login: Value = serde_json::from_str(GOOD).unwrap();
    login["ends"] = ends.into();
    login["dies"] = dies.into();
    if !refresh {
        login.as_object_mut().unwrap().remove("refresh");
    }
    login.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn credential_file_change_updates_the_status_and_announces_the_bundle() {
    let mut watched = Watched::new().await;
    watched.write("{}");
    let bundle = format!("identitybundlebindings:changed:{}", watched.bundle);
    event(&mut watched.events, &bundle).await;
    let found = watched.becomes("needs_reauth").await;
    assert_eq!(
        (&found["evidence"], &found["statusReason"]),
        (&json!("file"), &json!("credentials.json holds no login: the file has no access token"))
    );
    assert_eq!(found["nextStep"]["command"], format!("srvd login fake --bundle {}", watched.bundle));
    watched.write(GOOD);
    let found = watched.becomes("valid").await;
    assert!(found.get("statusReason").is_none() && found.get("nextStep").is_none(), "{found}");

    watched.write(&GOOD.replace("ann@", "bob@"));
    let found = watched.becomes("invalid").await;
    assert_eq!(found["statusReason"], "its directory holds another person's login");
    let command = format!("srvd login fake --bundle {} --replace-person", watched.bundle);
    assert_eq!(found["nextStep"]["command"], command);
    assert_eq!(found["email"], "ann@fake.test");
    // The file is written in place.
    std::fs::write(&watched.file, GOOD).unwrap();
    watched.becomes("valid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_becomes_valid_again_when_its_file_or_directory_returns() {
    let mut watched = Watched::new().await;
    std::fs::remove_file(&watched.file).unwrap();
    let found = watched.becomes("needs_reauth").await;
    assert_eq!(found["statusReason"], "its directory no longer holds a login");
    watched.write(GOOD);
    watched.becomes("valid").await;

    let bundle = watched.file.ancestors().nth(2).unwrap().to_owned();
    for gone in [watched.file.parent().unwrap().to_owned(), bundle] {
        std::fs::remove_dir_all(&gone).unwrap();
        watched.becomes("needs_reauth").await;
        crate::support::private_directory(watched.file.parent().unwrap());
        watched.write(GOOD);
        watched.becomes("valid").await;
    }
    let aside = watched.file.parent().unwrap().with_file_name("aside");
    std::fs::rename(watched.file.parent().unwrap(), &aside).unwrap();
    watched.becomes("needs_reauth").await;
    std::fs::rename(&aside, watched.file.parent().unwrap()).unwrap();
    watched.becomes("valid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_unknown_when_its_credential_file_cannot_be_read() {
    let mut watched = Watched::new().await;
    let beside = |name: &str| watched.daemon.home.dir(name);
    let (elsewhere, link, fifo, huge) = (beside("elsewhere"), beside("link"), beside("fifo"), beside("huge"));
    std::fs::write(&elsewhere, GOOD).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    std::fs::File::create(&huge).unwrap().set_len(100 * 1024 * 1024).unwrap();
    for (what, reason) in [
        (
            link,
            "credentials.json is a symbolic link through which the CLI would overwrite another login; remove it and \
             log in again",
        ),
        (fifo, "credentials.json cannot be read: it is not a regular file"),
        (huge, "credentials.json cannot be read: it is larger than 1 MiB"),
    ] {
        std::fs::rename(what, &watched.file).unwrap();
        let found = watched.becomes("unknown").await;
        assert_eq!((&found["statusReason"], &found["evidence"]), (&json!(reason), &json!("file")));
        assert!(found.get("nextStep").is_none(), "{found}");
        watched.write(GOOD);
        watched.becomes("valid").await;
    }
    std::fs::remove_file(&watched.file).unwrap();
    std::fs::create_dir(&watched.file).unwrap();
    watched.becomes("unknown").await;
    std::fs::remove_dir(&watched.file).unwrap();
    watched.write(GOOD);
    watched.becomes("valid").await;

    watched.write("");
    assert_eq!(
        watched.becomes("unknown").await["statusReason"],
        "credentials.json cannot be read: not JSON at line 1"
    );
    watched.write(GOOD);
    watched.becomes("valid").await;

    // Root may read every file and may give a file away. Other users can be denied their own files.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&watched.file, Some(65_534), None).unwrap();
        let found = watched.becomes("unknown").await;
        assert_eq!(
            found["statusReason"],
            "credentials.json cannot be read: it belongs to another user (uid 65534)"
        );
    } else {
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o0);
        std::fs::set_permissions(&watched.file, closed).unwrap();
        watched.becomes("unknown").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_is_unknown_when_its_file_is_half_written() {
    use std::io::Write as _;
    let mut watched = Watched::new().await;
    let (first, second) = GOOD.split_at(20);
    let mut file = std::fs::File::create(&watched.file).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    // The file is incomplete for longer than the daemon waits, so the status is unknown. A new login is never
    // requested.
    let found = watched.becomes("unknown").await;
    assert_eq!(found["statusReason"], "credentials.json cannot be read: not JSON at line 1");
    file.write_all(second.as_bytes()).unwrap();
    drop(file);
    watched.becomes("valid").await;
    // A write that completes quickly is not noticed.
    let revision = watched.now().await["updatedAt"].clone();
    let mut file = std::fs::File::create(&watched.file).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    file.write_all(second.as_bytes()).unwrap();
    drop(file);
    assert_eq!(watched.refresh().await["status"], "valid");
    assert!(watched.now().await["updatedAt"].as_i64() >= revision.as_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn token_expiry_is_announced_when_it_comes() {
    let mut watched = Watched::new().await;
    let soon = crate::support::now() + 1500;
    watched.write(&with_times(soon, soon + 1000, true));
    let found = watched.becomes("valid").await;
    assert_eq!((&found["expiresAt"], &found["loginDeadlineAt"]), (&json!(soon), &json!(soon + 1000)));
    let found = watched.becomes("expired").await;
    assert!(found["checkedAt"].as_i64().unwrap() >= soon, "{found}");
    assert!(found.get("nextStep").is_none(), "{found}");
    let found = watched.becomes("needs_reauth").await;
    assert!(found["checkedAt"].as_i64().unwrap() >= soon + 1000, "{found}");
    assert_eq!(found["statusReason"], "its refresh token has expired");

    let soon = crate::support::now() + 1000;
    watched.write(&with_times(soon, 0, false));
    watched.becomes("valid").await;
    assert_eq!(watched.becomes("needs_reauth").await["statusReason"], "it has expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_checks_credential_files_when_it_restarts() {
    let watched = Watched::new().await;
    let (account, file) =
        (watched.account.clone(), watched.file.strip_prefix(watched.daemon.home.dir("")).unwrap().to_owned());
    let (_, home) = watched.daemon.stop();
    replace(&home.dir(file.to_str().unwrap()), "{}");
    let daemon = home.start();
    let topic = format!("identityaccounts:changed:{account}");
    let mut events = daemon.client().await.subscribe([topic.clone()]).await.unwrap();
    // Either the account has been checked already, or an event will announce the check.
    if daemon.call("account.get", json!({"accountId": account})).await["status"] == "valid" {
        event(&mut events, &topic).await;
    }
    assert_eq!(daemon.call("account.get", json!({"accountId": account})).await["status"], "needs_reauth");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_change_together_when_they_share_a_directory() {
    let watched = Watched::new().await;
    let (account, relative) = (watched.account.clone(), watched.relative());
    let (_, home) = watched.daemon.stop();
    let file = home.dir(relative.to_str().unwrap());
    let second = share(&home, file.parent().unwrap()).await;
    let daemon = home.start();
    let topics = [&account, &second].map(|id| format!("identityaccounts:changed:{id}"));
    for id in [&account, &second] {
        let found = daemon.call("account.refreshstatus", json!({"accountId": id})).await;
        assert_eq!(found["status"], "valid", "{found}");
    }
    let mut first_events = daemon.client().await.subscribe([topics[0].clone()]).await.unwrap();
    let mut second_events = daemon.client().await.subscribe([topics[1].clone()]).await.unwrap();
    replace(&file, "{}");
    event(&mut first_events, &topics[0]).await;
    event(&mut second_events, &topics[1]).await;
    for id in [&account, &second] {
        let found = daemon.call("account.get", json!({"accountId": id})).await;
        assert_eq!(found["status"], "needs_reauth", "{found}");
    }
}

/// Stores a second account that points at the directory of the first.
async fn share(home: &Home, dir: &Path) -> String {
    let store = store(home).await;
    let bundle = identity_store::BundleId::generate();
    let login = planted::row(&bundle, "fake", identity_store::LoginCredential::Directory(dir.to_owned()));
    let saved = store.save_login(login).await.unwrap();
    store.close().await;
    saved.account.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_is_watched_for_a_new_login_when_its_account_was_deleted() {
    let mut watched = Watched::new().await;
    watched.daemon.call("account.delete", json!({"accountId": watched.account})).await;
    let topic = format!("identityaccounts:changed:{}", watched.account);
    event(&mut watched.events, &topic).await;
    crate::support::private_directory(watched.file.parent().unwrap());
    watched.write(GOOD);
    // A new login into the same directory is possible and is watched again.
    let done = log_in(&watched.daemon, json!({"intoBundleId": watched.bundle})).await;
    assert_ne!(done["accountId"], watched.account);
    watched.account = done["accountId"].as_str().unwrap().to_owned();
    let topic = format!("identityaccounts:changed:{}", watched.account);
    watched.events = watched.daemon.client().await.subscribe([topic]).await.unwrap();
    watched.armed().await;
    watched.write("{}");
    watched.becomes("needs_reauth").await;
    let (code, _) = watched.daemon.refused("account.refreshstatus", json!({"accountId": "acc-none"})).await;
    assert_eq!(code, 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_refresh_returns_the_time_of_its_check() {
    let watched = Watched::new().await;
    let first = watched.refresh().await;
    let again = watched.refresh().await;
    assert_eq!((&again["status"], &again["evidence"]), (&json!("valid"), &json!("assumed")));
    assert!(again["checkedAt"].as_i64() >= first["checkedAt"].as_i64());
    assert!(first["checkedAt"].is_i64());
}
