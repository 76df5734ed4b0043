//! The steps of commands about bundles and accounts.

use serde_json::json;

use super::{fails, findings, out, remedy, succeeds, typed};
use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};

typed! {
    names_that_a_command_did_not_find_are_listed types [ListBundles, ListAccounts, MakeBundle]: |typed| {
        let daemon = fake::home(HAPPY).start();
        log_in(&daemon, json!({"bundleName": "my box"})).await;
        let home = &daemon.home;
        let listed = typed.types("ListBundles", &fails(home, "srvd accounts --bundle Nowhere"), home);
        assert!(out(&listed).contains("my box"));
        let listed = typed.types("ListAccounts", &fails(home, "srvd account forget nobody --yes"), home);
        assert!(out(&listed).contains("ann@fake.test"));
        let flag = typed.step("MakeBundle", &fails(home, "srvd login fake --bundle new"));
        super::finishes(home, &format!("srvd login fake --bundle new {flag}")).await;
    }

    account_of_two_bundles_is_named_by_its_id types [UseAccountId, Confirm]: |typed| {
        let daemon = fake::home(HAPPY).start();
        for name in ["one", "two"] {
            log_in(&daemon, json!({"bundleName": name})).await;
        }
        let home = &daemon.home;
        let listed = typed.types("UseAccountId", &fails(home, "srvd account forget ann@fake.test --yes"), home);
        let accounts = daemon.call("account.list", json!({})).await;
        let id = accounts["accounts"][0]["id"].as_str().unwrap();
        // The id is copied from the list of a narrow terminal.
        let word = out(&listed).split_whitespace().find(|word| id.starts_with(*word) && word.len() >= 8).map(str::to_owned);
        let id = word.unwrap_or_else(|| panic!("no id in {}", out(&listed)));
        let flag = typed.step("Confirm", &fails(home, &format!("srvd account forget {id}")));
        succeeds(home, &format!("srvd account forget {id} {flag}"));
        assert_eq!(daemon.call("account.list", json!({})).await["accounts"].as_array().unwrap().len(), 1);
    }

    account_that_no_cli_logs_out_is_forgotten types [ForgetHere, ShowAccountStatus]: |typed| {
        let script = |logout: &str| {
            format!("when --version\nout fakecli 1.2.3\nwhen logout\ndir-var FAKE_HOME\n{logout}\nwhen *\n{HAPPY}")
        };
        let daemon = fake::home(&script("exit 3")).start();
        let done = log_in(&daemon, json!({})).await;
        let (home, id) = (&daemon.home, done["accountId"].as_str().unwrap());
        let said = fails(home, &format!("srvd account revoke {id} --yes"));
        let shown = typed.types("ShowAccountStatus", &said, home);
        assert!(out(&shown).contains("ann@fake.test"));
        let line = typed.step("ForgetHere", &said);
        succeeds(home, &format!("{line} --yes"));
        assert_eq!(daemon.call("account.list", json!({})).await["accounts"], json!([]));
    }

    shared_setup_that_is_left_out_is_shown types [ShowShare]: |typed| {
        let daemon = crate::shares::home(&["work"]).await.start();
        crate::shares::launch(&daemon, "work").await;
        let said = remedy(&findings(&daemon.home, "srvd doctor --json"), "share.left-out");
        let line = typed.step("ShowShare", &said).replace("BUNDLE", "work");
        assert!(out(&succeeds(&daemon.home, &line)).contains("settings.json"));
    }
}
