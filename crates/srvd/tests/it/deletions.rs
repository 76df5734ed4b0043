//! The files that are removed with an account or a bundle, those that stay, and the state after a crash in between.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use identity_store::History;
use serde_json::{Value, json};

use crate::logins::log_in;
use crate::support::fake::{self, HAPPY, PROVIDER};
use crate::support::{Daemon, Home, files_below, left_over, store};

/// A login whose directory contains the user's work and a link to a directory that must survive.
struct Doomed {
    daemon: Daemon,
    bundle: Value,
    account: Value,
    dir: PathBuf,
    precious: PathBuf,
}

impl Doomed {
    async fn new(home: Home) -> Self {
        let daemon = home.start();
        let done = log_in(&daemon, json!({})).await;
        let (bundle, account) = (done["bundleId"].clone(), done["accountId"].clone());
        let dir = daemon.home.dir("data/identities").join(bundle.as_str().unwrap()).join("fake");
        let precious = daemon.home.dir("home/precious");
        crate::support::private_directory(&precious);
        std::fs::write(precious.join("photo"), "").unwrap();
        symlink(&precious, dir.join("link")).unwrap();
        std::fs::create_dir(dir.join("sessions")).unwrap();
        std::fs::write(dir.join("sessions/talk"), "").unwrap();
        Self { daemon, bundle, account, dir, precious }
    }

    fn left(&self) -> Vec<PathBuf> {
        assert!(self.precious.join("photo").exists(), "links are not followed");
        files_below(&self.daemon.home.dir("data/identities"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_deletion_keeps_history_unless_told_to_remove_it() {
    for (keep, outcome) in [(None, "kept_history"), (Some(true), "kept_history"), (Some(false), "removed")] {
        let doomed = Doomed::new(fake::home(HAPPY)).await;
        let mut params = json!({"bundleId": doomed.bundle});
        if let Some(keep) = keep {
            params["keepHistory"] = keep.into();
        }
        let gone = doomed.daemon.call("bundle.delete", params).await;
        assert_eq!(
            gone,
            json!({"deleted": true, "accountsDeleted": 1, "instancesAffected": 0,
                   "cleanup": [{"path": doomed.dir, "outcome": outcome}]})
        );
        let talk = doomed.dir.join("sessions/talk");
        let expected = if outcome == "removed" { vec![] } else { vec![talk] };
        assert_eq!(doomed.left(), expected, "{keep:?}");
        assert_eq!(doomed.dir.exists(), outcome != "removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_deletion_removes_bindings_and_counts_affected_instances() {
    let doomed = Doomed::new(fake::home(HAPPY)).await;
    let daemon = &doomed.daemon;
    for _ in 0..2 {
        let agent = json!({"definitionId": "agent", "bundleId": doomed.bundle});
        daemon.call("instance.create", agent).await;
    }
    // A login in progress in that bundle ends first.
    fake::write_script(&daemon.home, "out https://login.fake.test/x\nhang\n");
    let again = json!({"providerId": PROVIDER, "intoBundleId": doomed.bundle, "force": true});
    let started = daemon.call("auth.start", again).await;
    let session = started["sessionId"].as_str().unwrap();
    daemon.session(session, |session| session["status"] == "url-available").await;
    let gone = daemon.call("account.delete", json!({"accountId": doomed.account})).await;
    assert_eq!(
        gone,
        json!({"deleted": true, "unboundFrom": [doomed.bundle], "instancesAffected": 2,
               "cleanup": [{"path": doomed.dir, "outcome": "kept_history"}]})
    );
    assert_eq!(daemon.ended(session).await["errorKind"], "cancelled");
    assert_eq!(left_over(session), Vec::<u32>::new());
    assert_eq!(doomed.left(), [doomed.dir.join("sessions/talk")]);
    assert_eq!(daemon.call("bundle.get", json!({"bundleId": doomed.bundle})).await["bindings"], json!([]));
}

/// The session of a login whose bundle is deleted says so, and leaves no directory.
#[tokio::test(flavor = "multi_thread")]
async fn login_ends_with_the_reason_when_its_bundle_is_deleted() {
    let daemon = fake::home("out https://login.fake.test/x\nhang\n").start();
    let bundle = daemon.call("bundle.create", json!({"name": "Box"})).await["id"].clone();
    let started = daemon.call("auth.start", json!({"providerId": PROVIDER, "intoBundleId": bundle})).await;
    let session = started["sessionId"].as_str().unwrap();
    daemon.session(session, |session| session["status"] == "url-available").await;
    daemon.call("bundle.delete", json!({"bundleId": bundle})).await;
    let ended = daemon.ended(session).await;
    assert_eq!(
        (&ended["errorKind"], &ended["error"]),
        (&json!("cancelled"), &json!("the login was cancelled: its bundle was deleted"))
    );
    assert_eq!(left_over(session), Vec::<u32>::new());
    let gone = daemon.home.dir("data/identities").join(bundle.as_str().unwrap());
    crate::support::until("the directory is removed", || !gone.exists());
}

/// A login that the user has removed is not taken over again from the user's own directory at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn removed_login_is_not_taken_over_again_at_the_next_boot() {
    let doomed = Doomed::new(fake::home(HAPPY)).await;
    let own = doomed.daemon.home.dir("home/.fake");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("credentials.json"), r#"{"access":"own","email":"ann@fake.test"}"#).unwrap();
    doomed.daemon.call("account.delete", json!({"accountId": doomed.account})).await;
    let (_, home) = doomed.daemon.stop();
    let daemon = home.start();
    assert_eq!(daemon.call("account.list", json!({})).await, json!({"accounts": [], "corrupt": []}));
    assert_eq!(daemon.refused("bundle.get", json!({"bundleId": "default"})).await.0, 1001);
}

/// The daemon ended after the rows were deleted and before the directories were.
#[tokio::test(flavor = "multi_thread")]
async fn boot_removes_directories_that_a_crash_left() {
    for (history, kept) in [(History::Keep, 1), (History::Remove, 0)] {
        let doomed = Doomed::new(fake::home(HAPPY)).await;
        let (dir, precious, bundle) = (doomed.dir, doomed.precious, doomed.bundle);
        let home = doomed.daemon.kill();
        let below = home.rows_deleted(&bundle, history).await;
        assert_eq!(below, std::slice::from_ref(&dir));
        assert!(dir.join("credentials.json").exists());
        let daemon = home.start();
        assert_eq!(files_below(&daemon.home.dir("data/identities")).len(), kept, "{history:?}");
        assert!(precious.join("photo").exists());
        assert_eq!(dir.exists(), kept > 0);
        let (_, home) = daemon.stop();
        let store = store(&home).await;
        assert_eq!(store.leftovers().await.unwrap(), []);
        store.close().await;
    }
}

impl Home {
    /// Deletes a bundle's rows as a daemon that ends right afterwards. Returns the directories that are recorded for
    /// removal.
    async fn rows_deleted(&self, bundle: &Value, history: History) -> Vec<PathBuf> {
        let store = store(self).await;
        let bundle = bundle.as_str().unwrap().parse().unwrap();
        let gone = store.delete_bundle(&bundle, history, crate::support::now()).await.unwrap();
        store.close().await;
        gone.leftovers.into_iter().map(|leftover| leftover.dir).collect()
    }
}
