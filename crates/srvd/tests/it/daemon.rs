//! The daemon's start, refusal to start, stop and crash.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::support::fake::{self, HAPPY};
use crate::support::{Home, KEY, files_below};

/// Runs a `srvd serve` that must fail to start. Returns the exit code and the output.
fn refused(home: &Home, change: impl FnOnce(&mut std::process::Command)) -> (i32, String) {
    let mut command = home.command(&["serve"]);
    command.env("SRVD_LOG", "warn");
    change(&mut command);
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn daemon_exits_78_and_creates_nothing_when_the_key_is_unusable() {
    let check = |key: Option<&str>, expect: &str| {
        let home = Home::new();
        std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
        let (code, text) = refused(&home, |command| {
            key.map(|key| command.env("OAUTH_ENCRYPTION_KEY", key));
        });
        assert_eq!(code, 78, "{text}");
        assert!(text.contains(expect), "{text:?} should contain {expect:?}");
        assert_eq!(files_below(&home.dir("data")), Vec::<std::path::PathBuf>::new());
    };
    check(None, "srvd key generate");
    check(Some(""), "OAUTH_ENCRYPTION_KEY");
    check(Some("0123456789012345678901234567890"), "31");
    check(Some("base64:c2hvcnQ="), "OAUTH_ENCRYPTION_KEY");
}

#[test]
fn daemon_exits_78_and_leaves_the_database_unchanged_when_the_key_is_wrong() {
    let home = Home::new();
    assert!(home.run(&["--migrate-only"]).status.success());
    let contents = |home: &Home| {
        let files = files_below(&home.dir("data"));
        let database =
            files.into_iter().filter(|path| path.file_name().is_some_and(|name| name == "srvd.db"));
        let content = |path| {
            (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().modified().unwrap(), path)
        };
        database.map(content).collect::<Vec<_>>()
    };
    let before = contents(&home);
    crate::support::private_file(&home.dir("config/encryption.key"), KEY.replace('0', "9").as_bytes());
    let (code, text) = refused(&home, |_| {});
    assert_eq!(code, 78, "{text}");
    assert!(text.to_lowercase().contains("key"), "{text}");
    assert_eq!(before.len(), 1);
    assert!(contents(&home) == before, "the database was touched");
}

#[test]
fn daemon_exits_78_when_the_configuration_is_invalid() {
    let check = |name: &str, text: &str, variable: (&str, &str), expect: &str| {
        let home = Home::new().config(name, text);
        let (code, printed) = refused(&home, |command| {
            command.env(variable.0, variable.1);
        });
        assert_eq!(code, 78, "{printed}");
        assert!(printed.contains(expect), "{printed:?} should contain {expect:?}");
    };
    let none = ("LANG", "C");
    check("srvd.toml", "colour = 1", none, "srvd.toml");
    check("providers.d/mine.toml", "[providers.mine]\nclass = \"oauth\"", none, "mine.toml");
    check("srvd.toml", "", ("SRVD_LISTEN", "0.0.0.0:0"), "loopback");
    check("srvd.toml", "", ("SRVD_AUTH", "off"), "SRVD_AUTH");
    check("srvd.toml", "", ("SRVD_LOG", "srvd=loud=very"), "log.filter");
    check("srvd.toml", "", ("SRVD_DATABASE_URL", "mysql://x"), "database");
}

#[test]
fn daemon_exits_78_when_others_can_access_its_directory() {
    let home = Home::new();
    std::fs::set_permissions(home.dir("data"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, text) = refused(&home, |_| {});
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("0755"), "{text}");
}

#[test]
fn daemon_exits_74_and_keeps_the_file_when_it_is_not_a_database() {
    let home = Home::new();
    let path = home.dir("data/srvd.db");
    std::fs::write(
        &path,
        "this is no database, and it is longer than a header would be; much longer, really",
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    let (code, text) = refused(&home, |_| {});
    assert_eq!(code, 74, "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_exits_75_when_another_one_is_running() {
    let daemon = Home::new().start();
    let (code, text) = refused(&daemon.home, |_| {});
    assert_eq!(code, 75, "{text}");
    assert!(text.contains(&daemon.pid().to_string()), "{text}");
    let info = daemon.call("srvd.info", json!({})).await;
    assert_eq!(info["databaseKind"], "sqlite");
    assert_eq!(info["epoch"], daemon.endpoint().epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_returns_its_params_unchanged() {
    let daemon = Home::new().start();
    for sent in [json!({}), json!({"text": ""}), json!({"text": "still there? \u{1F44B}"})] {
        assert_eq!(daemon.call("srvd.ping", sent.clone()).await, sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_files_are_private_and_only_data_remains_after_a_stop() {
    let daemon = Home::new().start();
    let made = daemon.call("bundle.create", json!({"name": "Work"})).await;
    let endpoint = daemon.endpoint();
    assert_eq!(endpoint.pid, daemon.pid());
    for dir in ["data", "run"] {
        for path in files_below(&daemon.home.dir(dir)) {
            let bits = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(bits & 0o077, 0, "{} has mode {bits:o}", path.display());
        }
    }
    let (status, home) = daemon.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!home.dir("run/endpoint.json").exists());
    assert!(!home.dir("run/token").exists());
    assert!(!home.dir("run/srvd.sock").exists());
    let again = home.start();
    assert_eq!(again.call("bundle.get", json!({"bundleId": made["id"]})).await, made);
    assert_ne!(again.endpoint().epoch, endpoint.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_change_is_kept_when_the_daemon_crashes() {
    let daemon = Home::new().start();
    let made = daemon.call("bundle.create", json!({"name": "Work"})).await;
    let (address, old_token) = daemon.tcp();
    let home = daemon.kill();
    assert!(home.dir("run/srvd.sock").exists(), "a crash leaves the socket");
    let again = home.start();
    assert_eq!(again.call("bundle.get", json!({"bundleId": made["id"]})).await, made);
    let (_, token) = again.tcp();
    assert_ne!(token, old_token, "{address}");
}

#[test]
fn migrate_only_is_idempotent_and_starts_nothing() {
    let home = Home::new();
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().split('_').next().unwrap().parse::<u32>().unwrap()
    };
    let newest = std::fs::read_dir(migrations).unwrap().map(number).max().unwrap();
    for _ in 0..2 {
        let output = home.run(&["--migrate-only"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(told, format!("database sqlite migrated to schema {newest}\n"));
    }
    assert!(!home.dir("run/endpoint.json").exists());
}

#[test]
fn print_config_shows_the_result_without_starting() {
    let home = Home::new().config("srvd.toml", "[listen]\ntcp = \"off\"\n");
    let output = home.run(&["--print-config"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("tcp = \"off\"") && text.contains("filter = \"trace\""), "{text}");
    assert_eq!(files_below(&home.dir("data")), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_serves_logins_and_bundles_when_its_database_is_postgresql() {
    let server = crate::support::postgres().await;
    let url = server.url.clone();
    let home = fake::home(HAPPY);
    let migrated = home.command(&["--migrate-only"]).env("SRVD_DATABASE_URL", &url).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let daemon = home.start_with(|command| command.env("SRVD_DATABASE_URL", &url));
    assert_eq!(daemon.call("srvd.info", json!({})).await["databaseKind"], "postgres");
    let done = crate::logins::log_in(&daemon, json!({})).await;
    assert_eq!(done["status"], "success", "{done}");
    let bundle = daemon.call("bundle.get", json!({"bundleId": done["bundleId"]})).await;
    assert_eq!(bundle["bindings"][0]["accountId"], done["accountId"]);
    assert_eq!(
        daemon.call("bundle.delete", json!({"bundleId": done["bundleId"]})).await["accountsDeleted"],
        1
    );
    let (status, _home) = daemon.stop();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn daemon_exits_69_when_the_database_is_down() {
    let home = Home::new();
    let (code, text) = refused(&home, |command| {
        command.env("SRVD_DATABASE_URL", "postgres://nobody@127.0.0.1:9/none");
    });
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("the database is unavailable: "), "the cause is told: {text}");
    assert!(text.contains("postgres://127.0.0.1:9/none: "), "the place is told: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_daemon_on_one_sqlite_file_is_refused_with_the_name_of_the_first() {
    let daemon = Home::new().start();
    let file = daemon.home.dir("data/srvd.db");
    let other = Home::new();
    let link = other.dir("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [file, link] {
        let (code, text) = refused(&other, |command| {
            command.env("SRVD_DATABASE_URL", format!("sqlite:{}", path.display()));
        });
        assert_eq!(code, 75, "{text}");
        assert!(text.contains(&format!("pid {} on ", daemon.pid())), "{text}");
        assert!(text.contains("srvd.db") || text.contains("link.db"), "{text}");
        assert!(text.contains("hint: stop that daemon first"), "{text}");
    }
    // A daemon that was killed holds nothing.
    let home = daemon.kill();
    let url = format!("sqlite:{}", home.dir("data/srvd.db").display());
    let next = other.start_with(|command| command.env("SRVD_DATABASE_URL", url));
    assert_eq!(next.call("srvd.info", json!({})).await["databaseKind"], "sqlite");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_daemon_on_one_postgresql_database_is_refused_until_the_first_was_killed() {
    let server = crate::support::postgres().await;
    let start = |home: Home| home.start_with(|command| command.env("SRVD_DATABASE_URL", &server.url));
    let daemon = start(Home::new());
    let (code, text) = refused(&Home::new(), |command| {
        command.env("SRVD_DATABASE_URL", &server.url);
    });
    assert_eq!(code, 75, "{text}");
    assert!(text.contains(&format!("pid {} on ", daemon.pid())), "{text}");
    assert!(text.contains("postgres://127.0.0.1:"), "{text}");
    assert_eq!(daemon.call("srvd.info", json!({})).await["databaseKind"], "postgres");
    // The server notices the end of a killed process at once; the next start waits until it has.
    drop(daemon.kill());
    let next = start(Home::new());
    assert_eq!(next.stop().0.code(), Some(0));
}

#[test]
fn start_error_never_shows_the_password_of_the_database() {
    let home = Home::new();
    let (code, text) = refused(&home, |command| {
        command.env("SRVD_LOG", "trace");
        command.env("SRVD_DATABASE_URL", "postgres://srvd:planted-password@127.0.0.1:9/none");
    });
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("127.0.0.1:9/none") && !text.contains("planted-password"), "{text}");
}

#[test]
fn start_error_is_a_line_of_json_when_the_log_is_json() {
    let check = |name: &str, text: &str, variables: &[(&str, &str)], code: i32, expect: &str| {
        let home = Home::new().config(name, text);
        let (ended, printed) = refused(&home, |command| {
            command.envs(variables.iter().copied());
        });
        assert_eq!(ended, code, "{printed}");
        let lines: Vec<serde_json::Value> = printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        let last = lines.last().unwrap();
        assert_eq!((&last["level"], &last["exit_code"]), (&json!("ERROR"), &json!(code)), "{last}");
        assert!(last["message"].as_str().unwrap().contains(expect), "{last}");
    };
    let variable = ("SRVD_LOG_FORMAT", "json");
    check(
        "srvd.toml",
        "[log]\nformat = \"json\"\nfilter = \"a=b=c\"",
        &[("SRVD_LOG", "a=b=c")],
        78,
        "log.filter",
    );
    check("srvd.toml", "colour = 1", &[variable], 78, "colour");
    check(
        "srvd.toml",
        "",
        &[variable, ("SRVD_LOG", "off"), ("SRVD_DATABASE_URL", "postgres://127.0.0.1:9/none")],
        69,
        "127.0.0.1:9/none",
    );
}

#[test]
fn signal_ends_a_start_that_waits_for_a_server_which_never_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/none", listener.local_addr().unwrap());
    let home = Home::new();
    let mut child = home.command(&["serve"]).env("SRVD_DATABASE_URL", url).spawn().unwrap();
    // The signal is sent while the daemon waits for the first answer.
    let (_held, _) = listener.accept().unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // Nothing is left that keeps the next start from working.
    let daemon = home.start();
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn signal_ends_a_start_that_waits_for_a_lock() {
    let home = Home::new();
    // The lock names a process that is gone, so a start waits for it.
    let mut gone = std::process::Command::new("/bin/true").spawn().unwrap();
    gone.wait().unwrap();
    let path = home.dir("data/srvd.lock");
    std::fs::write(&path, gone.id().to_string()).unwrap();
    let lock = std::fs::File::open(&path).unwrap();
    lock.lock().unwrap();
    let log = std::fs::File::options().create(true).append(true).open(home.dir("log")).unwrap();
    let mut child = home.command(&["serve"]).stderr(log).spawn().unwrap();
    crate::support::until("the start does not wait", || {
        std::fs::read_to_string(home.dir("log")).unwrap().contains("waiting for the lock")
    });
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_logs_in_and_launches_without_a_home() {
    let script = HAPPY.replace("dir-var FAKE_HOME", "dir-var FAKE_HOME\ndump-env environment");
    let daemon = fake::home(&script).start_with(|command| command.env_remove("HOME"));
    let done = crate::logins::log_in(&daemon, json!({})).await;
    assert_eq!(done["status"], "success", "{done}");
    // A CLI that looks for the user's home gets an empty one.
    let environment = std::fs::read_to_string(daemon.home.dir("environment")).unwrap();
    let home = daemon.home.dir("data/no-home");
    assert!(environment.contains(&format!("HOME={}\n", home.display())), "{environment}");
    assert!(home.is_dir());
    let launch = daemon.call("launch.resolve", json!({"bundleId": done["bundleId"]})).await;
    assert!(launch["set"]["FAKE_HOME"].is_string(), "{launch}");
    let listed = daemon.home.command(&["status", "--json"]).env_remove("HOME").output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let again = daemon.kill().start_with(|command| command.env_remove("HOME"));
    let accounts = again.call("account.list", json!({})).await;
    assert_eq!(accounts["accounts"][0]["status"], "valid", "{accounts}");
}
