//! The remedies of the checkup about programs, settings and the user's own logins.

use serde_json::{Value, json};

use super::{findings, finishes, out, program, remedy, severity, shell, succeeds, typed};
use crate::database::{add_key, lose_account};
use crate::fitness::RULES;
use crate::logins::log_in;
use crate::providers::{GOOD, machine};
use crate::support::fake::{self, HAPPY};
use crate::support::{Home, private_directory, private_file};

/// Makes a login of the user's own CLI.
fn own(home: &Home, name: &str) {
    private_directory(&home.dir(name));
    let login = r#"{"access":"planted","refresh":"r","email":"ada@fake.test","id":"person-2"}"#;
    private_file(&home.dir(name).join("credentials.json"), login.as_bytes());
}

/// A CLI whose answer about its login is wrong until it has logged in.
const OTHER: &str = r#"#!/bin/sh
case "$1" in
--version) echo "fakecli 1.2.3"; exit 0;;
whoami)
    if grep -q second-login "$FAKE_HOME/credentials.json"; then echo '{"method": "login", "email": "ann@fake.test"}'; else echo '@ANSWER@'; fi
    exit 0;;
esac
echo "Open https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback"
printf 'Paste code here > '
read -r answer
umask 077
echo '{"access":"second-login","refresh":"r","email":"ann@fake.test","id":"person-1"}' >"$FAKE_HOME/credentials.json"
echo "Logged in."
"#;

typed! {
    checkup_is_repeated_after_a_file_system_hung types [ExamineAgain]: |typed| {
        let home = fake::home(HAPPY);
        private_directory(&home.dir("home/.fake"));
        let Some(hanging) = crate::hung_home::shell_with_a_hanging_directory("$HOME/.fake") else { return };
        let found = findings(&home, &format!("{hanging} 'srvd doctor --json'"));
        let line = typed.step("ExamineAgain", &remedy(&found, "doctor"));
        assert_eq!(severity(&findings(&home, &format!("{line} --json")), "doctor"), None);
    }

    missing_row_is_accepted types [AcceptRows]: |typed| {
        let daemon = Home::new().start();
        let account = add_key(&daemon, "Work", None).await["accountId"].clone();
        let (_, home) = daemon.stop();
        lose_account(&home, account.as_str().unwrap());
        let said = remedy(&findings(&home, "srvd doctor --json"), "database.missing");
        typed.types("AcceptRows", &said, &home);
        assert_eq!(severity(&findings(&home, "srvd doctor --json"), "database.missing"), None);
    }

    variable_is_unset types [Unset]: |typed| {
        let home = Home::new();
        let said = remedy(&findings(&home, "ANTHROPIC_API_KEY=x srvd doctor --json"), "environment.ANTHROPIC_API_KEY");
        let line = typed.step("Unset", &said);
        let found = findings(&home, &format!("export ANTHROPIC_API_KEY=x; {line}; srvd doctor --json"));
        assert_eq!(severity(&found, "environment.ANTHROPIC_API_KEY"), None);
    }

    own_login_is_taken_over_or_replaced types [PreviewMigration, MigrateHere, UnsetOrLogIn, LogInWithSrvd]: |typed| {
        let home = fake::home(HAPPY);
        succeeds(&home, "srvd serve --migrate-only");
        own(&home, "home/.fake");
        let said = remedy(&findings(&home, "srvd doctor --json"), "own-login.fake");
        assert!(out(&typed.types("PreviewMigration", &said, &home)).contains("ada@fake.test"));
        own(&home, "home/work");
        let variable = format!("FAKE_HOME='{}'", home.dir("home/work").display());
        let doctor = format!("{variable} srvd doctor --json");
        typed.types("MigrateHere", &remedy(&findings(&home, &doctor), "own-login.fake"), &home);
        let daemon = home.start();
        let said = remedy(&findings(&daemon.home, &doctor), "own-login.fake");
        let line = typed.step("UnsetOrLogIn", &said).replace("NAME", "mine");
        finishes(&daemon.home, &line).await;
        // A daemon that was started with the variable has taken over that directory.
        let home = fake::home(HAPPY);
        own(&home, "home/.fake");
        own(&home, "home/work");
        let work = home.dir("home/work");
        let daemon = home.start_with(|command| command.env("FAKE_HOME", &work));
        let said = remedy(&findings(&daemon.home, "srvd doctor --json"), "own-login.fake");
        let line = typed.step("LogInWithSrvd", &said).replace("NAME", "mine");
        finishes(&daemon.home, &line).await;
    }

    missing_clis_are_listed_with_their_commands types [ListProviders, DescribeProviders]: |typed| {
        let home = fake::home(HAPPY);
        std::fs::remove_file(home.dir("bin/fakecli")).unwrap();
        let claude = "npm install -g @anthropic-ai/claude-code";
        let said = remedy(&findings(&home, "srvd doctor --json"), "cli");
        let described = out(&typed.types("DescribeProviders", &said, &home));
        assert!(described.contains(claude), "{described}");
        let daemon = home.start();
        let said = remedy(&findings(&daemon.home, "srvd doctor --json"), "cli");
        let listed = out(&typed.types("ListProviders", &said, &daemon.home));
        assert!(listed.contains("build the examples of auth-spawner"), "{listed}");
    }

    cli_of_another_version_or_of_none_is_checked types [CheckProvider, CheckVersion]: |typed| {
        let home = machine(&GOOD.replace("1.2.3", "1.3.0"), "");
        let said = remedy(&findings(&home, "srvd doctor --json"), "cli.fake");
        let checked = out(&typed.types("CheckProvider", &said, &home));
        assert!(checked.contains("fake: ok: version 1.3.0"), "{checked}");
        fake::write_script(&home, &GOOD.replace("out fakecli 1.2.3", "exit 1"));
        let line = typed.step("CheckVersion", &remedy(&findings(&home, "srvd doctor --json"), "cli.fake"));
        let failed = shell(&home, &line).output().unwrap();
        assert!(!failed.status.success(), "{}", out(&failed));
        assert!(out(&failed).contains("prints no version with: --version"), "{}", out(&failed));
        // The program is mended.
        fake::write_script(&home, GOOD);
        succeeds(&home, &line);
        assert_eq!(severity(&findings(&home, "srvd doctor --json"), "cli.fake").as_deref(), Some("ok"));
    }

    login_that_its_cli_does_not_use_is_made_again types [LookForSetting, CompareStatus]: |typed| {
        let home = fake::home(HAPPY);
        let rules = RULES.replace("@SYSTEM@", &home.dir("etc/fake.json").display().to_string());
        let home = home.config("providers.d/rules.toml", &rules);
        let daemon = home.start();
        log_in(&daemon, json!({"bundleName": "my box"})).await;
        let home = &daemon.home;
        let asks = |answer: &str| {
            std::fs::remove_file(home.dir("bin/fakecli")).unwrap();
            program(home, "fakecli", &OTHER.replace("@ANSWER@", answer));
        };
        let examined = |id: &str| {
            let late = |found: &Vec<Value>| severity(found, id).is_none();
            crate::support::patiently(|| findings(home, "srvd doctor --json"), late)
        };
        asks("I have no idea");
        let said = remedy(&examined("login.identity-unclear"), "login.identity-unclear");
        let shown = out(&typed.types("CompareStatus", &said, home));
        assert!(shown.contains("ann@fake.test"), "{shown}");
        asks(r#"{"method": "login", "email": "bob@fake.test"}"#);
        let line = typed.step("LookForSetting", &remedy(&examined("login.identity"), "login.identity"));
        finishes(home, &line).await;
        let found = examined("login.identity-confirmed");
        assert_eq!(severity(&found, "login.identity"), None, "{found:?}");
    }
}
