//! The steps after a start that failed, and those that find the daemon.

use serde_json::json;

use super::{fails, findings, finishes, remedy, severity, shell, succeeds, typed};
use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::{Home, private_file, until};

/// Types the command that starts a daemon, and stops the daemon. Returns what the command printed.
fn starts(home: &Home, line: &str) -> String {
    let said = super::err(&succeeds(home, line));
    succeeds(home, "srvd status");
    let stopped = super::err(&succeeds(home, "srvd down"));
    assert!(stopped.starts_with("Stopped the daemon"), "{stopped}");
    said
}

typed! {
    missing_daemon_is_started types [StartDaemon, StartDaemonNow]: |typed| {
        let home = Home::new();
        let line = typed.step("StartDaemon", &fails(&home, "srvd status"));
        starts(&home, &line);
        let line = typed.step("StartDaemonNow", &remedy(&findings(&home, "srvd doctor --json"), "daemon"));
        starts(&home, &line);
    }

    first_start_makes_the_key_and_leads_to_a_login types [SeeProviders, LogInFirst, SeeLogins]: |typed| {
        let home = Home::new();
        let key = home.dir("config/encryption.key");
        std::fs::remove_file(&key).unwrap();
        let line = typed.step("SeeProviders", &starts(&home, "srvd up"));
        assert!(key.exists());
        succeeds(&home, "srvd up");
        succeeds(&home, &line);
        succeeds(&home, "srvd down");
        let home = fake::home(HAPPY);
        let line = typed.step("LogInFirst", &super::err(&succeeds(&home, "srvd up")));
        finishes(&home, &line).await;
        let again = super::err(&succeeds(&home, "srvd up"));
        assert!(again.starts_with("srvd is already running"), "{again}");
        let line = typed.step("SeeLogins", &again);
        assert!(super::out(&succeeds(&home, &line)).contains("ann@fake.test"));
        succeeds(&home, "srvd restart");
        assert!(super::out(&succeeds(&home, "srvd logs -n 1000")).contains("a login started"));
        succeeds(&home, "srvd down");
    }

    start_that_takes_long_is_seen_in_the_log types [SeeItsLog]: |typed| {
        let home = Home::new();
        // It accepts connections, and answers nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://u@127.0.0.1:{}/d", silent.local_addr().unwrap().port());
        let said = fails(&home, &format!("SRVD_DATABASE_URL={url} srvd up --timeout 1"));
        let line = typed.step("SeeItsLog", &said);
        succeeds(&home, &line);
        let pid = said.split_once("(pid ").and_then(|(_, rest)| rest.split_once(')')).unwrap().0;
        succeeds(&home, &format!("kill {pid}"));
    }

    service_that_cannot_be_started_is_left_out types [StartWithoutService]: |typed| {
        let home = Home::new();
        let unit = home.dir("home/.config/systemd/user/srvd.service");
        crate::support::private_directory(unit.parent().unwrap());
        std::fs::write(&unit, "[Service]\nExecStart=/usr/bin/srvd\n").unwrap();
        let line = typed.step("StartWithoutService", &fails(&home, "srvd up"));
        starts(&home, &line);
    }

    running_daemon_is_shown_or_stopped types [ShowStatus, StopDaemon]: |typed| {
        let mut daemon = Home::new().start();
        let shown = typed.types("ShowStatus", &fails(&daemon.home, "srvd serve"), &daemon.home);
        assert!(super::out(&shown).contains(&format!("(pid {}", daemon.pid())));
        typed.types("StopDaemon", &fails(&daemon.home, "srvd serve --migrate-only"), &daemon.home);
        let _ = daemon.waits();
        succeeds(&daemon.home, "srvd serve --migrate-only");
    }

    silent_daemon_is_examined types [AskDoctor]: |typed| {
        let home = Home::new().start().kill();
        std::fs::remove_file(home.dir("run/srvd.sock")).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(home.dir("run/srvd.sock")).unwrap();
        let line = typed.step("AskDoctor", &fails(&home, "srvd status --timeout 1"));
        let found = shell(&home, &line).output().unwrap();
        assert!(super::out(&found).contains("The daemon does not answer"), "{}", super::out(&found));
    }

    missing_database_is_named_or_made types [NameDatabase, CreateDatabase]: |typed| {
        let other = Home::new();
        succeeds(&other, "srvd serve --migrate-only");
        let home = Home::new();
        let said = fails(&home, "srvd migrate --dry-run");
        let flag = typed.step("NameDatabase", &said).replace("DIR", &other.dir("data").display().to_string());
        succeeds(&home, &format!("srvd migrate --dry-run {flag}"));
        typed.types("CreateDatabase", &said, &home);
        succeeds(&home, "srvd migrate --dry-run");
    }

    database_of_other_settings_is_named_or_left types [NameDatabaseAgain, BeginWithoutRecord, ChooseDatabase]: |typed| {
        let home = Home::new();
        succeeds(&home, "srvd serve --migrate-only");
        let elsewhere = format!("sqlite:{}", home.dir("data/other.db").display());
        let (url, usual) = (format!("SRVD_DATABASE_URL={elsewhere}"), home.dir("data/srvd.db"));
        let said = fails(&home, &format!("{url} srvd serve --migrate-only"));
        let flag = typed.step("NameDatabaseAgain", &said).replace("URL", &format!("sqlite:{}", usual.display()));
        succeeds(&home, &format!("{url} srvd serve --migrate-only {flag}"));
        let flag = typed.step("ChooseDatabase", &fails(&home, &format!("{url} srvd migrate --dry-run")));
        succeeds(&home, &format!("{url} srvd migrate --dry-run {flag}"));
        typed.types("BeginWithoutRecord", &said, &home);
        succeeds(&home, &format!("{url} srvd serve --migrate-only"));
    }

    logins_without_a_database_are_restored_or_left types [RestoreIdentities, BeginAnew]: |typed| {
        let daemon = fake::home(HAPPY).start();
        log_in(&daemon, json!({"bundleName": "work"})).await;
        let backup = daemon.home.dir("backup").display().to_string();
        succeeds(&daemon.home, &format!("srvd backup {backup}"));
        let (_, home) = daemon.stop();
        let lose = || {
            for name in ["srvd.db", "srvd.db-wal", "srvd.db-shm", "database.json"] {
                let _ = std::fs::remove_file(home.dir("data").join(name));
            }
        };
        lose();
        let said = fails(&home, "srvd serve");
        let line = typed.step("RestoreIdentities", &said).replace("FILE", &backup);
        succeeds(&home, &line);
        succeeds(&home, "srvd migrate --dry-run");
        lose();
        typed.types("BeginAnew", &fails(&home, "srvd serve"), &home);
        succeeds(&home, "srvd serve --migrate-only");
        assert!(home.dir("data/identities.old").is_dir(), "the logins are kept");
    }

    lost_database_file_is_restored types [RestoreDatabase, ReplaceDatabase, TrustTheDatabase]: |typed| {
        let daemon = Home::new().start();
        daemon.call("bundle.create", json!({"name": "work"})).await;
        let backup = daemon.home.dir("backup").display().to_string();
        succeeds(&daemon.home, &format!("srvd backup {backup}"));
        let (_, home) = daemon.stop();
        let line = typed.step("ReplaceDatabase", &fails(&home, &format!("srvd restore {backup}")));
        succeeds(&home, &line.replace("FILE", &backup));
        for name in ["srvd.db", "srvd.db-wal", "srvd.db-shm"] {
            let _ = std::fs::remove_file(home.dir("data").join(name));
        }
        // Another program has emptied the file.
        private_file(&home.dir("data/srvd.db"), b"");
        let line = typed.step("RestoreDatabase", &fails(&home, "srvd serve"));
        succeeds(&home, &line.replace("FILE", &backup));
        succeeds(&home, "srvd migrate --dry-run");
        private_file(&home.dir("data/database.json"), b"{");
        typed.types("TrustTheDatabase", &fails(&home, "srvd serve --migrate-only"), &home);
        succeeds(&home, "srvd serve --migrate-only");
    }

    backup_of_another_key_is_refused_with_a_way types [TrustBackup]: |typed| {
        let daemon = Home::new().start();
        let backup = daemon.home.dir("backup").display().to_string();
        succeeds(&daemon.home, &format!("srvd backup {backup}"));
        let (_, home) = daemon.stop();
        // A backup of the first version has no proof in its head.
        let mut bytes = std::fs::read(&backup).unwrap();
        let mark = b"\"code\":\"";
        let at = bytes.windows(mark.len()).rposition(|part| part == mark).expect("the manifest has a proof");
        let at = at + mark.len();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        private_file(std::path::Path::new(&backup), &bytes);
        let flag = typed.step("TrustBackup", &fails(&home, &format!("srvd restore --force {backup}")));
        succeeds(&home, &format!("srvd restore --force {backup} {flag}"));
    }

    files_of_a_killed_daemon_are_removed types [RemoveEndpoint]: |typed| {
        let home = Home::new().start().kill();
        typed.types("RemoveEndpoint", &remedy(&findings(&home, "srvd doctor --json"), "daemon"), &home);
        assert_eq!(severity(&findings(&home, "srvd doctor --json"), "daemon").as_deref(), Some("warning"));
        until("the token is gone", || !home.dir("run/token").exists());
    }
}
