//! The steps for the logins of the user's own CLIs.

use serde_json::json;

use super::{out, program, succeeds, typed};
use crate::support::fake::{self, HAPPY};
use crate::support::{Daemon, Home, private_directory, private_file};

/// A CLI that logs in without a browser.
const DIRECT: &str = r#"#!/bin/sh
case "$1" in --version) echo "fakecli 1.2.3"; exit 0;; esac
dir=${FAKE_HOME:-$HOME/.fake}
umask 077
echo '{"access":"planted","refresh":"r","email":"ann@fake.test","id":"person-1"}' >"$dir/credentials.json"
echo "Logged in."
"#;

/// A home whose user has a login of the own CLI in this directory.
fn home(dir: &str) -> Home {
    let home = fake::home(HAPPY);
    std::fs::remove_file(home.dir("bin/fakecli")).unwrap();
    program(&home, "fakecli", DIRECT);
    private_directory(&home.dir(dir));
    let login = r#"{"access":"planted","refresh":"r","email":"ann@fake.test","id":"person-1"}"#;
    private_file(&home.dir(dir).join("credentials.json"), login.as_bytes());
    home
}

async fn status(daemon: &Daemon) -> String {
    let accounts = daemon.call("account.list", json!({"providerId": "fake"})).await;
    let account = &accounts["accounts"][0]["id"];
    let found = daemon.call("account.refreshstatus", json!({"accountId": account})).await;
    found["status"].as_str().unwrap().to_owned()
}

typed! {
    own_login_is_made_again_in_its_directory types [LogInThere]: |typed| {
        for dir in ["home/.fake", "home/own fake"] {
            let home = home(dir);
            let own = home.dir(dir);
            let is_usual = dir == "home/.fake";
            let daemon = home.start_with(|command| if is_usual { command } else { command.env("FAKE_HOME", &own) });
            assert_eq!(status(&daemon).await, "valid");
            std::fs::remove_file(own.join("credentials.json")).unwrap();
            assert_eq!(status(&daemon).await, "needs_reauth");
            let again = json!({"providerId": "fake", "intoBundleId": "default"});
            let data = daemon.error("auth.start", again).await.data.unwrap();
            let line = typed.step("LogInThere", data["hint"].as_str().unwrap());
            // The shell of a launch has a variable that leads elsewhere.
            let elsewhere = daemon.home.dir("home/elsewhere");
            private_directory(&elsewhere);
            succeeds(&daemon.home, &format!("export FAKE_HOME='{}'; {line}", elsewhere.display()));
            assert_eq!(status(&daemon).await, "valid", "{line}");
            assert!(!elsewhere.join("credentials.json").exists(), "{line}");
        }
    }

    directory_of_an_own_login_is_closed types [CloseDirectory]: |typed| {
        use std::os::unix::fs::PermissionsExt as _;
        let home = home("home/own fake");
        let own = home.dir("home/own fake");
        let daemon = home.start_with(|command| command.env("FAKE_HOME", &own));
        assert_eq!(status(&daemon).await, "valid");
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_ne!(status(&daemon).await, "valid");
        let shown = out(&succeeds(&daemon.home, "srvd status"));
        // The reason names the command as well.
        let reason = shown.split_once("; run: ").unwrap_or_else(|| panic!("{shown}")).1.lines().next().unwrap();
        let line = typed.step("CloseDirectory", &shown);
        assert_eq!(reason, line);
        succeeds(&daemon.home, &line);
        assert_eq!(status(&daemon).await, "valid");
    }
}
