//! The encryption key in the OS keychain, tested with a real Secret Service on a private bus.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Daemon, Home, KEY, PATIENCE};

/// Configuration of a bus that starts no services, so that a keychain exists only where a test starts one.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"#;
const ASKS: &str = "[key]\nkeychain = true\n";

/// A desktop session, as far as a keychain needs one.
struct Session {
    dir: tempfile::TempDir,
    address: String,
    /// The keychain comes before the bus, so that it ends first.
    children: Vec<Child>,
}

impl Session {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("srvd-keychain-").tempdir().unwrap();
        let file = dir.path().join("bus.conf");
        std::fs::write(&file, BUS).unwrap();
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { dir, address: address.trim().to_owned(), children: vec![bus] }
    }

    fn with_keychain() -> Self {
        let mut session = Self::start();
        let mut keychain = session
            .aside(&mut Command::new("gnome-keyring-daemon"))
            .args(["--foreground", "--unlock", "--components=secrets"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        keychain.stdin.take().unwrap().write_all(b"the password of the session").unwrap();
        session.children.insert(0, keychain);
        let owned = || {
            let mut ask = Command::new("dbus-send");
            ask.args(["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"])
                .args(["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]);
            String::from_utf8(session.aside(&mut ask).output().unwrap().stdout).unwrap().contains("true")
        };
        let deadline = Instant::now() + PATIENCE;
        while !owned() {
            assert!(Instant::now() < deadline, "the keychain did not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        session
    }

    /// Sets the variables by which a program finds this session and no other.
    fn aside<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", self.dir.path())
            .env("XDG_DATA_HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.dir.path())
    }

    fn run(&self, home: &Home, args: &[&str]) -> Output {
        self.tell(&mut home.command(args)).output().unwrap()
    }

    /// Sets the address of the session's bus. A daemon has its own directories.
    fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address)
    }

    fn daemon(&self, home: Home) -> Daemon {
        home.start_with(|command| self.tell(command))
    }

    fn signal_keychain(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.children[0].id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Creates a home without a key in a file.
fn home() -> Home {
    let home = Home::new().config("srvd.toml", ASKS);
    std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
    home
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

fn refused(output: &Output, code: i32, part: &str) {
    let (got, text) = said(output);
    assert!(got == Some(code) && text.contains(part), "{got:?}: {text}, not {part}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keychain_holds_the_key_and_its_rotation() {
    let session = Session::with_keychain();
    let home = home();
    refused(&session.run(&home, &["--migrate-only"]), 78, "srvd key generate --keychain");

    let made = session.run(&home, &["key", "generate", "--keychain"]);
    assert_eq!((made.status.code(), made.stdout.as_slice()), (Some(0), b"the OS keychain\n".as_slice()));
    assert!(!said(&made).1.contains("base64:"), "the key was printed");
    refused(&session.run(&home, &["key", "generate", "--keychain"]), 73, "not overwritten");

    let daemon = session.daemon(home);
    let secret = "sk-proj-planted-secret-0123456789abcdefghij";
    let params = json!({"providerId": "openai", "bundleName": "Work", "apiKey": secret, "accountName": "Key",
        "validate": false});
    let bundle = daemon.call("auth.submitapikey", params).await["bundleId"].clone();
    let home = daemon.stop().1;
    let doctor = session.run(&home, &["doctor", "--json"]);
    assert!(String::from_utf8(doctor.stdout).unwrap().contains("in the OS keychain (key id "));

    // A new key replaces it in the keychain, and secrets sealed with the old key can be opened with the new one.
    let rotated = session.run(&home, &["key", "rotate"]);
    assert_eq!(rotated.status.code(), Some(0), "{}", said(&rotated).1);
    let daemon = session.daemon(home);
    let launch: Value = daemon.call("launch.resolve", json!({"bundleId": bundle})).await;
    assert_eq!(launch["set"]["OPENAI_API_KEY"], secret, "{launch}");
    let home = daemon.stop().1;

    // A different key does not replace it.
    crate::support::private_file(&home.dir("config/encryption.key"), KEY.as_bytes());
    refused(&session.run(&home, &["--migrate-only"]), 78, "hold different encryption keys");
    refused(&session.run(&home, &["key", "rotate"]), 78, "hold different encryption keys");
}

#[test]
fn srvd_refuses_to_run_when_the_keychain_gives_no_key() {
    let home = Home::new().config("srvd.toml", ASKS);
    let without = Session::start();
    refused(&without.run(&home, &["--migrate-only"]), 78, "the OS keychain cannot be used: ");
    refused(&without.run(&home, &["key", "generate", "--keychain"]), 78, "the OS keychain cannot be used: ");

    let session = Session::with_keychain();
    refused(&session.run(&home, &["--migrate-only"]), 78, "holds no encryption key of srvd");
    session.signal_keychain(rustix::process::Signal::STOP);
    refused(&session.run(&home, &["--migrate-only"]), 78, "did not answer within 8 s");
    session.signal_keychain(rustix::process::Signal::CONT);
    assert!(!home.dir("data/srvd.db").exists());
}
