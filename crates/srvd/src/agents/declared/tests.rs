use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::LazyLock;

use auth_spawner::Registry;
use proptest::prelude::*;

use super::*;
use crate::base::environment::Environment;
use crate::base::trust::Trust;

const PLANT: &str = "sk-ant-planted-secret-0123456789abcdef";

fn environment() -> Environment {
    Environment::of([("TEAM_TOKEN", format!("{PLANT}-env"))])
}

/// Creates a configuration directory with these files, using mode 0600.
fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.replace("PLANT", PLANT)).unwrap();
        mode(&path, 0o600);
    }
    dir
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());

fn read(dir: &Path) -> Result<Agents, Vec<Fault>> {
    load(dir, &REGISTRY, &environment(), &Trust::of_process(None))
}

/// Returns a line `agent from file: provider provider` for each agent, or the errors. Paths are relative to the
/// directory.
fn told(dir: &Path) -> Result<Vec<String>, Vec<String>> {
    let short = |path: &Path| path.strip_prefix(dir).unwrap_or(path).display().to_string();
    let cut = |text: String| text.replace(&format!("{}/", dir.display()), "");
    let agents = read(dir)
        .map_err(|faults| -> Vec<String> { faults.iter().map(|fault| cut(fault.to_string())).collect() })?;
    let line = |(id, agent): (&str, &Agent)| {
        let providers: Vec<&str> = agent.credentials.keys().map(String::as_str).collect();
        format!("{id} from {}: {}", short(&agent.source), providers.join(" "))
    };
    Ok(agents.iter().map(line).collect())
}

fn one(id: &str, provider: &str) -> String {
    format!("[[agents]]\nid = \"{id}\"\n[agents.providers.{provider}]\nkey = \"PLANT\"\n")
}

#[test]
fn declared_agents_are_read_from_agents_toml_and_declared_d() {
    let check = |files: &[(&str, &str)], expect: &[&str]| {
        let dir = home(files);
        assert_eq!(told(dir.path()), Ok(expect.iter().map(|line| (*line).to_owned()).collect()));
    };
    check(&[], &[]);
    check(&[("agents.toml", "")], &[]);
    check(&[("agents.toml", &one("a", "anthropic"))], &["a from agents.toml: anthropic"]);
    check(&[("agents.toml", &one("a", "Anthropic-API"))], &["a from agents.toml: anthropic"]);
    check(&[("agents.toml", "[[agents]]\nid = 'none'")], &["none from agents.toml: "]);
    check(
        &[(
            "agents.toml",
            "[[agents]]\nid = 'slack:U1/x %_'\n[agents.providers]\nanthropic.env = 'TEAM_TOKEN'\n\
             openai = { command = ['/bin/echo', 'x'] }\n",
        )],
        &["slack:U1/x %_ from agents.toml: anthropic openai"],
    );
    // The operator's own entry completely replaces the entry in the folder.
    check(
        &[("agents.toml", &one("shared", "anthropic")), ("declared.d/b.toml", &one("shared", "openai"))],
        &["shared from agents.toml: anthropic"],
    );
    check(
        &[
            ("declared.d/b.toml", &one("b", "anthropic")),
            ("declared.d/a.toml", &one("a", "anthropic")),
            ("declared.d/.c.toml", "what an editor left"),
            ("declared.d/c.toml~", "what an editor left"),
        ],
        &["a from declared.d/a.toml: anthropic", "b from declared.d/b.toml: anthropic"],
    );
}

#[test]
fn error_names_its_file_and_line_but_no_value() {
    let check = |files: &[(&str, &str)], expect: &[&str]| {
        let dir = home(files);
        let faults = told(dir.path()).unwrap_err();
        assert_eq!(faults, expect, "{files:?}");
        assert!(!faults.concat().contains("planted"), "{faults:?}");
    };
    let own = |text: &str, expect: &str| check(&[("agents.toml", text)], &[expect]);
    let credential = |line: &str, expect: &str| {
        let text = format!("[[agents]]\nid = 'a'\n[agents.providers.anthropic]\n{line}\n");
        check(&[("agents.toml", &text)], &[&format!("agents.toml:{expect}")]);
    };
    own("a = 1", "agents.toml:1: unknown key; allowed here: agents");
    own("\n[agents]\nid = 'a'", "agents.toml:2: agents must be written as [[agents]]");
    own("agents = [1]", "agents.toml:1: an agent must be a table, [[agents]]");
    own("[[agents]]\n[[agents]]\nid='a'", "agents.toml:1: the agent has no id");
    own("[[agents]]\nid = ''", "agents.toml:2: invalid agent id: it is empty");
    own("[[agents]]\nid = 7", "agents.toml:2: the agent's id must be a string");
    own("[[agents]]\nid = \"a\\u0007\"", "agents.toml:2: invalid agent id: it has a control character");
    let known = "agents.toml:3: unknown key; allowed here: id, owner, run_as_owner and providers";
    own("[[agents]]\nid='a'\nkey = 'PLANT'", known);
    own("[[agents]]\nid='*'", "agents.toml:2: * means every agent; specify a single agent");
    own("[[agents]]\nid='a'\nrun_as_owner=true", "agents.toml:3: run_as_owner requires an owner");
    own(
        "[[agents]]\nid='a'\nowner='u'\nrun_as_owner='PLANT'",
        "agents.toml:4: run_as_owner must be true or false",
    );
    own("[[agents]]\nid='a'\nowner=1", "agents.toml:3: the owner must be a string");
    own("[[agents]]\nid='a'\nproviders = 'PLANT'", "agents.toml:3: providers must be a table");
    let unknown = one("a", "nobody");
    own(&unknown, "agents.toml:3: no provider \"nobody\" in the registry");
    own(&one("a", "codex"), "agents.toml:3: codex does not accept API keys");
    own(
        &format!("{}[agents.providers.anthropic-api]\nkey = 'PLANT'", one("a", "anthropic")),
        "agents.toml:5: anthropic already has a credential in line 3",
    );
    check(
        &[("agents.toml", &format!("{}[agents.providers.anthropic]\nkey = 'PLANT'", one("a", "anthropic")))],
        &["agents.toml:5: duplicate key", "agents.toml:6: duplicate key"],
    );
    own(
        &one("a", "anthropic").repeat(2),
        "agents.toml:6: the agent \"a\" is already declared in agents.toml:2",
    );
    credential("env = 'TEAM_TOKEN'\nexpires_env = 'no name'", "5: expires_env is not a valid variable name");
    credential("env = 'TEAM_TOKEN'\nexpires_env = 'SRVD_END'", "5: this variable is reserved for the daemon");
    credential("key = 'PLANT'\nexpires_env = 'TEAM_END'", "5: expires_env is allowed only together with env");
    credential("expires_env = 'TEAM_END'", "3: a credential must have exactly one of key, env and command");
    credential("", "3: a credential must have exactly one of key, env and command");
    credential(
        "key = 'PLANT'\nenv = 'PLANT'",
        "3: a credential must have exactly one of key, env and command",
    );
    credential("keys = 'PLANT'", "4: unknown key; allowed here: key, env and command");
    credential("key = ['PLANT']", "4: the key must be a string");
    credential("key = 'PLANT planted'", "4: the key contains characters that are not allowed in an API key");
    credential("key = ' '", "4: the key is empty");
    credential("key = PLANT", "4: string values must be quoted, expected literal string");
    credential("env = 'not-a name'", "4: env is not a valid variable name");
    credential("env = 'OAUTH_ENCRYPTION_KEY'", "4: this variable is reserved for the daemon");
    credential("env = 'SRVD_LOG'", "4: this variable is reserved for the daemon");
    credential("command = 'PLANT'", "4: command must be a list of strings");
    credential("command = ['/bin/echo', 1]", "4: command must be a list of strings");
    credential("command = ['echo', 'PLANT']", "4: command must start with the absolute path of a program");
    credential("command = []", "4: command must start with the absolute path of a program");
    check(
        &[("agents.toml", "a = 1\n[[agents]]\nid = 7"), ("declared.d/x.toml", "[[agents]")],
        &[
            "agents.toml:1: unknown key; allowed here: agents",
            "agents.toml:3: the agent's id must be a string",
            "declared.d/x.toml:1: unclosed array table, expected `]`",
        ],
    );
    check(
        &[("declared.d/a.toml", &one("x", "anthropic")), ("declared.d/b.toml", &one("x", "openai"))],
        &["declared.d/b.toml:2: the agent \"x\" is already declared in declared.d/a.toml:2"],
    );
}

#[test]
fn declared_file_is_rejected_when_it_cannot_be_trusted() {
    let check = |change: &dyn Fn(&Path), expect: &str| {
        let dir = home(&[("agents.toml", &one("a", "anthropic")), ("declared.d/b.toml", "")]);
        change(dir.path());
        let faults = told(dir.path()).unwrap_err();
        assert!(faults.len() == 1 && faults[0].starts_with(expect), "{faults:?}");
    };
    let own = |path: &Path| path.join("agents.toml");
    check(&|dir| mode(&own(dir), 0o602), "agents.toml: has mode 0602 (owner uid ");
    check(
        &|dir| mode(&own(dir), 0o604),
        "agents.toml:4: contains a key, but every user can read the file; run chmod 600",
    );
    check(&|dir| mode(&dir.join("declared.d"), 0o777), "declared.d: has mode 0777 (owner uid ");
    check(&|dir| std::fs::write(own(dir), [0xff]).unwrap(), "agents.toml: is not UTF-8");
    check(
        &|dir| std::fs::write(own(dir), vec![b'#'; 1024 * 1024 + 1]).unwrap(),
        "agents.toml: it is longer than 1048576 bytes",
    );
    check(
        &|dir| {
            std::fs::remove_file(own(dir)).unwrap();
            std::fs::create_dir(own(dir)).unwrap();
        },
        "agents.toml: is a directory, not a file",
    );
    check(
        &|dir| {
            std::fs::remove_file(own(dir)).unwrap();
            symlink("nowhere", own(dir)).unwrap();
        },
        "agents.toml: is a link that leads nowhere",
    );
    check(
        &|dir| std::fs::hard_link(own(dir), dir.join("declared.d/c.toml")).unwrap(),
        "declared.d/c.toml: is the same file as agents.toml",
    );
    check(
        &|dir| symlink(own(dir), dir.join("declared.d/c.toml")).unwrap(),
        "declared.d/c.toml: is the same file as agents.toml",
    );
    let fifo = std::process::Command::new("mkfifo").arg("--version").output();
    if fifo.is_ok() {
        check(
            &|dir| {
                let made = std::process::Command::new("mkfifo").arg(dir.join("declared.d/c.toml")).status();
                assert!(made.unwrap().success());
            },
            "declared.d/c.toml: is a FIFO, not a regular file",
        );
    }
}

/// A listed file that no longer exists when it is read was removed. This is not an error, and the others are still
/// read.
#[test]
fn declared_file_is_skipped_when_it_vanishes_during_the_read() {
    let dir = home(&[("agents.toml", &one("a", "anthropic")), ("declared.d/b.toml", &one("b", "openai"))]);
    assert!(matches!(
        read::file(&dir.path().join("declared.d/gone.toml"), &Trust::of_process(None)),
        Ok(None)
    ));
    let (here, away) = (dir.path().join("declared.d/c.toml"), dir.path().join("c.aside"));
    std::fs::write(&away, one("c", "anthropic").replace("PLANT", PLANT)).unwrap();
    mode(&away, 0o600);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::fs::rename(&away, &here).unwrap();
                std::fs::rename(&here, &away).unwrap();
            }
        });
        let readings: Vec<_> = (0..2000).map(|_| told(dir.path())).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let without =
            ["a from agents.toml: anthropic", "b from declared.d/b.toml: openai"].map(str::to_owned);
        for reading in readings {
            let reading = reading.unwrap();
            assert_eq!(reading[..2], without);
            assert!(
                reading.len() == 2 || reading[2..] == ["c from declared.d/c.toml: anthropic"],
                "{reading:?}"
            );
        }
    });
}

#[test]
fn link_is_followed_when_its_target_can_be_trusted() {
    let dir = home(&[("kept/real.toml", &one("a", "anthropic"))]);
    symlink("kept/real.toml", dir.path().join("agents.toml")).unwrap();
    assert_eq!(told(dir.path()), Ok(vec!["a from agents.toml: anthropic".to_owned()]));
    // A file without a key may be readable by everyone.
    std::fs::write(dir.path().join("kept/real.toml"), "[[agents]]\nid = 'a'").unwrap();
    mode(&dir.path().join("kept/real.toml"), 0o644);
    assert_eq!(told(dir.path()), Ok(vec!["a from agents.toml: ".to_owned()]));
}

#[test]
fn agents_differ_when_a_file_changes_and_never_show_keys() {
    let dir = home(&[("agents.toml", &one("a", "anthropic"))]);
    let before = read(dir.path()).unwrap();
    assert_eq!(before, read(dir.path()).unwrap());
    let shown = format!("{before:?}");
    assert!(shown.contains("[REDACTED]") && !shown.contains(PLANT), "{shown}");
    let check = |text: String, missing: &[(&str, Option<&str>)]| {
        std::fs::write(dir.path().join("agents.toml"), text.replace("PLANT", PLANT)).unwrap();
        let later = read(dir.path()).unwrap();
        assert_ne!(before, later);
        assert_eq!(before.missing_in(&later), missing);
    };
    check(one("a", "anthropic").replace("\"PLANT", "\"PLANTother"), &[]);
    check(one("a", "anthropic") + &one("b", "anthropic"), &[]);
    check(
        one("a", "openrouter").replace("PLANT", "sk-or-v1-0123456789abcdef0123456789"),
        &[("a", Some("anthropic"))],
    );
    check(one("b", "anthropic"), &[("a", None)]);
    check(String::new(), &[("a", None)]);
}

#[test]
fn declared_agents_and_credentials_cannot_be_changed() {
    let dir = home(&[("agents.toml", &one("a:b", "anthropic"))]);
    let agents = read(dir.path()).unwrap();
    let check = |result: Result<(), ApiError>, expect: Option<&str>| {
        let words = result.err().map(|error| {
            assert_eq!(error.kind(), Kind::DeclaredImmutable);
            error.message().to_owned()
        });
        assert_eq!(words.as_deref(), expect);
    };
    check(agents.refuse_credential("0192"), None);
    let id = credential_id("a:b", "anthropic");
    check(agents.refuse_credential(&id), Some("the agent a:b is declared in a file"));
    check(agents.refuse_credential("declared:x:y"), Some("the agent x is declared in a file"));
    let error = agents.refuse_credential(&id).unwrap_err();
    assert_eq!(error.next_step().unwrap(), format!("edit {}", dir.path().join("agents.toml").display()));
}

#[test]
fn example_file_declares_nothing_until_it_is_uncommented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/agents.toml");
    let example = std::fs::read_to_string(path).unwrap();
    let dir = home(&[("agents.toml", &example)]);
    assert_eq!(told(dir.path()), Ok(vec![]));
    // The commented-out lines are the entries shown in the documentation.
    let entries =
        example.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' '));
    let dir = home(&[("agents.toml", &entries.collect::<Vec<_>>().join("\n"))]);
    let expect = ["reviewer from agents.toml: anthropic openai openrouter".to_owned()];
    assert_eq!(told(dir.path()).unwrap(), expect);
}

proptest! {
    #[test]
    fn reader_never_panics_on_any_text(text in ".{0,200}") {
        let dir = home(&[("agents.toml", &text)]);
        // Every text is handled without a panic.
        let _ = read(dir.path());
    }
}
