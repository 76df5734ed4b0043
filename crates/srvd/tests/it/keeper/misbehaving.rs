//! CLIs that misbehave when they are to renew their login. Each ends inside its limit, with a state that names it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::Login;
use crate::support::namespace::inside;
use crate::support::{Daemon, Home, now, private_directory, private_file, standing_in};

const ENTRY: &str = r#"
[providers.keepfake]
display-name = "Keepfake"
class = "oauth"

[providers.keepfake.cli]
binaries = ["keepfake"]
install = "none"
tested = "1.2.3"
version-pattern = '^keepfake (?P<version>\d[\w.]*)$'
url-hosts = ["login.keepfake.test"]

[providers.keepfake.cli.config-dir]
var = "KEEPFAKE_HOME"
name = "keepfake"
ambient = "~/.keepfake"

[providers.keepfake.cli.credential]
path = "login.json"
requires = ["/access"]
refresh = "/refresh"
expires = { pointer = "/end", unit = "ms" }
email = { pointer = "/email" }

[providers.keepfake.cli.keep-alive]
by = "command"
args = ["renew"]
window-s = 300
limit-s = 3
since = "1.0"
refusal = "wiped"
"#;

/// The program. What it does is the text of the file `behaviour` in its directory, with `$new` as a renewed login.
const PROGRAM: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "keepfake @VERSION@"; exit 0; fi
cd "$KEEPFAKE_HOME" || exit 9
new='{"access":"a2","refresh":"r2","end":4102444800000,"email":"ann@keepfake.test"}'
save() { printf '%s' "$1" > fresh && mv fresh login.json; }
. ./behaviour
"#;

fn home(version: &str) -> Home {
    let home = Home::new();
    let bin = home.dir("bin");
    private_directory(&bin);
    std::fs::write(bin.join("keepfake"), PROGRAM.replace("@VERSION@", version)).unwrap();
    std::fs::set_permissions(bin.join("keepfake"), std::fs::Permissions::from_mode(0o755)).unwrap();
    home.config("srvd.toml", "[keepalive]\nenabled = true\n")
        .config("providers.d/keepfake.toml", ENTRY)
        .search(bin)
}

impl Login {
    fn write_keepfake(&self, behaviour: &str) {
        let text = json!({
            "access": "a1", "refresh": "r1", "end": now() + 100_000, "email": "ann@keepfake.test",
        });
        private_file(&self.dir.join("behaviour"), behaviour.as_bytes());
        private_file(&self.dir.join("login.json"), text.to_string().as_bytes());
    }
}

/// Runs the CLI once, and returns the state after it.
async fn run(behaviour: &str, version: &str) -> (Value, Daemon, Login) {
    let home = home(version);
    let login = Login::plant(&home, "keepfake", "work").await;
    login.write_keepfake(behaviour);
    let daemon = home.start();
    let kept = login.tried(&daemon).await;
    assert_eq!(standing_in(&login.dir), Vec::<u32>::new(), "{behaviour}: a process is left");
    (kept, daemon, login)
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_that_misbehaves_ends_with_a_state_that_names_it() {
    for (behaviour, outcome, state) in [
        ("save \"$new\"", "moved", "waiting"),
        ("save \"$new\"; echo failed >&2; exit 1", "moved", "waiting"),
        ("save \"$new\"; sleep 600", "moved", "waiting"),
        ("exit 0", "unchanged", "failing"),
        ("exit 7", "cli_failed", "failing"),
        ("trap '' TERM; while :; do sleep 1; done", "timed_out", "failing"),
        ("yes", "flooded", "failing"),
        ("rm login.json", "gone", "no_login"),
        ("echo '{' > login.json", "unreadable", "no_login"),
        (r#"save '{"access":"","refresh":"","end":0}'"#, "wiped", "dead"),
        ("echo open https://login.keepfake.test/oauth/authorize; exit 1", "login_shown", "failing"),
        ("mkdir ../keepfake.lock .renew.lock; exit 0", "unchanged", "failing"),
        (r#"save "$(echo "$new" | sed s/ann/bob/)""#, "another_person", "no_login"),
    ] {
        let (kept, ..) = run(behaviour, "1.2.3").await;
        assert_eq!(
            (&kept["outcome"], &kept["state"]),
            (&json!(outcome), &json!(state)),
            "{behaviour}: {kept}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cli_is_not_run_when_its_version_is_too_old_or_unknown() {
    for version in ["0.9", "next"] {
        let (kept, _daemon, login) = run("save \"$new\"", version).await;
        assert_eq!((&kept["outcome"], &kept["state"]), (&json!("old_version"), &json!("failing")), "{kept}");
        assert!(login.text("login.json").contains("r1"), "the CLI was run");
    }
}

#[test]
fn cli_is_not_run_when_the_disk_of_its_directory_is_full() {
    inside(async |_vendors| {
        let home = home("1.2.3");
        let login = Login::plant(&home, "keepfake", "work").await;
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "none"])
            .arg(&login.dir)
            .status();
        assert!(mounted.unwrap().success());
        login.write_keepfake("save \"$new\"");
        let daemon = home.start();
        let kept = login.tried(&daemon).await;
        assert_eq!((&kept["outcome"], &kept["state"]), (&json!("disk_full"), &json!("failing")), "{kept}");
        assert!(login.text("login.json").contains("r1"), "the CLI was run");
    });
}
