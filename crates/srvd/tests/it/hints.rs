//! The next steps that commands print: each is typed as it is printed, in the situation that prints it.
//!
//! [`TYPED`] lists the hints that these tests type. A hint of the command line that names a command and is not in the
//! list counts as untyped, and the number of those may only shrink.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::logins::log_in;
use crate::support::fake::{self, HAPPY};
use crate::support::program::Program;
use crate::support::{Daemon, Home, files_below, private_directory};

/// The hints that are typed here, each by a part of its text.
const TYPED: &[&str] = &[
    "start one with: srvd serve",
    "show it with: srvd status",
    "list them with: srvd bundles",
    "list them with: srvd accounts",
    "see: srvd operator list",
    "to make it, add --new",
    "srvd restore --force FILE",
    "bind it with: srvd use BUNDLE",
    "or name a bundle for this command only: --bundle BUNDLE",
    "bind another one with: srvd use BUNDLE",
    "obey the file that is named above with: srvd use --allow",
    "check the file, and then bind the directory with: srvd use BUNDLE",
    "show the bundle that applies here with: srvd which",
    "pass it with --passphrase-file PATH or --passphrase-stdin",
    "To confirm, add --yes",
    "--cancel --bundle BUNDLE",
];
/// The number of hints that name a command and are not typed yet.
const UNTYPED: usize = 24;

#[test]
fn hints_that_are_not_typed_by_a_test_do_not_become_more() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    let mut untyped = Vec::new();
    for file in files_below(&root).into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"))
    {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for rest in code.split(".hint(").skip(1) {
            let Some(literal) = rest.split('"').nth(1).filter(|_| rest.trim_start().starts_with(['"', 'f']))
            else {
                continue;
            };
            let names_a_command = literal.contains("srvd ") || literal.contains(" --");
            if names_a_command && !TYPED.iter().any(|typed| literal.contains(typed)) {
                untyped.push(format!("{}: {literal}", file.display()));
            }
        }
    }
    assert!(untyped.len() <= UNTYPED, "type these in a test, or lower the number: {untyped:#?}");
}

/// Returns the arguments of the command `srvd ...` in the hint that contains `part`. A remark after three spaces is not
/// part of the command.
fn next_step(said: &str, part: &str) -> Vec<String> {
    let hint =
        said.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part:?} in {said}"));
    // The line may begin with the name of the program, as a message does.
    let hint = hint.strip_prefix("srvd: ").unwrap_or(hint);
    let at = hint.find("srvd ").unwrap_or_else(|| panic!("no command in {hint}"));
    let command = hint[at..].split("   ").next().unwrap();
    shell_words(command)
}

/// Splits a command as a shell does, for the quotes that srvd prints.
fn shell_words(command: &str) -> Vec<String> {
    let printed = std::process::Command::new("/bin/sh")
        .args(["-c", &format!("for word in {}; do echo \"$word\"; done", command.trim_end_matches('.'))])
        .output()
        .unwrap();
    String::from_utf8(printed.stdout).unwrap().lines().skip(1).map(str::to_owned).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run(home: &Home, args: &[String]) -> Output {
    home.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Asserts that a command fails with a hint, and that the command in the hint succeeds.
fn leads_on(home: &Home, args: &[&str], part: &str) {
    let failed = home.run(args);
    assert!(!failed.status.success(), "{args:?}");
    let step = next_step(&said(&failed), part);
    let done = run(home, &step);
    assert!(done.status.success(), "{args:?} -> {step:?}: {}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_lists_what_a_command_did_not_find() {
    let daemon = Home::new().start();
    let home = &daemon.home;
    leads_on(home, &["accounts", "--bundle", "Nowhere"], "list them with: srvd bundles");
    leads_on(home, &["account", "forget", "nobody", "--yes"], "list them with: srvd accounts");
    leads_on(home, &["bundle", "delete", "Nowhere", "--yes"], "list them with: srvd bundles");
    leads_on(home, &["operator", "use", "nobody"], "see: srvd operator list");
    leads_on(home, &["serve"], "show it with: srvd status");
}

#[test]
fn next_step_makes_a_key_when_there_is_none() {
    let home = Home::new();
    std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
    let failed = home.run(&["serve", "--migrate-only"]);
    assert_eq!(failed.status.code(), Some(78));
    let step = next_step(&said(&failed), "Make one with: srvd key generate");
    assert!(run(&home, &step).status.success(), "{step:?}");
    assert!(home.run(&["serve", "--migrate-only"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_starts_a_daemon_when_none_runs() {
    let home = Home::new();
    let failed = home.run(&["status"]);
    assert_eq!(failed.status.code(), Some(69));
    let step = next_step(&said(&failed), "start one with: srvd serve");
    assert_eq!(step, ["serve"]);
    let daemon = home.start();
    assert!(daemon.home.run(&["status"]).status.success());
}

/// Answers the prompt of a login that a command has started.
async fn finishes(daemon: &Daemon, step: &[String]) {
    let args: Vec<&str> = step.iter().map(String::as_str).collect();
    let mut login = Program::start(daemon.home.command(&args));
    login.notes("Paste the code or the address that the browser ended on:").await;
    login.types("https://login.fake.test/callback?code=planted-code-123&state=st4te").await;
    let ended = login.end().await;
    assert_eq!(ended.code, Some(0), "{step:?}: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_of_a_refused_login_logs_in() {
    let daemon = fake::home(HAPPY).start();
    let home = &daemon.home;
    // A bundle that does not exist.
    let refused = home.run(&["login", "fake", "--bundle", "my box"]);
    assert!(said(&refused).contains("to make it, add --new"), "{}", said(&refused));
    finishes(&daemon, &["login", "fake", "--bundle", "my box", "--new"].map(str::to_owned)).await;
    // A login that exists.
    let refused = home.run(&["login", "fake", "--bundle", "my box"]);
    finishes(&daemon, &next_step(&said(&refused), "to log in again: srvd login fake")).await;
    // A login that runs.
    let bundle = daemon.call("bundle.create", json!({"name": "other"})).await["id"].clone();
    let started = daemon.call("auth.start", json!({"providerId": "fake", "intoBundleId": bundle})).await;
    let refused = home.run(&["login", "fake", "--bundle", "other"]);
    let step = next_step(&said(&refused), "to cancel the running login");
    let done = run(home, &step);
    assert!(done.status.success(), "{step:?}: {}", said(&done));
    daemon.ended(started["sessionId"].as_str().unwrap()).await;
    // A provider of keys, and a provider of logins.
    let refused = home.run(&["login", "openai"]);
    let mut step = next_step(&said(&refused), "add a key with: srvd add-key openai");
    step.push("--no-validate".to_owned());
    let args: Vec<&str> = step.iter().map(String::as_str).collect();
    let mut added = Program::start(home.command(&args));
    added.types("sk-planted-0123456789abcdef0123456789").await;
    let ended = added.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut refused = Program::start(home.command(&["add-key", "fake"]));
    refused.types("sk-planted-0123456789abcdef0123456789").await;
    let ended = refused.end().await;
    finishes(&daemon, &next_step(&ended.stderr, "log in with: srvd login fake")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_replaces_a_database_that_a_restore_found() {
    let daemon = fake::home(HAPPY).start();
    log_in(&daemon, json!({"bundleName": "work"})).await;
    let backup = daemon.home.dir("backup").display().to_string();
    assert!(daemon.home.run(&["backup", &backup]).status.success());
    let (_, home) = daemon.stop();
    let refused = home.run(&["restore", &backup]);
    let step = next_step(&said(&refused), "srvd restore --force FILE");
    let step: Vec<String> = step.iter().map(|word| word.replace("FILE", &backup)).collect();
    assert!(run(&home, &step).status.success(), "{step:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_makes_an_open_directory_fit_for_a_binding() {
    let daemon = Home::new().start();
    daemon.call("bundle.create", json!({"name": "work"})).await;
    let home = &daemon.home;
    let open = home.dir("home/project");
    private_directory(&open);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let inside = |args: &[&str], dir: &Path| home.command(args).current_dir(dir).output().unwrap();
    for args in [&["use", "work"][..], &["which"]] {
        let refused = inside(args, &open);
        let said = said(&refused);
        assert!(
            !refused.status.success() && said.contains("or name a bundle for this command only: --bundle"),
            "{said}"
        );
        assert!(said.contains(&format!("hint: Run: chmod go-w {}", open.display())), "{said}");
    }
    let step = std::process::Command::new("chmod").arg("go-w").arg(&open).status().unwrap();
    assert!(step.success());
    assert!(inside(&["use", "work"], &open).status.success());
    // An unbound directory names the command that binds it.
    let other = home.dir("home/other");
    private_directory(&other);
    let refused = said(&inside(&["which"], &other));
    let step = next_step(&refused, "bind it with: srvd use BUNDLE");
    let step: Vec<String> = step.iter().map(|word| word.replace("BUNDLE", "work")).collect();
    let args: Vec<&str> = step.iter().map(String::as_str).collect();
    assert!(inside(&args, &other).status.success(), "{step:?}");
}

/// Runs a command in a directory.
fn inside(home: &Home, args: &[&str], dir: &Path) -> Output {
    home.command(args).current_dir(dir).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_mends_the_binding_of_a_directory() {
    let daemon = Home::new().start();
    daemon.call("bundle.create", json!({"name": "work"})).await;
    let home = &daemon.home;
    let (project, below) = (home.dir("home/project"), home.dir("home/project/below"));
    private_directory(&below);
    for (content, can_be_allowed) in [("nowhere\n", true), ("two\nlines\n", false)] {
        std::fs::write(project.join(".srvd"), content).unwrap();
        let mut refused = said(&inside(home, &["which"], &project));
        let allow = "obey the file that is named above with: srvd use --allow";
        assert_eq!(refused.contains(allow), can_be_allowed, "{refused}");
        if can_be_allowed {
            let step = next_step(&refused, allow);
            let args: Vec<&str> = step.iter().map(String::as_str).collect();
            assert!(inside(home, &args, &project).status.success(), "{step:?}");
            refused = said(&inside(home, &["which"], &project));
        }
        let step: Vec<String> = next_step(&refused, "srvd use BUNDLE")
            .iter()
            .map(|word| word.replace("BUNDLE", "work"))
            .collect();
        let args: Vec<&str> = step.iter().map(String::as_str).collect();
        assert!(inside(home, &args, &project).status.success(), "{content:?}: {step:?}");
        assert!(inside(home, &["which"], &project).status.success(), "{content:?}");
    }
    // The directory above is bound, this one is not.
    let refused = said(&inside(home, &["use", "--remove"], &below));
    let step = next_step(&refused, "show the bundle that applies here with: srvd which");
    let args: Vec<&str> = step.iter().map(String::as_str).collect();
    assert!(inside(home, &args, &below).status.success(), "{step:?}");
    // A bundle can be named without a binding.
    let other = home.dir("home/other");
    private_directory(&other);
    let refused = said(&inside(home, &["env"], &other));
    assert!(refused.contains("or name a bundle for this command only: --bundle BUNDLE"), "{refused}");
    let named = said(&inside(home, &["env", "--bundle", "work"], &other));
    assert!(!named.contains("is not bound"), "{named}");
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_answers_a_question_without_a_terminal() {
    let daemon = fake::home(HAPPY).start();
    log_in(&daemon, json!({"bundleName": "work"})).await;
    let home = &daemon.home;
    let file = home.dir("export").display().to_string();
    let refused = said(&home.run(&["export", "--bundle", "work", "--output", &file]));
    assert!(refused.contains("pass it with --passphrase-file PATH or --passphrase-stdin"), "{refused}");
    let args = ["export", "--bundle", "work", "--output", &file, "--passphrase-stdin"];
    let mut export = Program::start(home.command(&args));
    export.types("correct horse battery staple").await;
    let ended = export.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let refused = said(&home.run(&["bundle", "delete", "work"]));
    assert!(refused.contains("To confirm, add --yes"), "{refused}");
    assert!(home.run(&["bundle", "delete", "work", "--yes"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn next_step_cancels_one_of_several_logins() {
    let daemon = fake::home(HAPPY).start();
    for name in ["one", "two"] {
        let bundle = daemon.call("bundle.create", json!({"name": name})).await["id"].clone();
        daemon.call("auth.start", json!({"providerId": "fake", "intoBundleId": bundle})).await;
    }
    let home = &daemon.home;
    let refused = said(&home.run(&["login", "fake", "--cancel"]));
    for name in ["one", "two"] {
        let step = next_step(&refused, "--cancel --bundle BUNDLE");
        let step: Vec<String> = step.iter().map(|word| word.replace("BUNDLE", name)).collect();
        assert!(run(home, &step).status.success(), "{step:?}");
    }
}
