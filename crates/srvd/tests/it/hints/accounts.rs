//! The steps of commands about bundles and accounts.

use serde_json::json;

use super::{fails, findings, out, remedy, succeeds, typed};
use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::terminal::Terminal;
use crate::support::{Home, store};

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

    account_of_another_host_is_forgotten types [ForgetFirst]: |typed| {
        let daemon = crate::gh::home("2.62.0").start();
        let done = log_in(&daemon, json!({"providerId": "github", "host": "github.com"})).await;
        let home = &daemon.home;
        let bundle = done["bundleId"].as_str().unwrap();
        let said = fails(home, &format!("srvd login github --bundle {bundle} --host ghe.example --force"));
        let line = typed.step("ForgetFirst", &said);
        succeeds(home, &format!("{line} --yes"));
        assert_eq!(daemon.call("account.list", json!({})).await["accounts"], json!([]));
    }

    export_is_given_a_file_and_a_passphrase types [NameExportFile, PassPassphrase]: |typed| {
        let daemon = fake::home(HAPPY).start();
        log_in(&daemon, json!({"bundleName": "work"})).await;
        let home = &daemon.home;
        let file = home.dir("export").display().to_string();
        let said = Terminal::start(&super::shell(home, "srvd export --bundle work")).end().1;
        let line = typed.step("NameExportFile", &said).replace("BUNDLE", "work").replace("FILE", &file);
        let flag = typed.step("PassPassphrase", &fails(home, &line));
        let passphrase = home.dir("home/passphrase");
        crate::support::private_file(&passphrase, b"correct horse battery staple\n");
        let flag = flag.replace("PATH", &passphrase.display().to_string());
        succeeds(home, &format!("{line} {flag}"));
        assert!(home.dir("export").is_file());
    }

    shared_setup_that_is_left_out_is_shown types [ShowShare]: |typed| {
        let daemon = crate::shares::home(&["work"]).await.start();
        crate::shares::launch(&daemon, "work").await;
        let said = remedy(&findings(&daemon.home, "srvd doctor --json"), "share.left-out");
        let line = typed.step("ShowShare", &said).replace("BUNDLE", "work");
        assert!(out(&succeeds(&daemon.home, &line)).contains("settings.json"));
    }

    twin_of_a_bundle_is_renamed_by_its_id types [RenameTwin]: |typed| {
        let daemon = Home::new().start();
        daemon.call("bundle.create", json!({"name": "work"})).await;
        let (_, home) = daemon.stop();
        // A bundle that an earlier version made.
        let store = store(&home).await;
        let name = "w\u{43e}rk".to_owned();
        let new = identity_store::NewBundle { id: "twin".parse().unwrap(), name, description: String::new() };
        store.create_bundle(new, 1).await.unwrap();
        store.close().await;
        let daemon = home.start();
        let said = remedy(&findings(&daemon.home, "srvd doctor --json"), "bundles.twins");
        let line = typed.step("RenameTwin", &said).replace("ID", "twin").replace("NAME", "other");
        succeeds(&daemon.home, &line);
        assert_eq!(super::severity(&findings(&daemon.home, "srvd doctor --json"), "bundles.twins"), None);
    }
}
