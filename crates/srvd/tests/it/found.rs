//! The way of a command to the daemon, from a shell with another environment than the daemon's.

use std::process::Command;

use serde_json::Value;

use crate::support::{Daemon, Home, private_directory};

/// Starts a daemon as a login session does: with `XDG_RUNTIME_DIR`, and with no directory of srvd named.
fn of_session() -> Daemon {
    let home = Home::new();
    private_directory(&home.dir("xdg"));
    let xdg = home.dir("xdg");
    home.start_with(|command| unnamed(command).env("XDG_RUNTIME_DIR", xdg))
}

fn unnamed(command: &mut Command) -> &mut Command {
    command.env_remove("SRVD_RUNTIME_DIR")
}

/// Runs a command in a shell without `XDG_RUNTIME_DIR`. Returns the exit code and both outputs.
fn elsewhere(home: &Home, args: &[&str]) -> (i32, String, String) {
    let output = unnamed(&mut home.command(args)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn daemon_of_a_session_is_found_by_a_shell_without_runtime_dir() {
    let daemon = of_session();
    let socket = daemon.home.dir("xdg/srvd/srvd.sock");
    let (code, out, err) = elsewhere(&daemon.home, &["status", "--json"]);
    assert_eq!(code, 0, "{err}");
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["endpoint"]["socket"], socket.to_str().unwrap());
    assert_eq!(status["endpoint"]["pid"], daemon.pid());
    let (code, out, err) = elsewhere(&daemon.home, &["doctor", "--json"]);
    assert!(code <= 1, "{err}");
    let findings: Value = serde_json::from_str(&out).unwrap();
    let found =
        findings["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == "daemon").unwrap();
    assert_eq!(found["severity"], "ok", "{found}");
    assert!(found["detail"].as_str().unwrap().contains(socket.to_str().unwrap()), "{found}");
}

#[test]
fn second_start_names_pid_and_socket_when_the_first_daemon_listens_elsewhere() {
    let daemon = of_session();
    let socket = daemon.home.dir("xdg/srvd/srvd.sock").display().to_string();
    let (code, _, err) = elsewhere(&daemon.home, &["serve"]);
    assert_eq!(code, 75, "{err}");
    assert!(err.contains(&format!("(pid {}, socket {socket})", daemon.pid())), "{err}");
    assert!(err.contains("hint: show it with: srvd status"), "{err}");
    // A command that needs the data directory for itself says how to stop the daemon.
    let (code, _, err) = elsewhere(&daemon.home, &["--migrate-only"]);
    assert_eq!(code, 75, "{err}");
    assert!(err.contains(&format!("hint: stop the daemon (pid {}) first: srvd down", daemon.pid())), "{err}");
}

#[test]
fn ended_daemon_leaves_no_endpoint_and_a_killed_one_is_not_taken_for_running() {
    let daemon = of_session();
    let socket = daemon.home.dir("xdg/srvd/srvd.sock").display().to_string();
    assert!(daemon.home.dir("data/endpoint.json").exists());
    let home = daemon.kill();
    let (code, _, err) = elsewhere(&home, &["status"]);
    assert_eq!(code, 69, "{err}");
    assert!(err.contains("no daemon is running (tried ") && err.contains(&socket), "{err}");
    let (status, home) = home.start().stop();
    assert!(status.success());
    assert!(!home.dir("data/endpoint.json").exists());
    assert!(!home.dir("run/endpoint.json").exists());
}

#[test]
fn import_reports_the_running_daemon_before_it_asks_for_a_passphrase() {
    let daemon = Home::new().start();
    std::fs::write(daemon.home.dir("export"), "not read yet").unwrap();
    let file = daemon.home.dir("export").display().to_string();
    // No terminal and no passphrase are given, so a question would be another error.
    let output = daemon.home.run(&["import", &file]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{err}");
    assert!(err.contains(&format!("hint: stop the daemon (pid {}) first: srvd down", daemon.pid())), "{err}");
}

#[test]
fn long_runtime_dir_is_refused_with_the_setting_that_shortens_it() {
    let home = Home::new();
    let long = home.dir(&"r".repeat(110));
    let output = home.command(&["serve"]).env("SRVD_RUNTIME_DIR", &long).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(73), "{err}");
    assert!(err.contains("set SRVD_RUNTIME_DIR to a directory with a shorter path"), "{err}");
    assert!(!home.dir("data/srvd.db").exists(), "nothing was made");
}
