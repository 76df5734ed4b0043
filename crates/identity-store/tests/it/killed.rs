//! A process that uses the database is killed at any moment: while it upgrades a database from before the authentication,
//! and while it writes. Nothing that was acknowledged is lost, and every row fits its authentication.
//!
//! The process is this test program again. The moments of the kills are spread over the time that a whole run takes; each
//! of them must hold, so none depends on the machine.

#![expect(clippy::disallowed_methods, reason = "the variables are for the tests' own processes")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use identity_store::maintenance::RowCheck;
use identity_store::{DatabaseKind, DatabaseUrl, DestinationBundle, Store, StoreOptions};
use secrecy::ExposeSecret as _;

use crate::grants::key;
use crate::harness::{Fixture, NOW, api_key, bundle_id, keyring, on_both, provider};

on_both![upgrade_is_finished_after_kills, acknowledged_writes_survive_kills];

/// The variables that tell this program that it is the process to kill.
const WORK: &str = "SRVD_TEST_KILLED_WORK";
const URL: &str = "SRVD_TEST_KILLED_URL";

/// The number of kills of each case on each database.
fn kills() -> u32 {
    std::env::var("SRVD_TEST_KILLS").map_or(5, |count| count.parse().unwrap())
}

fn start(f: &Fixture, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::process_that_is_killed", "--ignored", "--nocapture"])
        .env(WORK, work)
        .env(URL, &f.place.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does the work of the process to kill, and says on standard output what is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is started by the other tests of this file"]
async fn process_that_is_killed() {
    let (Ok(work), Ok(url)) = (std::env::var(WORK), std::env::var(URL)) else { return };
    let url: DatabaseUrl = url.parse().unwrap();
    let options = StoreOptions::new(url, std::sync::Arc::new(|_| {}), NOW);
    let store = Store::open(options, keyring("one")).await.unwrap();
    let say = |text: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\ndone {text}").unwrap();
        out.flush().unwrap();
    };
    say("open");
    let writes = if work == "write" { 1..u32::MAX } else { 1..1 };
    for number in writes {
        store.put_setting(&format!("s{number}"), "kept", NOW).await.unwrap();
        store.save_profile_key(key(&format!("u{number}"), "a1", &format!("sk-{number}"))).await.unwrap();
        say(&number.to_string());
    }
    store.close().await;
}

/// Kills the process at its next step. Returns what it had said by then.
fn kill(mut child: Child) -> Vec<String> {
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // A last line that was cut off is no acknowledgement.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| line.strip_prefix("done ")).map(str::to_owned).collect()
}

async fn upgrade_is_finished_after_kills(f: Fixture) {
    f.bundle("One").await;
    let save = api_key(DestinationBundle::Existing(bundle_id("one")), "sk-one");
    let account = f.store.save_api_key(save).await.unwrap().account;
    f.store.close().await;
    let mut whole = Duration::ZERO;
    for number in 0..=kills() {
        make_old(&f).await;
        let begun = Instant::now();
        let mut child = start(&f, "upgrade");
        if number == 0 {
            assert!(child.wait().unwrap().success());
            whole = begun.elapsed();
        } else {
            std::thread::sleep(whole * number / (kills() + 1));
            kill(child);
        }
        let store = f.place.open(keyring("one")).await.unwrap();
        assert_eq!(store.check_rows().await.unwrap(), RowCheck::default(), "kill {number}");
        assert!(store.database().counted);
        assert_eq!(store.open_secret(&account).await.unwrap().expose_secret(), "sk-one");
        assert_eq!(store.declined_providers().await.unwrap().len(), 3000);
        store.close().await;
    }
}

/// Takes the authentication away, and gives the database many rows.
async fn make_old(f: &Fixture) {
    f.place.undo_migrations_since(6).await;
    f.place
        .execute(
            "DELETE FROM service_settings WHERE key IN ('authentication', 'row_census');
             DELETE FROM tombstones;
             INSERT INTO tombstones (kind, subject, created_at)
                 WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 3000)
                 SELECT 'default_provider', 'p' || CAST(number AS TEXT), 1 FROM numbers",
        )
        .await;
}

async fn acknowledged_writes_survive_kills(f: Fixture) {
    f.store.close().await;
    for number in 0..kills() {
        let mut child = start(&f, "write");
        // The first write is awaited, so that every kill meets a process that writes.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        let begun = Instant::now();
        let until = Duration::from_millis(40) * number;
        for line in lines.by_ref() {
            let line = line.unwrap();
            said.extend(line.strip_prefix("done ").and_then(|text| text.parse::<u32>().ok()));
            if !said.is_empty() && begun.elapsed() >= until {
                break;
            }
        }
        child.kill().unwrap();
        said.extend(
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("done ")?.parse::<u32>().ok()),
        );
        child.wait().unwrap();
        let last = said.into_iter().max().unwrap();
        let store = f.place.open(keyring("one")).await.unwrap();
        assert_eq!(store.check_rows().await.unwrap(), RowCheck::default());
        assert_eq!(store.check_audit().await.unwrap().fault, None);
        for write in 1..=last {
            assert_eq!(
                store.setting(&format!("s{write}")).await.unwrap().as_deref(),
                Some("kept"),
                "{write}"
            );
            let user = format!("u{write}").parse().unwrap();
            let (agent, openai) = ("a1".parse().unwrap(), provider("openai"));
            let found = store.profile_credentials(&user, &agent, Some(&openai)).await.unwrap();
            assert_eq!(found.len(), 1, "{write}");
        }
        if f.place.kind == DatabaseKind::Sqlite {
            store.check_integrity().await.unwrap();
        }
        store.close().await;
    }
}
