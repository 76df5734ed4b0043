//! A disk without space.

use std::process::Command;

use crate::support::Home;
use crate::support::namespace::inside;

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
