//! `srvd audit` beside a running daemon and after a daemon has stopped.

use std::io::{Read as _, Write as _};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Daemon, Home};

const KEY: &str = "sk-proj-planted-secret-0123456789abcdefghij";

fn audit(home: &Home, args: &[&str]) -> Output {
    home.run(&[&["audit"], args].concat())
}

pub(crate) fn rows(home: &Home) -> Vec<Value> {
    let output = audit(home, &["--json", "--verify", "--limit", "1000"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("planted"), "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let rows = document["rows"].as_array().unwrap().clone();
    assert_eq!(document["check"]["holds"], true);
    assert_eq!(document["check"]["rows"], rows.len());
    rows
}

/// Returns actor, action and outcome of each row from the client's first row on.
fn told(rows: &[Value]) -> Vec<[&str; 3]> {
    let told = rows.iter().map(|row| ["actor", "action", "outcome"].map(|name| row[name].as_str().unwrap()));
    told.skip_while(|[actor, ..]| *actor == "srvd").collect()
}

/// Returns the actor name that the log gives this test on the Unix socket.
fn unix() -> String {
    format!("unix:{}", rustix::process::geteuid().as_raw())
}

async fn with_a_key(daemon: &Daemon) -> String {
    let params = json!({
        "providerId": "openai", "bundleName": "Work", "apiKey": KEY, "accountName": "Key", "validate": false,
    });
    let added = daemon.call("auth.submitapikey", params).await;
    added["bundleId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_records_client_calls_and_detects_a_changed_row() {
    let daemon = Home::new().start();
    let bundle = with_a_key(&daemon).await;
    assert_eq!(rows(&daemon.home).last().unwrap()["action"], "api_key.save");
    daemon.call("launch.resolve", json!({"bundleId": bundle})).await;
    daemon.call("launch.resolve", json!({"bundleId": bundle, "dryRun": true})).await;
    daemon.refused("launch.resolve", json!({"bundleId": "nowhere"})).await;
    daemon.refused("launch.resolve", json!({"bundleId": "../planted"})).await;
    daemon.call("bundle.delete", json!({"bundleId": bundle})).await;

    let (status, home) = daemon.stop();
    assert!(status.success());
    let rows = rows(&home);
    // Launches are written separately, so their order relative to the changes is not fixed.
    let (launches, changes): (Vec<_>, Vec<_>) =
        told(&rows).into_iter().partition(|[_, action, _]| *action == "launch.resolve");
    let whoever = |told: Vec<[&str; 3]>| {
        assert!(told.iter().all(|[actor, ..]| actor == &unix()), "{told:?}");
        told.into_iter().map(|[_, action, outcome]| format!("{action} {outcome}")).collect::<Vec<_>>()
    };
    assert_eq!(
        whoever(launches),
        [
            "launch.resolve ok",
            "launch.resolve ok",
            "launch.resolve not_found",
            "launch.resolve invalid_input"
        ]
    );
    assert_eq!(
        whoever(changes),
        ["bundle.create ok", "api_key.save ok", "account.delete ok", "bundle.delete ok"]
    );
    let launch: Vec<_> = rows.iter().filter(|row| row["action"] == "launch.resolve").collect();
    assert!(launch[0]["subject"].as_str().unwrap().starts_with(&format!("{bundle} ")), "{}", launch[0]);
    assert_eq!(launch[1]["detail"], "dry run");
    assert_eq!((&launch[2]["subject"], &launch[3]["subject"]), (&json!("nowhere"), &json!("")));

    let table = audit(&home, &["--since", "1h", "--limit", "2"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.lines().count() == 3 && table.starts_with("TIME "), "{table}");
    assert_eq!(audit(&home, &["--since", "yesterday"]).status.code(), Some(64));

    // The file is edited by hand.
    let path = home.dir("data/srvd.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(12).rposition(|window| window == b"api_key.save").unwrap();
    bytes[at..at + 12].copy_from_slice(b"api_key.Save");
    std::fs::write(&path, bytes).unwrap();
    let broken = audit(&home, &["--verify"]);
    assert_eq!(broken.status.code(), Some(1));
    let seq = rows.iter().find(|row| row["action"] == "api_key.save").unwrap()["seq"].clone();
    let said = String::from_utf8(broken.stderr).unwrap();
    assert!(said.contains(&format!("the audit log is broken at row {seq}: ")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_row_names_the_transport_of_its_caller() {
    let daemon = Home::new().start();
    let bundle = with_a_key(&daemon).await;
    daemon.call("launch.resolve", json!({"bundleId": bundle})).await;
    let (address, token) = daemon.tcp();
    let call = |method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = format!(
            "POST /rpc HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("\"result\""), "{answer}");
    };
    call("launch.resolve", json!({"bundleId": bundle}));
    call("bundle.create", json!({"name": "Over TCP"}));

    let (_, home) = daemon.stop();
    let rows = rows(&home);
    let of = |actor: &str, action: &str| {
        rows.iter().filter(|row| row["actor"] == actor && row["action"] == action).count()
    };
    for actor in [unix().as_str(), "tcp"] {
        assert_eq!((of(actor, "launch.resolve"), of(actor, "bundle.create")), (1, 1), "{actor}: {rows:?}");
    }
    assert_eq!((of(&unix(), "api_key.save"), of("tcp", "api_key.save")), (1, 0));
}

#[test]
fn audit_fails_when_the_database_is_missing_or_the_key_is_wrong() {
    let home = Home::new();
    let none = audit(&home, &[]);
    assert_eq!(none.status.code(), Some(73), "{none:?}");
    assert!(!home.dir("data/srvd.db").exists());
    assert!(home.run(&["--migrate-only"]).status.success());
    assert!(audit(&home, &["--verify"]).status.success());
    std::fs::write(home.dir("config/encryption.key"), "not-the-key-0123456789abcdef-0123456789").unwrap();
    assert_eq!(audit(&home, &[]).status.code(), Some(78));
}
