//! The steps of launches that were refused, and of shims.

use serde_json::json;

use super::{fails, finishes, out, succeeds, typed, within};
use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::private_directory;

const SCRIPT: &str = "when --version\nout fakecli 1.2.3\nwhen login\n@HAPPY@when *\nout started\nexit 0\n";

typed! {
    launch_without_a_login_leads_to_one types [LogInToAny, LogIn, StartLoggedOut, UseAnotherBundle]: |typed| {
        let daemon = fake::home(&SCRIPT.replace("@HAPPY@", HAPPY)).start();
        daemon.call("bundle.create", json!({"name": "my box"})).await;
        let home = &daemon.home;
        let said = fails(home, "srvd exec --bundle 'my box' -- fakecli");
        let any = typed.step("LogInToAny", &said).replace("PROVIDER", "fake");
        let key = "sk-proj-planted-0123456789abcdef";
        let key = json!({"providerId": "openai", "bundleName": "keys", "apiKey": key, "accountName": "Key", "validate": false});
        daemon.call("auth.submitapikey", key).await;
        let said = fails(home, "srvd exec --bundle keys -- fakecli");
        assert!(out(&succeeds(home, &typed.step("StartLoggedOut", &said))).contains("started"));
        finishes(home, &typed.step("LogIn", &said)).await;
        succeeds(home, "srvd exec --bundle keys -- fakecli");
        finishes(home, &any).await;
        succeeds(home, "srvd exec --bundle 'my box' -- fakecli");
        // No account can be put into the bundle without accounts.
        let flag = typed.step("UseAnotherBundle", &fails(home, "srvd exec --bundle Blank -- fakecli"));
        succeeds(home, &format!("srvd exec {} -- fakecli", flag.replace("BUNDLE", "keys")));
    }

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
