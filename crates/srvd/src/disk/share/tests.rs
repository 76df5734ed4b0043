//! Tests of whole homes, with the registry that this build ships.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use super::place::OWN;
use super::*;

struct Fixture {
    _root: tempfile::TempDir,
    root: PathBuf,
    registry: Registry,
    inner: Inner,
}

impl Fixture {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(temporary.path()).unwrap();
        let registry = Registry::builtin().unwrap();
        let (home, data) = (root.join("home"), root.join("data"));
        std::fs::create_dir(&home).unwrap();
        std::fs::create_dir(&data).unwrap();
        let inner = Inner {
            own: OwnDirs::usual(&home, &data),
            home,
            data,
            listed: ListedVariables::new(&registry),
            blocking: BlockingTasks::default(),
            clock: || i64::MAX,
            homes: Mutex::default(),
        };
        Self { _root: temporary, root, registry, inner }
    }

    /// Writes a file of the person's, and returns its path.
    fn own(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        write(&self.inner.home.join(path), text)
    }

    /// Returns the home of a CLI in a bundle, which is made if it is missing.
    fn home_of(&self, bundle: &str, provider: &str) -> PathBuf {
        let name = &self.registry.provider(provider).unwrap().cli.as_ref().unwrap().config_dir.name;
        let home = self.inner.data.join("identities").join(bundle).join(name);
        make(&home);
        home
    }

    fn order(&self, provider: &str, source: Source) -> Order {
        let provider = Arc::clone(self.registry.provider(provider).unwrap());
        let home = self.home_of("work", &provider.id);
        Order { provider, home, source, history: false }
    }

    fn furnish(&self, provider: &str, source: Source) -> Furnished {
        self.inner.furnish(&self.order(provider, source))
    }

    /// Returns every file and link of the person's, with its content.
    fn persons(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.inner.home.clone()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                let kind = std::fs::symlink_metadata(&entry).unwrap();
                if kind.is_dir() {
                    open.push(entry);
                } else if kind.is_file() {
                    found.push((entry.clone(), std::fs::read(entry).unwrap()));
                } else {
                    found.push((entry.clone(), b"other".to_vec()));
                }
            }
        }
        found.sort();
        found
    }
}

fn make(dir: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> PathBuf {
    make(path.parent().unwrap());
    std::fs::write(path, text).unwrap();
    path.to_owned()
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Returns the state of an item as one word or its reason.
fn state(furnished: &Furnished, path: &str) -> String {
    let item = furnished.items.iter().find(|item| item.path == path);
    match item.map(|item| &item.state) {
        None => "none".to_owned(),
        Some(ItemState::Linked(_)) => "linked".to_owned(),
        Some(ItemState::Copied) => "copied".to_owned(),
        Some(ItemState::Merged(names)) => format!("merged {}", names.join(" ")),
        Some(ItemState::LeftOut(reason)) => reason.clone(),
    }
}

fn claude(f: &Fixture) -> PathBuf {
    f.own(".claude/CLAUDE.md", "Be brief.");
    f.own(".claude/skills/foo/SKILL.md", "---\nname: foo\n---\n");
    f.own(".claude/commands/hello.md", "Say hello.");
    f.own(".claude/settings.json", r#"{"model":"opus","apiKeyHelper":"/bin/key","env":{"EDITOR":"vi"}}"#);
    let state = json!({
        "oauthAccount": {"emailAddress": "me@x"},
        "mcpServers": {"fs": {"command": "npx"}, "key": {"command": "x", "env": {"API_KEY": "hunter2"}}},
    });
    f.own(".claude.json", state.to_string());
    let home = f.home_of("work", "claude");
    write(&home.join(".claude.json"), r#"{"hasCompletedOnboarding":true}"#);
    home
}

#[test]
fn claude_home_has_the_persons_setup_until_the_sharing_ends() {
    let f = Fixture::new();
    let home = claude(&f);
    let before = f.persons();
    let preview = f.inner.preview(&f.order("claude", Source::Mine));
    assert!(!home.join("CLAUDE.md").exists() && preview.changes == 5, "{preview:?}");
    let furnished = f.furnish("claude", Source::Mine);
    assert_eq!((furnished.changes, &furnished.problem), (5, &None), "{furnished:?}");
    assert_eq!(furnished.items, preview.items);
    for (path, expected) in [
        ("CLAUDE.md", "linked"),
        ("skills", "linked"),
        ("commands", "linked"),
        ("settings.json", "copied"),
        (".claude.json", "merged fs"),
    ] {
        assert_eq!(state(&furnished, path), expected, "{path}");
    }
    assert_eq!(std::fs::read_to_string(home.join("CLAUDE.md")).unwrap(), "Be brief.");
    assert!(home.join("skills/foo/SKILL.md").exists());
    assert_eq!(json_of(&home.join("settings.json")), json!({"model": "opus", "env": {"EDITOR": "vi"}}));
    let merged = json!({"hasCompletedOnboarding": true, "mcpServers": {"fs": {"command": "npx"}}});
    assert_eq!(json_of(&home.join(".claude.json")), merged);
    let mode = |name: &str| std::fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("settings.json"), mode(".claude.json"), mode(ledger::NAME)), (0o600, 0o600, 0o600));
    let left: Vec<&str> =
        furnished.items.iter().flat_map(|item| &item.left_out).map(|left| left.place.as_str()).collect();
    assert_eq!(left, ["mcpServers.key", "apiKeyHelper"]);

    assert_eq!(f.furnish("claude", Source::Mine), Furnished { changes: 0, ..furnished });
    let ended = f.furnish("claude", Source::Nothing);
    assert_eq!((ended.items, ended.problem), (vec![], None));
    let names: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".claude.json"]);
    assert_eq!(
        json_of(&home.join(".claude.json")),
        json!({"hasCompletedOnboarding": true, "mcpServers": {}})
    );
    assert_eq!(f.persons(), before);
}

#[test]
fn file_of_the_identity_is_never_replaced_or_removed() {
    let f = Fixture::new();
    let home = claude(&f);
    write(&home.join("CLAUDE.md"), "mine");
    write(&home.join("skills/own/SKILL.md"), "mine");
    symlink("/nowhere", home.join("commands")).unwrap();
    write(&home.join("settings.json"), r#"{"model":"opus","env":{"EDITOR":"vi"}}"#);
    write(&home.join(".claude.json"), r#"{"mcpServers":{"fs":{"command":"npx"}}}"#);
    let furnished = f.furnish("claude", Source::Mine);
    for path in ["CLAUDE.md", "skills", "commands", "settings.json"] {
        assert_eq!(state(&furnished, path), OWN, "{path}");
    }
    assert_eq!((state(&furnished, ".claude.json"), furnished.changes), ("merged ".to_owned(), 0));
    f.furnish("claude", Source::Nothing);
    assert_eq!(std::fs::read_to_string(home.join("CLAUDE.md")).unwrap(), "mine");
    assert!(home.join("skills/own/SKILL.md").exists());
    assert_eq!(std::fs::read_link(home.join("commands")).unwrap(), Path::new("/nowhere"));
    // They equal what srvd would have made, but srvd did not make them.
    assert_eq!(json_of(&home.join("settings.json")), json!({"model": "opus", "env": {"EDITOR": "vi"}}));
    assert_eq!(json_of(&home.join(".claude.json")), json!({"mcpServers": {"fs": {"command": "npx"}}}));
}

#[test]
fn copy_follows_its_source_until_the_identity_changes_it() {
    let f = Fixture::new();
    let home = claude(&f);
    f.furnish("claude", Source::Mine);
    f.own(".claude/settings.json", r#"{"model":"haiku"}"#);
    assert_eq!(f.furnish("claude", Source::Mine).changes, 1);
    assert_eq!(json_of(&home.join("settings.json")), json!({"model": "haiku"}));
    // Another layout of the same content is no change.
    write(&home.join("settings.json"), "{ \"model\" :\n\"haiku\" }");
    f.own(".claude/settings.json", r#"{"model":"opus"}"#);
    f.furnish("claude", Source::Mine);
    assert_eq!(json_of(&home.join("settings.json")), json!({"model": "opus"}));
    write(&home.join("settings.json"), r#"{"model":"opus","theme":"dark"}"#);
    f.own(".claude/settings.json", r#"{"model":"sonnet"}"#);
    let furnished = f.furnish("claude", Source::Mine);
    assert!(state(&furnished, "settings.json").contains("changed in this identity"));
    f.furnish("claude", Source::Nothing);
    assert_eq!(json_of(&home.join("settings.json")), json!({"model": "opus", "theme": "dark"}));
    // What the sharing left belongs to the identity.
    assert_eq!(state(&f.furnish("claude", Source::Mine), "settings.json"), OWN);
}

#[test]
fn copy_is_renewed_with_the_members_that_its_cli_changes_by_itself() {
    let f = Fixture::new();
    let home = f.home_of("work", "codex");
    let config = |text: &str| f.own(".codex/config.toml", text);
    let read =
        || -> toml::Table { std::fs::read_to_string(home.join("config.toml")).unwrap().parse().unwrap() };
    config("approval_policy = \"never\"\n[projects.\"/a\"]\ntrust_level = \"trusted\"\n");
    f.furnish("codex", Source::Mine);
    let mut changed = read();
    changed["projects"]
        .as_table_mut()
        .unwrap()
        .insert("/b".to_owned(), toml::Value::Table(toml::Table::new()));
    write(&home.join("config.toml"), changed.to_string());
    assert_eq!(f.furnish("codex", Source::Mine).changes, 0);
    config("approval_policy = \"on-request\"\n");
    assert_eq!(f.furnish("codex", Source::Mine).changes, 1);
    let now = read();
    assert_eq!(now["approval_policy"].as_str(), Some("on-request"));
    assert_eq!(now["projects"].as_table().unwrap().keys().collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(f.furnish("codex", Source::Mine).changes, 0);
    f.furnish("codex", Source::Nothing);
    assert!(!home.join("config.toml").exists());
}

#[test]
fn copy_is_removed_when_its_source_is_deleted_or_holds_nothing_to_share() {
    let f = Fixture::new();
    let home = claude(&f);
    for emptied in [None, Some(r#"{"apiKeyHelper":"/bin/key"}"#)] {
        f.own(".claude/settings.json", r#"{"model":"opus"}"#);
        f.furnish("claude", Source::Mine);
        assert!(home.join("settings.json").exists());
        match emptied {
            None => std::fs::remove_file(f.inner.home.join(".claude/settings.json")).unwrap(),
            Some(text) => drop(f.own(".claude/settings.json", text)),
        }
        f.furnish("claude", Source::Mine);
        assert!(!home.join("settings.json").exists());
    }
}

#[test]
fn link_follows_its_source_when_it_moves_turns_into_a_file_or_is_deleted() {
    let f = Fixture::new();
    let home = claude(&f);
    let own = f.inner.home.join(".claude");
    f.furnish("claude", Source::Mine);
    // The person's own link, as dotfile managers make it: the link in the home leads to the file itself.
    let dotfiles = f.own("dotfiles/CLAUDE.md", "Be kind.");
    std::fs::remove_file(own.join("CLAUDE.md")).unwrap();
    symlink(&dotfiles, own.join("CLAUDE.md")).unwrap();
    assert_eq!(f.furnish("claude", Source::Mine).changes, 1);
    assert_eq!(std::fs::read_link(home.join("CLAUDE.md")).unwrap(), dotfiles);
    // A directory turns into a file, and a file into a directory.
    std::fs::remove_dir_all(own.join("skills")).unwrap();
    std::fs::write(own.join("skills"), "").unwrap();
    std::fs::remove_file(own.join("CLAUDE.md")).unwrap();
    std::fs::create_dir(own.join("CLAUDE.md")).unwrap();
    let furnished = f.furnish("claude", Source::Mine);
    assert_eq!(state(&furnished, "skills"), "it is not a directory");
    assert_eq!(state(&furnished, "CLAUDE.md"), "it is not a regular file");
    assert!(!home.join("skills").is_symlink() && !home.join("CLAUDE.md").is_symlink());
    // A deleted source takes its link with it.
    std::fs::remove_dir_all(own.join("commands")).unwrap();
    assert_eq!(state(&f.furnish("claude", Source::Mine), "commands"), "none");
    assert!(!home.join("commands").is_symlink());
    // An empty directory of the CLI's makes room, another one does not.
    std::fs::remove_file(own.join("skills")).unwrap();
    f.own(".claude/skills/foo/SKILL.md", "");
    std::fs::create_dir(home.join("skills")).unwrap();
    assert_eq!(state(&f.furnish("claude", Source::Mine), "skills"), "linked");
    assert!(home.join("skills/foo").exists());
    // A link that the identity put in the place of srvd's stays.
    std::fs::remove_file(home.join("skills")).unwrap();
    symlink("/nowhere", home.join("skills")).unwrap();
    assert_eq!(state(&f.furnish("claude", Source::Mine), "skills"), OWN);
    f.furnish("claude", Source::Nothing);
    assert_eq!(std::fs::read_link(home.join("skills")).unwrap(), Path::new("/nowhere"));
}

#[test]
fn source_is_left_out_with_a_reason_when_it_cannot_be_trusted_or_read() {
    let f = Fixture::new();
    let own = f.inner.home.join(".claude");
    make(&own);
    let settings = own.join("settings.json");
    let check = |what: &str, expected: &str| {
        let furnished = f.furnish("claude", Source::Mine);
        let said = state(&furnished, "settings.json");
        assert!(said.contains(expected), "{what}: {said}");
        assert!(!f.home_of("work", "claude").join("settings.json").exists(), "{what}");
        if std::fs::symlink_metadata(&settings).unwrap().is_dir() {
            std::fs::remove_dir(&settings).unwrap();
        } else {
            std::fs::remove_file(&settings).unwrap();
        }
    };
    assert!(std::process::Command::new("mkfifo").arg(&settings).status().unwrap().success());
    check("a FIFO", "not a regular file");
    std::fs::File::create(&settings).unwrap().set_len(100 * 1024 * 1024).unwrap();
    check("a large file", "larger than 1 MiB");
    for text in [&b"{"[..], b"[]", b"\xff\xfe", b"", b"null"] {
        std::fs::write(&settings, text).unwrap();
        check("no settings", "cannot be used");
    }
    std::fs::create_dir(&settings).unwrap();
    check("a directory", "not a regular file");
    symlink("nowhere", &settings).unwrap();
    check("a dead link", "leads nowhere");
    symlink("settings.json", &settings).unwrap();
    check("a loop", "in a loop");
    symlink("/dev/null", &settings).unwrap();
    check("a device", "not a regular file");
    let inside = write(&f.inner.data.join("identities/other/claude/settings.json"), "{}");
    symlink(inside, &settings).unwrap();
    check("another identity", "srvd's own directory");
    std::fs::write(&settings, r#"{"model":"opus"}"#).unwrap();
    std::fs::set_permissions(&settings, std::fs::Permissions::from_mode(0o666)).unwrap();
    check("a file that others can change", "other users can change it");
    let open = f.root.join("open");
    make(&open);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    symlink(write(&open.join("settings.json"), r#"{"model":"opus"}"#), &settings).unwrap();
    check("a directory that others can change", "other users can change");
}

#[test]
fn copy_stays_when_its_source_cannot_be_read_for_a_while() {
    let f = Fixture::new();
    let home = claude(&f);
    f.furnish("claude", Source::Mine);
    f.own(".claude/settings.json", "{");
    f.own(".claude.json", "{");
    let furnished = f.furnish("claude", Source::Mine);
    assert!(state(&furnished, "settings.json").contains("cannot be used"));
    assert!(state(&furnished, ".claude.json").contains("cannot be used"));
    assert_eq!(json_of(&home.join("settings.json"))["model"], "opus");
    assert_eq!(json_of(&home.join(".claude.json"))["mcpServers"], json!({"fs": {"command": "npx"}}));
    f.furnish("claude", Source::Nothing);
    assert!(!home.join("settings.json").exists());
}

#[test]
fn home_is_left_alone_when_its_record_is_not_one() {
    let f = Fixture::new();
    let home = claude(&f);
    write(&home.join(ledger::NAME), "{");
    let furnished = f.furnish("claude", Source::Mine);
    assert!(furnished.problem.unwrap().contains(ledger::NAME));
    assert!(!home.join("CLAUDE.md").exists());
    assert_eq!(std::fs::read_to_string(home.join(ledger::NAME)).unwrap(), "{");
    // A home that is a link, or none, is not touched either.
    let other = f.root.join("other");
    make(&other);
    let order = f.order("claude", Source::Mine);
    for place in ["link", "file", "absent"] {
        let home = f.root.join(place);
        match place {
            "link" => symlink(&other, &home).unwrap(),
            "file" => std::fs::write(&home, "").unwrap(),
            _ => {}
        }
        let furnished = f.inner.furnish(&Order { home, ..order.clone() });
        assert!(furnished.problem.is_some() && furnished.items.is_empty(), "{place}: {furnished:?}");
    }
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
}

#[test]
fn home_with_a_fifo_or_a_huge_file_is_answered() {
    let f = Fixture::new();
    let home = claude(&f);
    let fifo = |name: &str| {
        assert!(std::process::Command::new("mkfifo").arg(home.join(name)).status().unwrap().success());
    };
    fifo("settings.json");
    std::fs::File::create(home.join(".claude.json")).unwrap().set_len(100 * 1024 * 1024).unwrap();
    let furnished = f.furnish("claude", Source::Mine);
    assert_eq!(state(&furnished, "settings.json"), OWN);
    assert_eq!(state(&furnished, ".claude.json"), "it is larger than 4 MiB");
    assert_eq!(state(&furnished, "CLAUDE.md"), "linked");
    f.furnish("claude", Source::Nothing);
    fifo(ledger::NAME);
    assert!(f.furnish("claude", Source::Mine).problem.unwrap().contains("not a regular file"));
    assert!(!home.join("CLAUDE.md").is_symlink());
}

#[test]
fn home_with_a_link_on_the_way_is_not_left() {
    let f = Fixture::new();
    f.own(".config/opencode/AGENTS.md", "Be brief.");
    f.own(".config/opencode/opencode.json", r#"{"theme":"x"}"#);
    let home = f.home_of("work", "opencode");
    let outside = f.root.join("outside");
    make(&outside);
    symlink(&outside, home.join("config")).unwrap();
    let furnished = f.furnish("opencode", Source::Mine);
    assert!(state(&furnished, "config/opencode/AGENTS.md").contains("not a directory"), "{furnished:?}");
    assert_eq!(state(&furnished, "config/opencode/opencode.json"), OWN);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn member_that_the_identity_changed_or_removed_stays_so() {
    let f = Fixture::new();
    let home = claude(&f);
    let state_file = home.join(".claude.json");
    let servers = |value: Value| f.own(".claude.json", json!({"mcpServers": value}).to_string());
    servers(
        json!({"a": {"command": "1"}, "b": {"command": "1"}, "c": {"command": "1"}, "d": {"command": "1"}}),
    );
    f.furnish("claude", Source::Mine);
    let mut document = json_of(&state_file);
    document["mcpServers"]["a"]["command"] = json!("mine");
    document["mcpServers"].as_object_mut().unwrap().remove("b");
    document["projects"] = json!({"/x": {"allowedTools": []}});
    std::fs::write(&state_file, document.to_string()).unwrap();
    servers(json!({"a": {"command": "2"}, "b": {"command": "2"}, "c": {"command": "2"}}));
    let furnished = f.furnish("claude", Source::Mine);
    assert_eq!(state(&furnished, ".claude.json"), "merged c");
    let expected = json!({"a": {"command": "mine"}, "c": {"command": "2"}});
    assert_eq!(json_of(&state_file)["mcpServers"], expected);
    assert_eq!(json_of(&state_file)["projects"], json!({"/x": {"allowedTools": []}}));
    f.furnish("claude", Source::Nothing);
    assert_eq!(json_of(&state_file)["mcpServers"], json!({"a": {"command": "mine"}}));
}

#[test]
fn prepared_file_keeps_what_srvd_prepared_and_gets_the_rest() {
    let f = Fixture::new();
    let settings =
        json!({"security": {"auth": {"selectedType": "gemini-api-key"}}, "ui": {"theme": "Dracula"}});
    f.own(".gemini/settings.json", settings.to_string());
    f.own(".gemini/GEMINI.md", "Be brief.");
    let order = f.order("gemini", Source::Mine);
    auth_spawner::prepare(order.provider.cli.as_ref().unwrap(), &order.home).unwrap();
    let file = order.home.join(".gemini/settings.json");
    let prepared = std::fs::read(&file).unwrap();
    let furnished = f.furnish("gemini", Source::Mine);
    assert_eq!(state(&furnished, ".gemini/settings.json"), "copied", "{furnished:?}");
    let expected =
        json!({"security": {"auth": {"selectedType": "oauth-personal"}}, "ui": {"theme": "Dracula"}});
    assert_eq!(json_of(&file), expected);
    assert_eq!(std::fs::read_to_string(order.home.join(".gemini/GEMINI.md")).unwrap(), "Be brief.");
    f.own(".gemini/GEMINI.md", "The key is sk-ant-api03-planted-0123456789");
    assert!(state(&f.furnish("gemini", Source::Mine), ".gemini/GEMINI.md").contains("nothing in it"));
    f.furnish("gemini", Source::Nothing);
    assert_eq!(std::fs::read(&file).unwrap(), prepared);
    assert!(!order.home.join(".gemini/GEMINI.md").exists());
}

#[test]
fn setup_comes_from_the_home_of_another_bundle() {
    let f = Fixture::new();
    let home = claude(&f);
    let other = f.home_of("other", "claude");
    write(&other.join("CLAUDE.md"), "From another identity.");
    write(&other.join("settings.json"), r#"{"model":"haiku"}"#);
    write(&other.join(".credentials.json"), r#"{"claudeAiOauth":{}}"#);
    write(&other.join(".claude.json"), r#"{"mcpServers":{"theirs":{"command":"x"}},"oauthAccount":{}}"#);
    let furnished = f.furnish("claude", Source::Home(other.clone()));
    assert_eq!(furnished.source.as_ref(), Some(&other));
    assert_eq!(std::fs::read_link(home.join("CLAUDE.md")).unwrap(), other.join("CLAUDE.md"));
    assert_eq!(json_of(&home.join("settings.json")), json!({"model": "haiku"}));
    let expected = json!({"hasCompletedOnboarding": true, "mcpServers": {"theirs": {"command": "x"}}});
    assert_eq!(json_of(&home.join(".claude.json")), expected);
    assert!(!home.join(".credentials.json").exists());
    // A home is no source of its own.
    assert_eq!(f.furnish("claude", Source::Home(home.clone())).items, []);
    assert!(!home.join("CLAUDE.md").exists());
}

#[test]
fn history_is_linked_on_request_only() {
    let f = Fixture::new();
    let home = claude(&f);
    f.own(".claude/projects/p/1.jsonl", "{}");
    f.furnish("claude", Source::Mine);
    assert!(!home.join("projects").exists());
    let order = Order { history: true, ..f.order("claude", Source::Mine) };
    assert_eq!(state(&f.inner.furnish(&order), "projects"), "linked");
    assert!(home.join("projects/p/1.jsonl").exists());
    f.furnish("claude", Source::Mine);
    assert!(!home.join("projects").is_symlink() && f.inner.home.join(".claude/projects/p/1.jsonl").exists());
}

#[test]
fn codex_home_gets_skills_one_by_one_beside_those_of_codex() {
    let f = Fixture::new();
    f.own(".codex/skills/mine/SKILL.md", "mine");
    f.own(".codex/skills/.system/theirs/SKILL.md", "theirs");
    f.own(".codex/AGENTS.md", "Be brief.");
    f.own(".codex/config.toml", "model = \"x\" # mine\n[mcp_servers.fs]\ncommand = \"npx\"\n");
    f.own(".codex/auth.json", "{}");
    let home = f.home_of("work", "codex");
    write(&home.join("skills/.system/codex/SKILL.md"), "codex");
    let furnished = f.furnish("codex", Source::Mine);
    assert_eq!(furnished.items.len(), 3, "{furnished:?}");
    assert_eq!(std::fs::read_to_string(home.join("skills/mine/SKILL.md")).unwrap(), "mine");
    assert!(!home.join("skills/.system/theirs").exists() && !home.join("auth.json").exists());
    let config: toml::Table = std::fs::read_to_string(home.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["mcp_servers"]["fs"]["command"].as_str(), Some("npx"));
    f.own(".codex/skills/new/SKILL.md", "new");
    std::fs::remove_dir_all(f.inner.home.join(".codex/skills/mine")).unwrap();
    f.furnish("codex", Source::Mine);
    assert!(home.join("skills/new").exists() && !home.join("skills/mine").is_symlink());
    f.furnish("codex", Source::Nothing);
    assert!(home.join("skills/.system/codex/SKILL.md").exists() && !home.join("skills/new").is_symlink());
}

#[test]
fn settings_of_every_other_cli_reach_its_home() {
    let f = Fixture::new();
    for (provider, own, text, path, expected) in [
        (
            "github",
            ".config/gh/config.yml",
            "git_protocol: ssh\naliases:\n    co: pr checkout\n",
            "config.yml",
            "co",
        ),
        (
            "copilot",
            ".copilot/mcp-config.json",
            r#"{"mcpServers":{"a":{"command":"x"}}}"#,
            "mcp-config.json",
            "command",
        ),
        ("copilot", ".copilot/copilot-instructions.md", "Be brief.", "copilot-instructions.md", "brief"),
        (
            "kimi-code",
            ".kimi-code/mcp.json",
            r#"{"mcpServers":{"a":{"command":"x"}}}"#,
            "mcp.json",
            "command",
        ),
        ("qwen", ".qwen/settings.json", "{\"ui\":{\"theme\":\"x\"}, /* c */}", "settings.json", "theme"),
        (
            "opencode",
            ".config/opencode/opencode.jsonc",
            "{\"theme\":\"x\",}",
            "config/opencode/opencode.jsonc",
            "theme",
        ),
        ("opencode", ".config/opencode/command/c.md", "c", "config/opencode/command/c.md", "c"),
        ("grok", ".grok/config.toml", "[ui]\ntheme = \"dusk\"\n", "config.toml", "dusk"),
        ("grok", ".grok/skills/s/SKILL.md", "Be brief.", "skills/s/SKILL.md", "brief"),
        ("kilo", ".config/kilo/kilo.jsonc", "{\"theme\":\"x\",}", "config/kilo/kilo.jsonc", "theme"),
        ("droid", ".factory/AGENTS.md", "Be brief.", ".factory/AGENTS.md", "brief"),
        (
            "droid",
            ".factory/mcp.json",
            r#"{"mcpServers":{"a":{"command":"x"}}}"#,
            ".factory/mcp.json",
            "command",
        ),
        ("qoder", ".qoder/AGENTS.md", "Be brief.", "AGENTS.md", "brief"),
    ] {
        f.own(own, text);
        let furnished = f.furnish(provider, Source::Mine);
        let found = std::fs::read_to_string(f.home_of("work", provider).join(path));
        assert!(found.is_ok_and(|found| found.contains(expected)), "{provider} {path}: {furnished:?}");
    }
}

#[test]
fn launches_of_one_home_wait_for_each_other() {
    let f = Fixture::new();
    let home = claude(&f);
    let before = f.persons();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let furnished = f.furnish("claude", Source::Mine);
                    assert_eq!(
                        (state(&furnished, "settings.json"), furnished.problem),
                        ("copied".to_owned(), None)
                    );
                }
            });
        }
    });
    assert_eq!(json_of(&home.join(".claude.json"))["mcpServers"], json!({"fs": {"command": "npx"}}));
    assert_eq!(f.persons(), before);
}

#[test]
fn home_is_read_again_only_when_a_look_shows_a_change() {
    let f = Fixture::new();
    let home = claude(&f);
    let remembered = || f.inner.slot(&home).lock().unwrap().is_some();
    f.furnish("claude", Source::Mine);
    assert!(!remembered(), "a home that was changed is examined once more");
    let first = f.furnish("claude", Source::Mine);
    assert!(remembered());
    assert_eq!(f.furnish("claude", Source::Mine), first);
    for change in ["settings", "CLAUDE.md", "home", "policy"] {
        let expected = match change {
            "settings" => {
                f.own(".claude/settings.json", r#"{"model":"another one"}"#);
                1
            }
            "CLAUDE.md" => {
                std::fs::remove_file(f.inner.home.join(".claude/CLAUDE.md")).unwrap();
                1
            }
            "home" => {
                std::fs::remove_file(home.join("settings.json")).unwrap();
                1
            }
            _ => 0,
        };
        let order = Order { history: change == "policy", ..f.order("claude", Source::Mine) };
        assert_eq!(f.inner.furnish(&order).changes, expected, "{change}");
        assert_eq!(f.furnish("claude", Source::Mine).changes, 0, "{change}");
    }
}

#[test]
fn look_is_settled_when_the_latest_change_is_old_enough() {
    let f = Fixture::new();
    claude(&f);
    let order = f.order("claude", Source::Mine);
    let origin = f.inner.origin(&order);
    let cli = order.provider.cli.as_ref().unwrap();
    let job = Job { cli, home: &order.home, origin: &origin, history: false, listed: &f.inner.listed };
    let look = Look::at(&job, &job.targets());
    assert!(look.is_settled(i64::MAX) && !look.is_settled(0));
}

#[test]
fn crash_between_two_steps_leaves_nothing_that_srvd_does_not_know() {
    let f = Fixture::new();
    let home = claude(&f);
    let order = f.order("claude", Source::Mine);
    let origin = f.inner.origin(&order);
    let cli = order.provider.cli.as_ref().unwrap();
    let job = Job { cli, home: &home, origin: &origin, history: false, listed: &f.inner.listed };
    let steps = plan::plan(&job, &job.targets(), &Ledger::default()).steps;
    // A crash after each number of steps: the record is the one that was written before them.
    for done in 0..=steps.len() {
        apply::pending(&Ledger::default(), &steps).write(&home).unwrap();
        for step in &steps[..done] {
            apply::apply(&job, step, &mut Ledger::default()).unwrap();
        }
        f.furnish("claude", Source::Nothing);
        let names: Vec<_> =
            std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [".claude.json"], "after {done} steps");
        assert_eq!(
            json_of(&home.join(".claude.json")).get("mcpServers").cloned().unwrap_or(json!({})),
            json!({})
        );
    }
}
