//! A disk without space: writes are refused, deletions work, and the state is reported.

use std::process::Command;

use serde_json::{Value, json};

use crate::http::tcp;
use crate::support::namespace::inside;
use crate::support::{Daemon, Home, until};

/// Calls a method that may fail, and returns the data of the error.
async fn refused(daemon: &Daemon, method: &str, params: Value) -> Option<Value> {
    match daemon.client().await.call_raw(method, &params).await {
        Ok(_) => None,
        Err(rpc_engine::CallError::Rpc(error)) => Some(error.data.unwrap_or_default()),
        Err(other) => panic!("{method}: {other:?}"),
    }
}

fn readyz(daemon: &Daemon) -> u16 {
    tcp(daemon, "GET /readyz", &[("Host", "{host}")]).0
}

#[cfg(target_os = "linux")]
#[test]
fn deletion_works_and_readiness_is_denied_when_the_disk_is_full() {
    inside(async |_vendors| {
        let home = Home::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs"]).arg(home.dir("data"));
        assert!(mount.status().unwrap().success());
        let daemon = home.start();
        let key = json!({"providerId": "openai", "bundleName": "work", "apiKey": "sk-proj-planted-0123456789abcdef",
                         "accountName": "Key", "validate": false});
        let saved = daemon.call("auth.submitapikey", key.clone()).await;
        let kept = daemon.call("bundle.create", json!({"name": "kept"})).await;
        assert_eq!(readyz(&daemon), 200);
        until("the space for deletions is kept", || {
            std::fs::metadata(daemon.home.dir("data/ballast")).is_ok_and(|found| found.len() > 1_000_000)
        });
        let fill = daemon.home.dir("data/fill");
        let mut writer = std::fs::File::create(&fill).unwrap();
        while std::io::Write::write_all(&mut writer, &[0_u8; 512]).is_ok() {}
        // An open file would keep its space after it is removed.
        drop(writer);
        // The log of the database has some pages that are used again.
        let mut number = 0;
        let full = loop {
            let params = json!({"name": format!("b{number}"), "description": "d".repeat(200)});
            if let Some(data) = refused(&daemon, "bundle.create", params).await {
                break data;
            }
            number += 1;
            assert!(number < 20_000, "the disk never becomes full");
        };
        assert_eq!((&full["kind"], &full["reason"]), (&json!("store_unavailable"), &json!("full")), "{full}");
        until("the daemon is not ready", || readyz(&daemon) == 503);
        // Reads go on, and what is deleted makes room.
        assert_eq!(daemon.call("bundle.get", json!({"bundleId": kept["id"]})).await["name"], "kept");
        let deleted = daemon.call("account.delete", json!({"accountId": saved["accountId"]})).await;
        assert_eq!(deleted["deleted"], true, "{deleted}");
        let deleted = daemon.call("bundle.delete", json!({"bundleId": saved["bundleId"]})).await;
        assert_eq!(deleted["deleted"], true, "{deleted}");
        std::fs::remove_file(&fill).unwrap();
        until("the daemon is ready", || readyz(&daemon) == 200);
        daemon.call("auth.submitapikey", key).await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn boot_error_names_the_path_when_the_disk_is_full() {
    inside(async |_vendors| {
        let home = Home::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"]).arg(home.dir("data"));
        assert!(mount.status().unwrap().success());
        let failed = home.run(&["serve"]);
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(!failed.status.success(), "{said}");
        let last = said.lines().find(|line| line.starts_with("srvd: ")).unwrap_or_else(|| panic!("{said}"));
        assert!(last.contains(&home.dir("data").display().to_string()), "{said}");
    });
}
