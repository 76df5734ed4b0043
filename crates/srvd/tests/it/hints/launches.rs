//! The steps of launches that were refused, and of shims.

use serde_json::json;

use super::{fails, finishes, out, succeeds, typed, within};
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

    bundle_without_accounts_gets_one types [LogInToAny]: |typed| {
        let daemon = fake::home(HAPPY).start();
        let home = &daemon.home;
        daemon.call("bundle.create", json!({"name": "my box"})).await;
        let said = fails(home, "srvd env --bundle 'my box'");
        let line = typed.step("LogInToAny", &said).replace("PROVIDER", "fake");
        finishes(home, &line).await;
        assert!(out(&succeeds(home, "srvd env --bundle 'my box'")).contains("FAKE_HOME"));
    }

    cli_without_a_login_is_started_logged_out_or_for_another_bundle types [StartLoggedOut, UseAnotherBundle]: |typed| {
        let daemon = fake::home(&SCRIPT.replace("@HAPPY@", HAPPY)).start();
        let home = &daemon.home;
        // Without a login, the launch does not tell the fake CLI where its script is.
        let script = format!("FAKE_SCRIPT='{}'", home.dir("script").display());
        crate::sealed::bundle(&daemon, "my box", &[("groq", "gsk_planted0123456789abcdef")]).await;
        let said = fails(home, "srvd exec --bundle 'my box' -- fakecli");
        let line = typed.step("StartLoggedOut", &said);
        assert_eq!(out(&succeeds(home, &format!("{script} {line}"))), "started\n");
        log_in(&daemon, json!({"bundleName": "work"})).await;
        // The blank bundle never has an account.
        let said = fails(home, "srvd exec --bundle blank -- fakecli");
        let line = typed.step("StartLoggedOut", &said);
        assert_eq!(out(&succeeds(home, &format!("{script} {line}"))), "started\n");
        let flag = typed.step("UseAnotherBundle", &said).replace("BUNDLE", "work");
        assert_eq!(out(&succeeds(home, &format!("srvd exec {flag} -- fakecli"))), "started\n");
    }
}
