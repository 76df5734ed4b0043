//! `srvd doctor` on machines in many states: its findings, its repairs, and the things that it leaves unchanged.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::support::fake::{self, HAPPY};
use crate::support::{Home, files_below};

/// Runs `srvd doctor` and returns the exit code and the findings.
fn doctor(home: &Home, args: &[&str]) -> (i32, Vec<Value>) {
    doctor_with(home, args, &[])
}

fn doctor_with(home: &Home, args: &[&str], vars: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let mut command = home.command(&[&["doctor", "--json"], args].concat());
    let output = command.envs(vars.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    let findings: Vec<Value> = serde_json::from_value(all["findings"].take()).unwrap();
    for finding in &findings {
        for field in ["id", "severity", "title", "detail", "meaning"] {
            assert!(finding[field].is_string(), "{field} of {finding}");
        }
    }
    (output.status.code().unwrap(), findings)
}

fn severity<'a>(findings: &'a [Value], id: &str) -> Option<&'a str> {
    findings.iter().find(|finding| finding["id"] == id)?["severity"].as_str()
}

fn find<'a>(findings: &'a [Value], id: &str) -> &'a Value {
    findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {findings:?}"))
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns whether file modes restrict this user. They do not restrict root.
fn modes_matter() -> bool {
    !rustix::process::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_reports_ok_when_daemon_runs() {
    let daemon = fake::home(HAPPY).start();
    let (code, findings) = doctor(&daemon.home, &[]);
    assert_eq!(code, 0, "{findings:?}");
    for id in ["config", "key", "key.database", "database", "config.dir", "data.dir", "runtime.dir", "daemon"]
    {
        assert_eq!(severity(&findings, id), Some("ok"), "{id} in {findings:?}");
    }
    let detail = find(&findings, "daemon")["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("process {},", daemon.pid())), "{detail}");
    assert_eq!(severity(&findings, "cli.fake"), Some("ok"), "{findings:?}");
    // The check has not changed the daemon.
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn doctor_suggests_key_generate_when_home_has_no_key() {
    let home = Home::new();
    std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
    let (code, findings) = doctor(&home, &[]);
    assert_eq!(code, 1);
    assert_eq!(find(&findings, "key")["fix"], "srvd key generate");
    assert_eq!(find(&findings, "key")["severity"], "error");
    assert_eq!(severity(&findings, "daemon"), Some("note"));
    assert_eq!(severity(&findings, "database"), Some("note"));
    assert_eq!(files_below(&home.dir("data")), Vec::<std::path::PathBuf>::new());
    assert!(!home.dir("run").exists(), "a look has made something");

    let text = home.run(&["doctor"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("✗ error: There is no encryption key\n"), "{text}");
    assert!(text.contains("\n    → srvd key generate\n"), "{text}");
}

#[test]
fn doctor_compares_key_and_changes_nothing_when_no_daemon_runs() {
    let home = Home::new();
    assert!(home.run(&["--migrate-only"]).status.success());
    let files = |home: &Home| {
        let read = |path: std::path::PathBuf| (path.clone(), std::fs::read(path).unwrap());
        files_below(&home.dir("data")).into_iter().map(read).collect::<Vec<_>>()
    };
    let before = files(&home);
    let (code, findings) = doctor(&home, &[]);
    assert_eq!((code, severity(&findings, "key.database")), (0, Some("ok")), "{findings:?}");
    let other = "another-key-0123456789abcdef-0123456789";
    crate::support::private_file(&home.dir("config/encryption.key"), other.as_bytes());
    let (code, findings) = doctor(&home, &[]);
    assert_eq!((code, severity(&findings, "key.database")), (1, Some("error")), "{findings:?}");
    assert!(!format!("{findings:?}").contains(other));
    assert_eq!(files(&home), before);
}

#[test]
fn doctor_repairs_file_modes_only_when_fix_is_given() {
    let home = Home::new();
    assert!(home.run(&["--migrate-only"]).status.success());
    let (key, data) = (home.dir("config/encryption.key"), home.dir("data"));
    let login = home.dir("data/identities/gone/codex");
    std::fs::DirBuilder::new().recursive(true).create(&login).unwrap();
    for dir in [&data, &home.dir("data/identities"), &home.dir("data/identities/gone"), &login] {
        set_mode(dir, 0o755);
    }
    set_mode(&key, 0o644);
    let (code, findings) = doctor(&home, &[]);
    assert_eq!(code, 1);
    for id in ["key", "data.dir", "identities.mode"] {
        let finding = find(&findings, id);
        assert_eq!((&finding["severity"], &finding["fixable"]), (&"error".into(), &true.into()), "{finding}");
    }
    assert_eq!(severity(&findings, "identities.unowned"), Some("note"), "{findings:?}");
    assert_eq!(
        (mode(&key), mode(&data), mode(&login)),
        (0o644, 0o755, 0o755),
        "a look has changed something"
    );

    let (code, findings) = doctor(&home, &["--fix"]);
    assert_eq!(code, 0, "{findings:?}");
    for id in ["key", "data.dir", "identities.mode"] {
        assert_eq!(find(&findings, id)["fixed"], true, "{findings:?}");
    }
    assert_eq!(severity(&findings, "key.database"), Some("ok"), "{findings:?}");
    assert_eq!((mode(&key), mode(&data), mode(&login)), (0o600, 0o700, 0o700));
    assert!(home.dir("run").is_dir());
    let (code, findings) = doctor(&home, &["--fix"]);
    assert_eq!(code, 0);
    assert!(findings.iter().all(|finding| finding.get("fixed").is_none()), "{findings:?}");
}

#[test]
fn doctor_reports_and_repairs_data_directory_without_permissions() {
    if !modes_matter() {
        // No mode keeps root out, so doctor can only report the mode.
        let home = Home::new();
        set_mode(&home.dir("data"), 0o000);
        let (code, findings) = doctor(&home, &[]);
        assert_eq!((code, severity(&findings, "data.dir")), (1, Some("error")), "{findings:?}");
        assert_eq!(doctor(&home, &["--fix"]).0, 0);
        assert_eq!(mode(&home.dir("data")), 0o700);
        return;
    }
    let home = Home::new();
    assert!(home.run(&["--migrate-only"]).status.success());
    set_mode(&home.dir("data"), 0o000);
    let (code, findings) = doctor(&home, &[]);
    assert_eq!((code, severity(&findings, "data.dir")), (1, Some("error")), "{findings:?}");
    assert_eq!(severity(&findings, "database"), Some("error"), "{findings:?}");
    let (code, findings) = doctor(&home, &["--fix"]);
    assert_eq!((code, severity(&findings, "database")), (0, Some("ok")), "{findings:?}");
    assert_eq!(mode(&home.dir("data")), 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_fix_removes_files_of_killed_daemon_and_keeps_those_of_running_one() {
    let home = Home::new().start().kill();
    let (endpoint, token) = (home.dir("run/endpoint.json"), home.dir("run/token"));
    let (code, findings) = doctor(&home, &[]);
    let finding = find(&findings, "daemon");
    assert_eq!(
        (code, &finding["severity"], &finding["fixable"]),
        (0, &"warning".into(), &true.into()),
        "{finding}"
    );
    assert!(endpoint.exists() && token.exists());
    let (code, findings) = doctor(&home, &["--fix"]);
    assert_eq!((code, &find(&findings, "daemon")["fixed"]), (0, &true.into()), "{findings:?}");
    assert!(!endpoint.exists() && !token.exists());

    let daemon = home.start();
    assert_eq!(doctor(&daemon.home, &["--fix"]).0, 0);
    assert!(endpoint.exists() && token.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_distinguishes_unresponsive_daemon_from_absent_one() {
    let home = Home::new().start().kill();
    let pid = crate::support::Endpoint::of(&home).pid;
    std::fs::remove_file(home.dir("run/srvd.sock")).unwrap();
    // The socket accepts connections and never answers.
    let _listener = std::os::unix::net::UnixListener::bind(home.dir("run/srvd.sock")).unwrap();
    let (code, findings) = doctor(&home, &["--fix"]);
    let finding = find(&findings, "daemon");
    assert_eq!((code, &finding["title"]), (1, &"The daemon does not answer".into()), "{finding}");
    assert!(home.dir("run/endpoint.json").exists());
    let status = home.run(&["status", "--timeout", "1"]);
    assert_eq!((status.status.code(), status.stdout.as_slice()), (Some(69), b"".as_slice()));
    let expect = format!("srvd: the daemon (pid {pid}) did not answer within 1 s\n");
    let said = String::from_utf8(status.stderr).unwrap();
    assert!(said.starts_with(&expect), "{said}");
}

#[test]
fn doctor_names_variables_and_hides_their_values() {
    let home = Home::new();
    let vars = [
        ("ANTHROPIC_API_KEY", "sk-planted-value-1"),
        ("CODEX_HOME", "/planted-value-2"),
        ("OAUTH_ENCRYPTION_KEY", crate::support::KEY),
    ];
    let (code, findings) = doctor_with(&home, &[], &vars);
    assert_eq!(code, 0, "{findings:?}");
    assert_eq!(severity(&findings, "environment.ANTHROPIC_API_KEY"), Some("warning"));
    assert_eq!(severity(&findings, "environment.CODEX_HOME"), Some("note"));
    assert_eq!(severity(&findings, "key.variable"), Some("note"));
    let text = home.command(&["doctor"]).envs(vars).output().unwrap();
    let text = String::from_utf8([text.stdout, text.stderr].concat()).unwrap();
    assert!(text.contains("ANTHROPIC_API_KEY is set in this environment"), "{text}");
    for said in [text, format!("{findings:?}")] {
        assert!(!said.contains("planted-value") && !said.contains(crate::support::KEY), "{said}");
    }
}

#[test]
fn doctor_reports_finding_when_configuration_is_unusable() {
    let home = Home::new().config("srvd.toml", "no-such-key = 1\n");
    let (code, findings) = doctor(&home, &[]);
    assert_eq!((code, findings.len(), severity(&findings, "config")), (1, 1, Some("error")), "{findings:?}");
    let home = Home::new().config("providers.d/x.toml", "[providers.codex]\nnonsense = 1\n");
    let (code, findings) = doctor(&home, &[]);
    assert_eq!((code, severity(&findings, "config")), (1, Some("error")), "{findings:?}");
    assert!(findings.len() > 5, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_reports_own_login_before_and_after_adoption() {
    let home = fake::home(HAPPY);
    std::fs::DirBuilder::new().create(home.dir("home/.fake")).unwrap();
    let own = home.dir("home/.fake/credentials.json");
    let login = r#"{"access": "planted-access", "refresh": "planted-refresh", "email": "ada@x", "id": "1"}"#;
    std::fs::write(&own, login).unwrap();
    let severity_of_own = |home: &Home| {
        let (_, findings) = doctor(home, &["--fix"]);
        assert!(!format!("{findings:?}").contains("planted-"));
        find(&findings, "own-login.fake")["severity"].clone()
    };
    assert_eq!(severity_of_own(&home), "note");
    let daemon = home.start();
    assert_eq!(severity_of_own(&daemon.home), "ok");
    assert_eq!(std::fs::read_to_string(own).unwrap(), login);
}

/// Doctor makes no claim about how a CLI uses files that srvd cannot take over.
#[test]
fn doctor_explains_why_own_files_hold_no_login() {
    let home = Home::new();
    for dir in [".codex", ".copilot", ".config/gh", ".local/share/opencode"] {
        std::fs::DirBuilder::new().recursive(true).create(home.dir("home").join(dir)).unwrap();
    }
    let write = |path: &str, text: &str| std::fs::write(home.dir("home").join(path), text).unwrap();
    write(".codex/auth.json", r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-planted"}"#);
    write(".config/gh/hosts.yml", "github.com:\n    git_protocol: https\n");
    write(
        ".local/share/opencode/auth.json",
        r#"{"github-copilot": {"type": "oauth", "refresh": "ghu_planted", "access": "ghu_planted", "expires": 0}}"#,
    );
    std::os::unix::fs::symlink("config.json", home.dir("home/.copilot/config.json")).unwrap();
    let (_, findings) = doctor(&home, &[]);
    for (provider, title, detail) in [
        (
            "codex",
            "Your own files of Codex contain no login that srvd can take over",
            "~/.codex: auth.json selects apikey, so the CLI would not use this login",
        ),
        (
            "copilot",
            "Your own files of GitHub Copilot contain no login that srvd can take over",
            "~/.copilot: config.json is part of a loop of symbolic links",
        ),
        (
            "github",
            "Your own files of GitHub contain no login that srvd can take over",
            "~/.config/gh: hosts.yml holds no login: the file has no token",
        ),
        ("opencode", "You have a login of OpenCode outside srvd", "~/.local/share/opencode"),
    ] {
        let found = find(&findings, &format!("own-login.{provider}"));
        assert_eq!((&found["title"], &found["detail"]), (&title.into(), &detail.into()), "{found}");
    }
    let all = format!("{findings:?}");
    assert!(!all.contains("has no usable login") && !all.contains("planted"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_distinguishes_own_login_when_shell_names_another_directory() {
    let home = fake::home(HAPPY);
    let login = r#"{"access": "planted-a", "email": "ada@x", "id": "1"}"#;
    let usual = home.dir("home/.fake");
    let other = home.dir("home/work/fake");
    for dir in [&usual, &other] {
        std::fs::DirBuilder::new().recursive(true).create(dir).unwrap();
        std::fs::write(dir.join("credentials.json"), login).unwrap();
    }
    let other_text = other.display().to_string();
    let named = |home: &Home| {
        find(&doctor_with(home, &[], &[("FAKE_HOME", &other_text)]).1, "own-login.fake").clone()
    };
    assert!(home.run(&["--migrate-only"]).status.success());
    // No login is taken over yet, and a service would not see the variable.
    let waiting = named(&home);
    assert_eq!(waiting["severity"], "note");
    assert_eq!(waiting["detail"], format!("{other_text}, which FAKE_HOME names"));
    assert_eq!(waiting["fix"], "while the daemon is stopped, run here: srvd migrate");

    let daemon = home.start();
    let adopted = named(&daemon.home);
    assert_eq!(adopted["severity"], "note");
    let meaning = adopted["meaning"].as_str().unwrap();
    assert!(meaning.contains(usual.to_str().unwrap()), "{adopted}");
    let fix = adopted["fix"].as_str().unwrap();
    assert!(fix.starts_with("unset FAKE_HOME") && fix.contains("srvd login fake"), "{adopted}");
    // A shell without the variable sees the login that was taken over.
    assert_eq!(severity(&doctor(&daemon.home, &[]).1, "own-login.fake"), Some("ok"));
}

#[test]
fn doctor_suggests_setting_when_own_login_is_in_keyring() {
    let home = Home::new();
    std::fs::create_dir(home.dir("home/.codex")).unwrap();
    let settings = "cli_auth_credentials_store = \"keyring\"\n";
    std::fs::write(home.dir("home/.codex/config.toml"), settings).unwrap();
    let (_, findings) = doctor(&home, &[]);
    let found = find(&findings, "own-login.codex");
    assert_eq!(found["severity"], "note");
    assert_eq!(found["title"], "Your own login of Codex is in a place that only Codex can read");
    assert!(found["detail"].as_str().unwrap().contains("keyring"), "{found}");
    assert!(found["fix"].as_str().unwrap().contains("cli_auth_credentials_store"), "{found}");
}
