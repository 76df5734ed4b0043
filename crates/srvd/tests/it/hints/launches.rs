//! The steps of launches that were refused, and of shims.

use serde_json::json;

use super::{fails, out, succeeds, typed, within};
use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::private_directory;

const SCRIPT: &str = "when --version\nout fakecli 1.2.3\nwhen login\n@HAPPY@when *\nout started\nexit 0\n";

typed! {
    shim_is_passed_by_or_listed types [RunWithoutSrvd, ListShims]: |typed| {
        let home = fake::home(&SCRIPT.replace("@HAPPY@", HAPPY));
        succeeds(&home, "srvd shims install fakecli");
        let shims = home.dir("data/shims");
        let home = home.search(shims);
        let daemon = home.start();
        let home = &daemon.home;
        let dir = home.dir("home/project");
        private_directory(&dir);
        let (done, said) = within(home, &dir, "fakecli");
        assert!(!done, "{said}");
        let line = typed.step("RunWithoutSrvd", &said);
        let (done, said) = within(home, &dir, &format!("FAKE_SCRIPT='{}' {line}", home.dir("script").display()));
        assert!(done && said.contains("started"), "{said}");
        log_in(&daemon, json!({"bundleName": "work"})).await;
        let said = fails(home, "SRVD_DEPTH=99 srvd exec --bundle work -- fakecli");
        assert!(out(&typed.types("ListShims", &said, home)).contains("fakecli"));
    }
}
