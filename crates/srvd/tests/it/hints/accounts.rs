//! The steps of commands about bundles and accounts.

use serde_json::json;

use super::{fails, findings, out, remedy, severity, succeeds, typed};
use crate::logins::log_in;
use crate::support::Home;
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

    bundle_with_the_name_of_another_is_renamed types [RenameTwin]: |typed| {
        let daemon = Home::new().start();
        // The last letter of one is the digit one, that of the other is a small L.
        daemon.call("bundle.create", json!({"name": "team1"})).await;
        let twin = daemon.call("bundle.create", json!({"name": "teaml"})).await;
        let home = &daemon.home;
        let line = typed.step("RenameTwin", &remedy(&findings(home, "srvd doctor --json"), "bundles.twins"));
        let listed = out(&succeeds(home, "srvd bundles"));
        let row = listed.lines().find(|line| line.starts_with("teaml")).unwrap_or_else(|| panic!("{listed}"));
        let id = row.split_whitespace().last().unwrap();
        assert_eq!(twin["id"], id);
        succeeds(home, &line.replace("ID", id).replace("NAME", "play"));
        assert_eq!(severity(&findings(home, "srvd doctor --json"), "bundles.twins"), None);
    }

    login_at_another_host_is_possible_when_the_account_was_forgotten types [ForgetFirst]: |typed| {
        let daemon = crate::gh::home("2.62.0").start();
        let home = &daemon.home;
        succeeds(home, "srvd login gh --bundle 'my box' --new");
        let elsewhere = "srvd login gh --host ghe.corp.example --bundle 'my box'";
        let line = typed.step("ForgetFirst", &fails(home, elsewhere));
        succeeds(home, &format!("{line} --yes"));
        succeeds(home, elsewhere);
        let accounts = daemon.call("account.list", json!({"providerId": "gh"})).await["accounts"].take();
        assert_eq!(accounts.as_array().unwrap().len(), 1, "{accounts}");
        assert!(accounts[0]["baseUrl"].as_str().unwrap().contains("ghe.corp.example"), "{accounts}");
    }

    login_without_an_account_is_kept_or_discarded types [KeepOrDiscardStray]: |typed| {
        let daemon = crate::sealed::home(&["copilot"]).start();
        let id = crate::sealed::bundle(&daemon, "my box", &[("groq", "gsk_planted0123456789abcdef")]).await;
        let home = &daemon.home;
        let dir = home.dir("data/identities").join(&id).join("copilot");
        // A login that a program of the bundle made.
        succeeds(home, "srvd exec --bundle 'my box' -- true");
        crate::sealed::copilot_login(&dir);
        let finding = format!("login.stray.{id}.copilot");
        let said = remedy(&findings(home, "srvd doctor --json"), &finding);
        typed.step("KeepOrDiscardStray", &said);
        let discard = said.split_once("remove it with: ").unwrap().1.trim_end_matches(')');
        succeeds(home, &format!("{discard} --yes"));
        assert_eq!(severity(&findings(home, "srvd doctor --json"), &finding), None);
        crate::sealed::copilot_login(&dir);
        let said = remedy(&findings(home, "srvd doctor --json"), &finding);
        typed.types("KeepOrDiscardStray", &said, home);
        assert_eq!(severity(&findings(home, "srvd doctor --json"), &finding), None);
        let accounts = daemon.call("account.list", json!({"providerId": "copilot"})).await;
        assert_eq!(accounts["accounts"][0]["subject"], "stranger");
    }
}
