//! `srvd providers check`, with the fake CLI as a provider that has changed.

use std::net::TcpListener;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::fake;
use crate::support::program::Program;
use crate::support::{Home, files_below};

/// A script of a CLI that shows everything and then waits for a person.
pub(crate) const GOOD: &str = "\
when --version
out fakecli 1.2.3
when login
out Open https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback
outn Paste code here > 
hang
when login --tty
out Open https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback
outn Paste code here > 
hang
when login --device
out Go to https://login.fake.test/device
out code: ABCD-1234
hang
";

/// Part of the entry by which the fake CLI can be distinguished from other programs.
const PATTERN: &str =
    "[providers.fake.cli]\nversion-pattern = '^fakecli (?P<version>[0-9.]+)$'\ntested = '1.2.3'\n";

/// Creates a machine with the fake CLI and this overlay of its entry.
pub(crate) fn machine(script: &str, overlay: &str) -> Home {
    let home = fake::home(script).config("providers.d/z.toml", &format!("{PATTERN}{overlay}"));
    crate::support::private_directory(&home.dir("tmp"));
    holds(&home, "FAKE_HOME FAKE_SCRIPT FAKE_API_KEY FAKE_TOKEN");
    home
}

/// Adds text to the end of the program, which changes nothing for the system.
fn holds(home: &Home, text: &str) {
    use std::io::Write as _;
    let mut program = std::fs::OpenOptions::new().append(true).open(home.dir("bin/fakecli")).unwrap();
    write!(program, "\n{text}\n").unwrap();
}

fn check(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let args = [&["providers", "check"], args].concat();
    let Output { status, stdout, stderr } =
        home.command(&args).env("TMPDIR", home.dir("tmp")).output().unwrap();
    assert_eq!(std::fs::read_dir(home.dir("tmp")).unwrap().count(), 0, "nothing is left behind");
    assert_eq!(std::fs::read_dir(home.dir("data")).unwrap().count(), 0, "the daemon's data is not touched");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn cli_matches_when_it_has_not_changed() {
    let home = machine(GOOD, "");
    let (code, stdout, stderr) = check(&home, &["Fake-CLI"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let lines: Vec<&str> = stdout.lines().collect();
    let path = home.dir("bin/fakecli").display().to_string();
    assert_eq!(lines[0], format!("fake: ok: version 1.2.3, {path}"));
    for (line, start) in lines[1..].iter().zip([
        "fake pipe: ok: address at login.fake.test, prompt, ",
        "fake pty: ok: address at login.fake.test, prompt, ",
        "fake device: ok: address at login.fake.test, code, ",
        "fake token: ok: address at login.fake.test, prompt, ",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(lines.len(), 5);
    let (code, stdout, _) = check(&home, &[]);
    assert!(code == Some(0) && stdout.contains("fake device: ok"), "all providers at once: {stdout}");

    let (code, stdout, _) = check(&home, &["fake", "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let fake = &report["providers"][0];
    assert_eq!(code, Some(0));
    for (field, expect) in [("id", "fake"), ("outcome", "ok"), ("version", "1.2.3"), ("tested", "1.2.3")] {
        assert_eq!(fake[field], expect);
    }
    assert_eq!((&fake["path"], &fake["problems"], &fake["notes"]), (&json!(path), &json!([]), &json!([])));
    assert_eq!(fake["recipes"][2]["outcome"], "ok");
    assert_eq!(fake["recipes"][2]["details"][1], "code");
}

#[test]
fn check_names_the_difference_when_the_cli_has_changed() {
    let check = |from: &str, to: &str, expect: &str| {
        let script = GOOD.replace(from, to);
        assert_ne!(script, GOOD);
        let (code, stdout, _) = check(&machine(&script, ""), &["fake", "--wait", "2"]);
        assert_eq!(code, Some(1), "{stdout}");
        assert!(stdout.lines().any(|line| line.contains(expect)), "{expect:?} in\n{stdout}");
    };
    check("login.fake.test/authorize", "login.evil.test/authorize", {
        "fake pty: DOES NOT MATCH: the address is on the host login.evil.test, which is not one of: login.fake.test"
    });
    check("authorize?state=st4te&", "authorize?", {
        "fake pipe: DOES NOT MATCH: the address has no state, so pasted answers are refused"
    });
    check("st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback", "st4te", {
        "fake pipe: DOES NOT MATCH: the address has no redirect_uri, so pasted answers are refused"
    });
    check("Paste code here", "Gib den Code ein", {
        "fake pipe: DOES NOT MATCH: no prompt for pasted input, no further output within 2 s"
    });
    check("code: ABCD", "number ABCD", "fake device: DOES NOT MATCH: no code, no further output within 2 s");
    check("out Go to https://login.fake.test/device", "out Go elsewhere", {
        "fake device: DOES NOT MATCH: no address, no further output within 2 s"
    });
    check(
        "out Open https://login.fake.test/authorize?state=st4te&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback\n",
        "",
        "fake pipe: DOES NOT MATCH: no address, no further output within 2 s",
    );
    check("when login --device\n", "when login --device\nerr error: unknown option\nexit 2\n", {
        "fake device: DOES NOT MATCH: no code, no address, the CLI exited with an error: error: unknown option (exit code 2)"
    });
    check(
        "when login --device\n",
        "when login --device\nhang\n",
        "fake device: DOES NOT MATCH: no code, no address",
    );
    check("out fakecli 1.2.3", "out fakecli is no longer maintained.", {
        "fake: DOES NOT MATCH: its version output is not that of this CLI: \"fakecli is no longer maintained.\""
    });
    check("out fakecli 1.2.3", "exit 1", "fake: DOES NOT MATCH: prints no version with: --version");
    let login = r#"write credentials.json {"access":"a"}"#;
    check("when login --device\n", &format!("when login --device\ndir-var FAKE_HOME\n{login}\nexit 0\n"), {
        "the CLI logged in without the user, and a check stores no login"
    });
}

#[test]
fn retired_cli_does_not_match_when_its_version_matches() {
    let script = GOOD.replace(
        "when login --device\n",
        "when login --device\nerr fakecli is no longer maintained.\nexit 0\n",
    );
    let pattern = "retired = ['^fakecli is no longer maintained']";
    let recipe = format!(
        "[[providers.fake.cli.recipes]]\nid = 'device'\nargs = ['login', '--device']\noffline = false\n\
         patterns = {{ device-code = 'code: (?P<code>\\S+)$', {pattern} }}\n"
    );
    let (code, stdout, _) = check(&machine(&script, &recipe), &["fake"]);
    let expected = "fake device: DOES NOT MATCH: the program is no longer the provider's CLI: fakecli is no longer maintained.";
    assert!(code == Some(1) && stdout.lines().any(|line| line == expected), "{stdout}");
}

#[test]
fn check_passes_with_a_note_when_the_version_is_newer() {
    let (code, stdout, _) = check(&machine(&GOOD.replace("1.2.3", "1.10.0"), ""), &["fake"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("note: version 1.10.0, but the entry was tested with 1.2.3"), "{stdout}");
}

#[test]
fn check_exits_69_with_an_install_hint_when_the_cli_is_missing() {
    let home = machine(GOOD, "");
    std::fs::remove_file(home.dir("bin/fakecli")).unwrap();
    let (code, stdout, stderr) = check(&home, &["fake"]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(69), "fake: not installed: build the examples of auth-spawner\n")
    );
    assert!(stderr.contains("hint: install it with: build the examples"), "{stderr}");
    assert_eq!(check(&home, &[]).0, Some(0), "among others it is none of their faults");
    assert_eq!(check(&home, &["nobody"]).0, Some(64));
    let (code, _, stderr) = check(&home, &["openai"]);
    assert!(code == Some(64) && stderr.contains("has no CLI to check"), "{stderr}");
}

#[test]
fn cli_counts_as_not_installed_when_its_program_is_another_providers() {
    let other = "[providers.twin]\ndisplay-name = 'Twin'\nclass = 'oauth'\n[providers.twin.cli]\nbinaries = ['fakecli']\n\
        install = 'get twin'\nversion-pattern = '^twin '\nconfig-dir = { var = 'TWIN', name = 'twin', ambient = '~/.twin' }\n";
    // Run as the twin's CLI, the program prints another version text, or no usable one.
    for env in ["", "env = { FAKE_SCRIPT = '@SCRIPT@' }\n"] {
        let home = machine(GOOD, "");
        let env = env.replace("@SCRIPT@", home.dir("script").to_str().unwrap());
        let home = home.config("providers.d/zz.toml", &format!("{other}{env}"));
        let (code, stdout, _) = check(&home, &["twin"]);
        let path = home.dir("bin/fakecli").display().to_string();
        assert_eq!(code, Some(69));
        assert_eq!(stdout, format!("twin: not installed: get twin, note: {path} is the CLI of fake\n"));
    }
}

#[test]
fn check_passes_when_a_recipe_cannot_be_tried() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let recipes = format!(
        "[[providers.fake.cli.recipes]]\nid = 'port'\nargs = ['login']\ncallback-ports = [{port}]\n\
         [[providers.fake.cli.recipes]]\nid = 'far'\nargs = ['offline']\noffline = false\n\
         [[providers.fake.cli.recipes]]\nid = 'near'\nargs = ['login']\noffline = false\n"
    );
    let script = format!("{GOOD}when offline\nerr cannot reach the server\nexit 1\n");
    let (code, stdout, _) = check(&machine(&script, &recipes), &["fake"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains(&format!("fake port: skipped: port {port} is in use by ")), "{stdout}");
    let far = "fake far: not checked: needs the network, no address, the CLI exited with an error: cannot reach the server (exit code 1)";
    assert!(stdout.contains(far), "{stdout}");
    assert!(stdout.contains("fake near: ok: address at login.fake.test"), "{stdout}");
}

#[test]
fn check_leaves_no_process_running() {
    let script = GOOD
        .replace("when login --device\n", "when login --device\nspawn-grandchild pid detach\nignore TERM\n");
    let home = machine(&script, "");
    let (code, stdout, _) = check(&home, &["fake"]);
    let pid = std::fs::read_to_string(home.dir("pid")).unwrap();
    // A process that has ended and is not reaped yet has no environment.
    let environment = std::fs::read(format!("/proc/{}/environ", pid.trim())).unwrap_or_default();
    assert!(environment.is_empty(), "{stdout}");
    assert_eq!(code, Some(0), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_exits_130_and_removes_its_files_when_interrupted() {
    let script = GOOD.replace("when login\n", "when login\ntouch started\nhang\n");
    let home = machine(&script, "");
    let mut command = home.command(&["providers", "check", "fake"]);
    command.env("TMPDIR", home.dir("tmp"));
    let program = Program::start(command);
    while !home.dir("started").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    program.signal(rustix::process::Signal::INT);
    let ended = program.end().await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(files_below(&home.dir("tmp")), Vec::<std::path::PathBuf>::new());
}

/// The parts of the entry that a new version changes.
const WATCHED: &str = "help = [{ args = ['login', '--help'], options = ['--device', '--tty'] }]\n\
    scrub = ['FAKE_URL']\nenvironment-prefixes = ['FAKE_']\n";

/// A script of a newer version, with other options.
fn newer() -> String {
    format!("{}when login --help\nout --tty and --browser\n", GOOD.replace("1.2.3", "1.3.0"))
}

#[test]
fn check_names_new_options_and_new_environment_names() {
    let home = machine(&newer(), WATCHED);
    holds(&home, "FAKE_NEW_TOKEN FAKE_COLOR FAKE_NEW_ENDPOINT FAKE_URL");
    let (code, stdout, _) = check(&home, &["fake", "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let fake = &report["providers"][0];
    assert_eq!((code, &fake["outcome"]), (Some(0), &json!("ok")), "{stdout}");
    assert_eq!(fake["unknownNames"], json!(["FAKE_NEW_ENDPOINT", "FAKE_NEW_TOKEN"]));
    let notes = [
        "version 1.3.0, but the entry was tested with 1.2.3",
        "environment names that the entry does not know: FAKE_NEW_ENDPOINT FAKE_NEW_TOKEN",
        "`login --help` now has --browser and no longer has --device",
    ];
    assert_eq!(fake["notes"], json!(notes));
    let (_, stdout, _) = check(&home, &["--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let all = report["providers"].as_array().unwrap();
    let fake = all.iter().find(|provider| provider["id"] == "fake").unwrap();
    assert_eq!(
        fake.get("unknownNames"),
        None,
        "a check of all looks through no program unless it is asked to"
    );
}

#[test]
fn check_says_that_a_packed_program_is_not_readable() {
    let more = ["A", "B", "C", "D", "E", "F"].map(|letter| format!("'FAKE_{letter}_URL'")).join(", ");
    let more = format!("scrub = [{more}]\nenvironment-prefixes = ['FAKE_']\n");
    let (code, stdout, _) = check(&machine(GOOD, &more), &["fake"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("note: environment names: not readable, the program is packed"), "{stdout}");
}

#[test]
fn check_proposes_a_file_that_the_registry_accepts() {
    let home = machine(&newer(), WATCHED);
    holds(&home, "FAKE_NEW_TOKEN FAKE_URL");
    let (code, stdout, stderr) = check(&home, &["fake", "--propose"]);
    let expected = "schema = 2\n\n[providers.fake.cli]\ntested = \"1.3.0\"\n\
        # Remove the names that lead to no credential and to no other address.\n\
        scrub = [\"FAKE_URL\", \"FAKE_NEW_TOKEN\"]\n\
        help = [\n    { args = [\"login\", \"--help\"], options = [\"--browser\", \"--tty\"] },\n]\n";
    assert_eq!((code, stdout.as_str()), (Some(0), expected));
    assert!(stderr.contains("fake: ok: version 1.3.0"), "{stderr}");
    let home = home.config("providers.d/zz.toml", &stdout);
    let (code, stdout, _) = check(&home, &["fake", "--propose"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "# Nothing has changed.\n"));
}

#[test]
fn check_proposes_no_other_host() {
    let script = GOOD.replace("login.fake.test/authorize", "login.evil.test/authorize");
    let (code, stdout, _) = check(&machine(&script, ""), &["fake", "--propose", "--wait", "2"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("# fake: the address is on the host login.evil.test"), "{stdout}");
    let keys: toml::Table = stdout.parse().unwrap();
    assert_eq!(keys.get("providers"), None, "{stdout}");
}

/// An entry of a new CLI, and a recording of its login.
pub(crate) const TWIN: &str = "schema = 2\n[providers.twin]\ndisplay-name = 'Twin'\nclass = 'oauth'\n[providers.twin.cli]\n\
    binaries = ['twin']\ninstall = 'get twin'\ntested = '1.0'\nurl-hosts = ['twin.test']\n\
    config-dir = { var = 'TWIN_HOME', name = 'twin', ambient = '~/.twin' }\n\
    credential = { path = 'auth.json', requires = ['/token'] }\n[[providers.twin.cli.recipes]]\nid = 'login'\n\
    args = ['login']\npatterns = { device-code = 'code: (?P<code>\\S+)', logged-in = ['^Done'] }\n";
const TWIN_LIST: &str = "[[recording]]\nname = 'twin-pipe'\nprovider = 'twin'\nrecipe = 'login'\nversion = '1.0'\n\
    on = 'pipe'\nheard = ['verify at https://twin.test/device', 'code TWIN-1', 'logged in']\n";
const TWIN_EVENTS: &str = "[0.1, \"out\", \"Open https://twin.test/device\\ncode: TWIN-1\\n\"]\n\
    [2.0, \"in\", \"typed\"]\n[3.0, \"out\", \"Done\\n\"]\n[3.1, \"out\", \"EOF\"]\n";

/// Writes an operator's file with its recording, and adds it.
fn add(home: &Home, entry: &str, list: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let place = home.dir("own");
    crate::support::private_directory(&place.join("twin.recordings"));
    std::fs::write(place.join("twin.toml"), entry).unwrap();
    std::fs::write(place.join("twin.recordings/recordings.toml"), list).unwrap();
    std::fs::write(place.join("twin.recordings/twin-pipe.events"), TWIN_EVENTS).unwrap();
    for name in ["twin.toml", "twin.recordings/recordings.toml", "twin.recordings/twin-pipe.events"] {
        std::fs::set_permissions(place.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
    }
    add_file(home, &place.join("twin.toml"), more)
}

fn add_file(home: &Home, file: &std::path::Path, more: &[&str]) -> (Option<i32>, String, String) {
    let args = [&["providers", "add", file.to_str().unwrap()], more].concat();
    let Output { status, stdout, stderr } = home.command(&args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn added_file_is_laid_over_when_its_recordings_are_understood() {
    let home = Home::new();
    let target = home.dir("config/providers.d/twin.toml");
    let (code, stdout, stderr) = add(&home, TWIN, TWIN_LIST, &[]);
    let expected =
        format!("added twin to {} (1 recording checked). Restart the daemon to use it.\n", target.display());
    assert_eq!((code, stdout), (Some(0), expected), "{stderr}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), TWIN);
    let (code, stdout, _) = check(home_with_tmp(&home), &["twin"]);
    assert_eq!((code, stdout.as_str()), (Some(69), "twin: not installed: get twin\n"));
    let (code, _, stderr) = add(&home, TWIN, TWIN_LIST, &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("exists already") && stderr.contains("--replace"), "{stderr}");
    assert_eq!(add(&home, TWIN, TWIN_LIST, &["--replace"]).0, Some(0));
}

fn home_with_tmp(home: &Home) -> &Home {
    crate::support::private_directory(&home.dir("tmp"));
    home
}

#[test]
fn added_file_is_refused_and_changes_nothing_when_it_does_not_fit() {
    let refused = |entry: &str, list: &str, expected: &str| {
        let home = Home::new();
        let (code, _, stderr) = add(&home, entry, list, &[]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(expected), "{expected:?} in {stderr}");
        assert!(!home.dir("config/providers.d").exists(), "{expected}");
    };
    refused(&TWIN.replace("url-hosts", "url-host"), TWIN_LIST, "unknown field");
    refused(
        &TWIN.replace("'twin.test'", "'other.test'"),
        TWIN_LIST,
        "the recording twin-pipe does not fit: heard",
    );
    refused(
        TWIN,
        &TWIN_LIST.replace("'logged in'", "'denied: no'"),
        "the recording twin-pipe does not fit: heard",
    );
    refused(TWIN, &TWIN_LIST.replace("'twin'", "'codex'"), "no recording shows the login twin login");
    refused(TWIN, "recording = []", "no recording shows the login twin login");
    refused(TWIN, &TWIN_LIST.replace("twin-pipe", "../twin"), "is not the name of a file");
    refused(TWIN, "recording = 1", "recordings.toml: ");
}

#[test]
fn added_file_needs_no_recording_when_its_entry_is_marked_as_untested() {
    let home = Home::new();
    let (code, stdout, stderr) = add(&home, &TWIN.replace("tested = '1.0'\n", ""), "recording = []", &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("(0 recordings checked)"), "{stdout}");
}

#[test]
fn added_file_is_refused_when_others_may_change_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    crate::support::private_directory(&home.dir("own"));
    let file = home.dir("own/open.toml");
    std::fs::write(&file, TWIN).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).unwrap();
    let (code, _, stderr) = add_file(&home, &file, &[]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("has mode 0664, so other users can change it") && stderr.contains("chmod go-w"),
        "{stderr}"
    );
    let link = home.dir("own/link.toml");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let (code, _, stderr) = add_file(&home, &link, &[]);
    assert!(code == Some(1) && stderr.contains("is not a regular file"), "{stderr}");
    let (code, _, stderr) = add_file(&home, &home.dir("own/none.toml"), &[]);
    assert!(code == Some(64) && stderr.contains("cannot be read"), "{stderr}");
    assert_eq!(add_file(&home, &home.dir("own/none.txt"), &[]).0, Some(64));
    assert!(!home.dir("config/providers.d").exists());
}
