//! `srvd export` beside a running daemon, and `srvd import` into another daemon's database.

use serde_json::json;

use crate::support::program::{Ended, Program};
use crate::support::{Home, files_below};

const SECRET: &str = "sk-proj-planted-secret-0123456789abcdefghij";
const PASSPHRASE: &str = "correct horse battery staple";

async fn with_passphrase(home: &Home, args: &[&str], passphrase: &str) -> Ended {
    let mut program = Program::start(home.command(&[args, &["--passphrase-stdin"]].concat()));
    program.types(passphrase).await;
    let ended = program.end().await;
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains("planted") && !said.contains("horse"), "{said}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_moves_to_another_machine_in_encrypted_export() {
    let daemon = Home::new().start();
    let params = json!({
        "providerId": "openai", "bundleName": "Work", "apiKey": SECRET, "accountName": "Key", "validate": false,
    });
    let bundle = daemon.call("auth.submitapikey", params).await["bundleId"].clone();
    let home = &daemon.home;
    let file = home.dir("work.age").display().to_string();
    let export = ["export", "--bundle", "work", "--output", &file];

    let short = with_passphrase(home, &export, "short").await;
    assert_eq!(short.code, Some(64), "{short:?}");
    let none = home.run(&export);
    assert_eq!(none.status.code(), Some(64), "{none:?}");
    let unknown = with_passphrase(home, &["export", "--bundle", "nowhere"], PASSPHRASE).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let done = with_passphrase(home, &export, PASSPHRASE).await;
    assert_eq!((done.code, done.stdout), (Some(0), format!("{file}\n")), "{}", done.stderr);
    let again = with_passphrase(home, &export, PASSPHRASE).await;
    assert_eq!(again.code, Some(73), "{again:?}");
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    let log = String::from_utf8(home.run(&["audit", "--json"]).stdout).unwrap();
    assert!(log.contains("\"bundle.export\"") && log.contains("\"cli\""), "{log}");

    // An import into the same database adds a second bundle. An import into an empty database restores the bundle as it
    // was.
    let running = with_passphrase(home, &["import", &file], PASSPHRASE).await;
    assert_eq!(running.code, Some(75), "{running:?}");
    let (_, home) = daemon.stop();
    let wrong = with_passphrase(&home, &["import", &file], "a wrong passphrase").await;
    assert_eq!(wrong.code, Some(74), "{wrong:?}");
    assert!(wrong.stderr.contains("the passphrase is wrong"), "{wrong:?}");
    let second = with_passphrase(&home, &["import", &file], PASSPHRASE).await;
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.stdout.starts_with("imported 1 accounts into the bundle \"Work 2\" ("), "{second:?}");

    let other = Home::new();
    let refused = with_passphrase(&other, &["import", &file], PASSPHRASE).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(!other.dir("data/srvd.db").exists());
    assert!(other.run(&["--migrate-only"]).status.success());
    let moved = with_passphrase(&other, &["import", &file], PASSPHRASE).await;
    let expect = format!("imported 1 accounts into the bundle \"Work\" ({})\n", bundle.as_str().unwrap());
    assert_eq!((moved.code, moved.stdout), (Some(0), expect), "{}", moved.stderr);
    let other = other.start();
    let launch = other.call("launch.resolve", json!({"bundleId": bundle})).await;
    assert_eq!(launch["set"]["OPENAI_API_KEY"], SECRET);
    for home in [&home, &other.home] {
        for file in files_below(&home.dir("")) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(10).any(|window| window == b"sk-proj-pl"), "{}", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn import_refuses_invalid_file_before_creating_database() {
    let home = Home::new();
    let file = home.dir("bad.age");
    std::fs::write(&file, "hello").unwrap();
    let refused = with_passphrase(&home, &["import", file.to_str().unwrap()], PASSPHRASE).await;
    assert_eq!(refused.code, Some(74), "{refused:?}");
    std::fs::File::create(&file).unwrap().set_len(17 * 1024 * 1024).unwrap();
    let large = with_passphrase(&home, &["import", file.to_str().unwrap()], PASSPHRASE).await;
    assert!(large.code == Some(74) && large.stderr.contains("too large"), "{large:?}");
    assert!(!home.dir("data/srvd.db").exists());
}
