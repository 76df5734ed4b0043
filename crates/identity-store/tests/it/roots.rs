//! References to directories, which are stored relative to the data directory and the home.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity_store::{DestinationBundle, History, LoginCredential, Roots, SecretRef, Store};

use crate::adopt::own;
use crate::harness::{Fixture, NOW, bundle_id, keyring, login, on_both, provider};

on_both![
    directory_is_stored_relative_and_read_below_the_roots_of_today,
    absolute_references_are_stored_relative_by_one_step,
    adopted_directory_is_recognised_by_a_later_login_and_adoption,
    leftover_of_an_earlier_version_is_found_and_forgotten,
];

/// Opens another store on the same database, with these roots.
async fn rooted(f: &Fixture, data: &str, home: &str) -> Store {
    let options = f.place.options(Arc::new(|_| {})).rooted(Roots::new(data, home, home));
    Store::open(options, keyring("one")).await.unwrap()
}

fn nowhere(_: &str, _: &Path) -> Option<PathBuf> {
    None
}

fn dir_of(reference: &SecretRef) -> (&str, bool) {
    match reference {
        SecretRef::ConfigDir { dir, adopted } => (dir.to_str().unwrap(), *adopted),
        other => panic!("{other:?}"),
    }
}

async fn stored(f: &Fixture) -> Vec<String> {
    f.place.texts("SELECT secret_ref FROM accounts ORDER BY provider").await
}

async fn directory_is_stored_relative_and_read_below_the_roots_of_today(f: Fixture) {
    f.bundle("One").await;
    let store = rooted(&f, "/d", "/h").await;
    let target = DestinationBundle::Existing(bundle_id("one"));
    let mut save = login(target, "a@x");
    save.credential = LoginCredential::Directory("/d/identities/one/codex".into());
    let account = store.save_login(save).await.unwrap().account;
    store.adopt_logins(vec![own("claude", "/h/.claude", "c@x")], NOW).await.unwrap();
    let expected = [
        r#"{"backend":"config_dir","dir":"~/.claude","adopted":true}"#,
        r#"{"backend":"config_dir","dir":"identities/one/codex","adopted":false}"#,
    ];
    assert_eq!(stored(&f).await, expected);

    let moved = rooted(&f, "/moved/d", "/moved/h").await;
    let found = moved.account(&account).await.unwrap();
    let dir = "/moved/d/identities/one/codex";
    assert_eq!(dir_of(&found.secret_ref), (dir, false));
    assert_eq!(moved.directory_owner(Path::new(dir)).await.unwrap(), Some(account.clone()));
    assert_eq!(moved.directory_owner(Path::new("/moved/d/identities/two/codex")).await.unwrap(), None);
    let all = moved.accounts(identity_store::AccountFilter::default()).await.unwrap().accounts;
    let dirs: Vec<_> = all.iter().map(|account| dir_of(&account.secret_ref).0).collect();
    assert_eq!(dirs.len(), 2);
    assert!(dirs.contains(&"/moved/h/.claude") && dirs.contains(&dir), "{dirs:?}");
    let held = moved.credentials(&bundle_id("one"), None).await.unwrap().held;
    assert_eq!(dir_of(&held[0].account.secret_ref), (dir, false));
    let bound = moved.bound_account(&bundle_id("one"), &provider("codex")).await.unwrap().unwrap();
    assert_eq!(dir_of(&bound.secret_ref), (dir, false));
    // A check compares the account with the one that it has read.
    let report = identity_store::StatusReport {
        status: identity_store::Status::Invalid,
        reason: None,
        evidence: identity_store::Evidence::File,
        checked_at: Some(NOW),
        expires_at: None,
        login_deadline_at: None,
    };
    let confirmed = moved.confirm_status(&found, report, NOW).await.unwrap().unwrap();
    assert_eq!(dir_of(&confirmed.secret_ref), (dir, false));
    let deleted = moved.delete_account(&account, NOW).await.unwrap();
    assert_eq!(deleted.leftover.unwrap().dir, Path::new(dir));
    assert_eq!(moved.leftovers().await.unwrap()[0].dir, Path::new(dir));
    for store in [store, moved] {
        store.close().await;
    }
}

async fn absolute_references_are_stored_relative_by_one_step(f: Fixture) {
    f.bundle("One").await;
    f.login("one", "a@x").await;
    let logins = [
        own("claude", "/h/.claude", "c@x"),
        own("gemini", "/h", "g@x"),
        own("kimi", "/work/kimi", "k@x"),
        own("pi", "/gone/.pi", "p@x"),
    ];
    f.store.adopt_logins(logins.into(), NOW).await.unwrap();
    // Without roots nothing changes.
    assert_eq!(f.store.anchor_directories(&nowhere, NOW).await.unwrap(), 0);
    let store = rooted(&f, "/d", "/h").await;
    let moved = |provider: &str, dir: &Path| {
        (provider == "pi" && dir == Path::new("/gone/.pi")).then(|| PathBuf::from("/h/.pi"))
    };
    assert_eq!(store.anchor_directories(&moved, NOW).await.unwrap(), 4);
    let dirs: Vec<String> = stored(&f).await;
    for dir in ["~/.claude", "identities/x/codex", "~", "/work/kimi", "~/.pi"] {
        let text = format!(r#""dir":"{dir}""#);
        assert!(dirs.iter().any(|stored| stored.contains(&text)), "{dir} in {dirs:?}");
    }
    assert_eq!(store.anchor_directories(&moved, NOW).await.unwrap(), 0);
    store.close().await;
}

async fn adopted_directory_is_recognised_by_a_later_login_and_adoption(f: Fixture) {
    let store = rooted(&f, "/d", "/h").await;
    let first = store.adopt_logins(vec![own("codex", "/h/.codex", "a@x")], NOW).await.unwrap();
    let account = first.outcomes[0].as_ref().unwrap().account.clone();
    let default = identity_store::BundleId::default_bundle();
    // A login in place keeps the mark of the user's own directory.
    let mut save = login(DestinationBundle::Existing(default.clone()), "a@x");
    save.credential = LoginCredential::Directory("/h/.codex".into());
    assert_eq!(store.save_login(save).await.unwrap().account, account);
    assert_eq!(dir_of(&store.account(&account).await.unwrap().secret_ref), ("/h/.codex", true));
    // The same directory under another home is the same account.
    store.unbind(&default, &provider("codex"), NOW).await.unwrap();
    let moved = rooted(&f, "/d", "/moved").await;
    let again = moved.adopt_logins(vec![own("codex", "/moved/.codex", "a@x")], NOW).await.unwrap();
    let again = again.outcomes[0].as_ref().unwrap();
    assert_eq!((&again.account, again.reused), (&account, true));
    for store in [store, moved] {
        store.close().await;
    }
}

async fn leftover_of_an_earlier_version_is_found_and_forgotten(f: Fixture) {
    f.bundle("One").await;
    let account = f.login("one", "a@x").await;
    f.store.delete_bundle(&bundle_id("one"), History::Remove, NOW).await.unwrap();
    assert!(f.store.account(&account.id).await.is_err());
    let store = rooted(&f, "/moved/d", "/h").await;
    let dir = Path::new("/moved/d/identities/x/codex");
    assert_eq!(store.leftovers().await.unwrap()[0].dir, dir);
    assert_eq!(store.anchor_directories(&nowhere, NOW).await.unwrap(), 1);
    let left = store.leftovers().await.unwrap();
    assert_eq!((left.len(), left[0].dir.as_path(), left[0].history), (1, dir, History::Remove));
    store.forget_leftover(&left[0], NOW).await.unwrap();
    assert_eq!(store.leftovers().await.unwrap(), []);
    store.close().await;
}
