//! A disk without space.

use std::process::Command;

use rpc_engine::CallError;
use serde_json::json;

use crate::http::tcp;
use crate::support::namespace::inside;
use crate::support::{Home, until};

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

/// Fills the disk of a directory.
#[cfg(target_os = "linux")]
fn fill(file: &std::path::Path) {
    use std::io::Write as _;
    let mut full = std::fs::File::create(file).unwrap();
    let error = loop {
        // The smallest block of the file system.
        if let Err(error) = full.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

/// The space that is kept for deletions is used, and kept again when there is room.
#[cfg(target_os = "linux")]
#[test]
fn bundle_is_deleted_when_the_disk_is_full() {
    inside(async |_vendors| {
        let home = Home::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs"]).arg(home.dir("data"));
        assert!(mount.status().unwrap().success());
        let daemon = home.start();
        let create = async |name: &str| {
            let params = json!({"name": name, "description": "x".repeat(2000)});
            daemon.client().await.call_raw("bundle.create", &params).await
        };
        let work = create("work").await.unwrap()["id"].clone();
        let ballast = daemon.home.dir("data/ballast");
        let is_kept = || std::fs::metadata(&ballast).is_ok_and(|file| file.len() == 2 * 1024 * 1024);
        until("space is kept", is_kept);
        let full = daemon.home.dir("data/full");
        fill(&full);
        // The database may have some room in its own files.
        let mut refused = None;
        for number in 0..5000 {
            if let Err(error) = create(&format!("bundle {number}")).await {
                refused = Some(error);
                break;
            }
        }
        let Some(CallError::Rpc(refused)) = refused else { panic!("no write was refused: {refused:?}") };
        assert_eq!(refused.data.as_ref().unwrap()["reason"], "full", "{refused:?}");
        let ready = || tcp(&daemon, "GET /readyz", &[("Host", "{host}")]).0;
        until("the daemon is not ready", || ready() == 503);
        daemon.call("bundle.delete", json!({"bundleId": work})).await;
        assert_eq!(daemon.refused("bundle.get", json!({"bundleId": work})).await.0, 1001);
        std::fs::remove_file(&full).unwrap();
        let other = create("other").await.unwrap()["id"].clone();
        until("the daemon is ready again", || ready() == 200);
        daemon.call("bundle.delete", json!({"bundleId": other})).await;
        until("space is kept again", is_kept);
    });
}
