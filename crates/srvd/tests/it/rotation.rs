//! `srvd key rotate`, interrupted at any moment. The key files on disk always open every secret, and in the end the new
//! key alone does.

#![expect(clippy::print_stdout, reason = "seeds and figures are for whoever runs the tests")]

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Instant;

use identity_store::{
    AccountId, DatabaseUrl, DestinationBundle, Evidence, Key, KeyPlace, Keyring, NewBundle, SaveApiKey,
    Status, Store, StoreOptions,
};
use secrecy::ExposeSecret as _;

use crate::support::{Home, KEY};

const SECRETS: usize = 450;
/// Number of runs that are killed.
const KILLS: usize = 24;

/// Opens the database as a daemon does that starts with the keys on disk.
async fn open(home: &Home) -> Store {
    let key = Key::parse_file_bytes(&std::fs::read(home.dir("config/encryption.key")).unwrap()).unwrap();
    let old = std::fs::read_to_string(home.dir("config/encryption.keys.old")).unwrap_or_default();
    let old = old.lines().filter(|line| !line.is_empty()).map(|line| Key::parse(line.as_bytes()).unwrap());
    let old = old.filter(|old| old.id() != key.id()).collect();
    open_with(home, Keyring::with_old(key, old)).await.unwrap()
}

async fn open_with(home: &Home, keyring: Keyring) -> Result<Store, identity_store::OpenError> {
    let url = DatabaseUrl::sqlite(home.dir("data/srvd.db"));
    Store::open(StoreOptions::new(url, Arc::new(|_| {}), crate::support::now()), keyring).await
}

async fn fill(home: &Home, secrets: usize) -> Vec<AccountId> {
    let store = open(home).await;
    let new = NewBundle { id: "one".parse().unwrap(), name: "One".into(), description: String::new() };
    let bundle = store.create_bundle(new, 1).await.unwrap().id;
    let mut accounts = Vec::new();
    for number in 0..secrets {
        let save = SaveApiKey {
            target: DestinationBundle::Existing(bundle.clone()),
            provider: format!("p{number}").parse().unwrap(),
            provider_name: "P".into(),
            account_name: "Key".into(),
            key: KeyPlace::Sealed(format!("sk-planted-{number}").into()),
            base_url: None,
            email: None,
            status: Status::Valid,
            status_reason: None,
            evidence: Evidence::Live,
            checked_at: None,
            now: 1,
        };
        accounts.push(store.save_api_key(save).await.unwrap().account);
    }
    store.close().await;
    accounts
}

async fn assert_opens(store: Store, accounts: &[AccountId]) {
    for (number, account) in accounts.iter().enumerate() {
        let secret = store.open_secret(account).await.unwrap();
        assert_eq!(secret.expose_secret(), format!("sk-planted-{number}"));
    }
    store.close().await;
}

fn rotate(home: &Home) -> Command {
    home.command(&["key", "rotate"])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_loses_no_secret_when_killed_at_any_moment() {
    let home = Home::new();
    let accounts = fill(&home, SECRETS).await;
    let started = Instant::now();
    succeeded(rotate(&home).output().unwrap());
    // The moments are drawn from the time of a complete run, so that they are spread over all of it.
    let whole = started.elapsed();
    let (mut cut, mut under_way) = (0, 0);
    let mut whole_runs = 1;
    while cut < KILLS {
        let mut child = rotate(&home).stderr(std::process::Stdio::null()).spawn().unwrap();
        let share = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
        std::thread::sleep(whole * share / 255);
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            whole_runs += 1;
        } else {
            cut += 1;
        }
        under_way += usize::from(home.dir("config/encryption.keys.old").exists());
        assert_opens(open(&home).await, &accounts).await;
    }
    println!(
        "{cut} runs were killed, {under_way} with a rotation under way; {whole_runs} were whole ({whole:?})"
    );
    let done = succeeded(rotate(&home).output().unwrap());
    assert!(text(&done.stdout).contains("secrets were re-encrypted"), "{done:?}");

    assert!(!home.dir("config/encryption.keys.old").exists());
    let bytes = std::fs::read(home.dir("config/encryption.key")).unwrap();
    let key = Key::parse_file_bytes(&bytes).unwrap();
    assert_opens(open_with(&home, Keyring::from_key(key)).await.unwrap(), &accounts).await;
    let first = Keyring::from_key(Key::parse(KEY.as_bytes()).unwrap());
    assert!(open_with(&home, first).await.is_err());
    let said = [done.stdout, done.stderr].concat();
    assert!(!text(&said).contains("base64:") && !text(&said).contains("planted"));
    // A daemon starts with the rotated database.
    home.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_with_an_environment_key_requires_the_new_and_the_old_key() {
    let home = Home::new();
    let accounts = fill(&home, 3).await;
    std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
    let new = "a-new-key-0123456789abcdef-0123456789";
    let refused = rotate(&home).env("OAUTH_ENCRYPTION_KEY", KEY).output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
    assert!(
        text(&refused.stderr).contains("OAUTH_ENCRYPTION_KEY, which srvd does not change"),
        "{refused:?}"
    );

    let without = rotate(&home).env("OAUTH_ENCRYPTION_KEY", new).output().unwrap();
    assert_eq!(without.status.code(), Some(78), "{without:?}");
    let done = rotate(&home)
        .env("OAUTH_ENCRYPTION_KEY", new)
        .env("OAUTH_ENCRYPTION_KEYS_OLD", format!("{KEY},another-key-0123456789abcdef-0123456789"))
        .output()
        .unwrap();
    let done = succeeded(done);
    assert!(text(&done.stdout).starts_with("4 secrets were re-encrypted with the key "), "{done:?}");
    assert!(text(&done.stderr).contains("Remove the old key from OAUTH_ENCRYPTION_KEYS_OLD"), "{done:?}");
    let key = Keyring::from_key(Key::parse(new.as_bytes()).unwrap());
    assert_opens(open_with(&home, key).await.unwrap(), &accounts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_is_refused_before_any_change_when_daemon_runs_or_key_is_wrong() {
    let daemon = Home::new().start();
    let refused = rotate(&daemon.home).output().unwrap();
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let (_, home) = daemon.stop();
    std::fs::write(home.dir("config/encryption.key"), "not-the-key-0123456789abcdef-0123456789").unwrap();
    let refused = rotate(&home).output().unwrap();
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(text(&refused.stderr).contains("wrong key"), "{refused:?}");
    assert!(!home.dir("config/encryption.keys.old").exists());
    std::fs::write(home.dir("config/encryption.key"), KEY).unwrap();
    home.start();
}
