//! The remedies of the checkup about programs, settings and the user's own logins.

use super::{findings, finishes, out, remedy, severity, succeeds, typed};
use crate::database::{add_key, lose_account};
use crate::support::fake::{self, HAPPY};
use crate::support::{Home, private_directory, private_file};

/// Makes a login of the user's own CLI.
fn own(home: &Home, name: &str) {
    private_directory(&home.dir(name));
    let login = r#"{"access":"planted","refresh":"r","email":"ada@fake.test","id":"person-2"}"#;
    private_file(&home.dir(name).join("credentials.json"), login.as_bytes());
}

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
}
