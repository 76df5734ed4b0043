use std::sync::Mutex;

use auth_spawner::{Cli, Overlay, Reach, Registry};

use super::*;

const ENTRY: &str = r#"
[providers.nested]
display-name = "Nested"
class = "oauth"
[providers.nested.cli]
binaries = ["nested"]
install = "none"
url-hosts = ["a.test"]
[providers.nested.cli.config-dir]
var = "NESTED_HOME"
name = "nested"
ambient = "~/.nested"
[providers.nested.cli.credential]
path = "deep/cred.json"
requires = ["/a"]
email = { file = "who.json", pointer = "/email" }
[[providers.nested.cli.recipes]]
id = "one"
args = ["login"]
"#;

fn cli() -> Cli {
    let overlay = Overlay { text: ENTRY.to_owned(), source: "test".to_owned() };
    Registry::with_overlays(&[overlay]).unwrap().provider("nested").unwrap().cli.clone().unwrap()
}

fn id(name: &str) -> AccountId {
    name.parse().unwrap()
}

fn watches(most: usize) -> Mutex<Watches> {
    let mut watches = Watches::new(HealthReports::default(), most);
    watches.reset();
    Mutex::new(watches)
}

#[test]
fn watch_uses_the_nearest_parent_when_the_directory_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("work/nested");
    let (watches, cli) = (watches(10), cli());
    let concerned = |path: &str| watches.lock().unwrap().concerned(&root.path().join(path));
    assert!(arm(&watches, &id("a"), || cli.login_files(&dir, Reach::Bundle)));
    assert_eq!(concerned("work"), [id("a")]);
    assert_eq!(concerned("other"), []);

    std::fs::DirBuilder::new().recursive(true).create(dir.join("deep")).unwrap();
    assert!(arm(&watches, &id("a"), || cli.login_files(&dir, Reach::Bundle)));
    assert_eq!(watches.lock().unwrap().len(), 2);
    for (path, expected) in [
        ("work", 0),
        ("work/nested/who.json", 1),
        ("work/nested/history.json", 0),
        ("work/nested/deep/cred.json", 1),
        ("work/nested/deep/cred.json.tmp", 0),
    ] {
        assert_eq!(concerned(path).len(), expected, "{path}");
    }
    // The directory itself.
    assert_eq!(concerned("work/nested/deep"), [id("a")]);
}

#[test]
fn watch_of_a_shared_directory_lasts_until_the_last_account_is_released() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("deep")).unwrap();
    let (watches, cli) = (watches(10), cli());
    for name in ["a", "b"] {
        assert!(arm(&watches, &id(name), || cli.login_files(root.path(), Reach::Bundle)));
    }
    let mut watches = watches.into_inner().unwrap();
    assert_eq!(watches.len(), 2);
    assert_eq!(watches.concerned(&root.path().join("deep/cred.json")).len(), 2);
    watches.release(&id("a"));
    assert_eq!(watches.concerned(&root.path().join("deep/cred.json")), [id("b")]);
    watches.release(&id("b"));
    assert_eq!(watches.len(), 0);
}

#[test]
fn watch_is_refused_when_the_limit_is_reached() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (watches, cli) = (watches(1), cli());
    for root in [&first, &second] {
        std::fs::write(root.path().join("deep"), "a file in the way").unwrap();
    }
    assert!(arm(&watches, &id("a"), || cli.login_files(first.path(), Reach::Bundle)));
    assert!(!arm(&watches, &id("b"), || cli.login_files(second.path(), Reach::Bundle)));
    watches.lock().unwrap().release(&id("a"));
    assert!(arm(&watches, &id("b"), || cli.login_files(second.path(), Reach::Bundle)));
}

#[test]
fn watch_is_renewed_when_the_directory_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let (dir, aside) = (root.path().join("dir"), root.path().join("aside"));
    let (watches, cli) = (watches(10), cli());
    std::fs::create_dir(&dir).unwrap();
    for name in ["a", "b"] {
        assert!(arm(&watches, &id(name), || cli.login_files(&dir, Reach::Bundle)));
    }
    std::fs::rename(&dir, &aside).unwrap();
    std::fs::create_dir(&dir).unwrap();
    assert!(arm(&watches, &id("a"), || cli.login_files(&dir, Reach::Bundle)));
    let watches = watches.into_inner().unwrap();
    assert_eq!(watches.concerned(&dir.join("who.json")), [id("a")]);
    // The other account is notified to be checked again.
    assert!(watches.reports.take().accounts.contains(&id("b")));
}

/// The user's own directory has one file next to it.
#[test]
fn watch_covers_the_login_file_beside_the_users_own_directory() {
    let home = tempfile::tempdir().unwrap();
    let cli = Registry::builtin().unwrap().provider("claude").unwrap().cli.clone().unwrap();
    let dir = cli.config_dir.own(home.path());
    std::fs::create_dir(&dir).unwrap();
    let watches = watches(10);
    assert!(arm(&watches, &id("own"), || cli.login_files(&dir, Reach::Usual)));
    let concerned = |path: &str| watches.lock().unwrap().concerned(&home.path().join(path)).len();
    for (path, expected) in
        [(".claude.json", 1), (".claude/.credentials.json", 1), (".claude/.claude.json", 0), (".bashrc", 0)]
    {
        assert_eq!(concerned(path), expected, "{path}");
    }
}

#[test]
fn watch_follows_the_users_own_link_to_its_current_target() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    let cli = Registry::builtin().unwrap().provider("codex").unwrap().cli.clone().unwrap();
    let dir = cli.config_dir.own(&home);
    for part in ["home/.codex", "shared", "other"] {
        std::fs::DirBuilder::new().recursive(true).create(root.path().join(part)).unwrap();
    }
    let watches = watches(10);
    let concerned = |path: &str| watches.lock().unwrap().concerned(&root.path().join(path)).len();
    let link = dir.join("auth.json");
    for (target, now, former) in
        [("shared", "shared/a.json", "other/a.json"), ("other", "other/a.json", "shared/a.json")]
    {
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(root.path().join(target).join("a.json"), &link).unwrap();
        assert!(arm(&watches, &id("own"), || cli.login_files(&dir, Reach::Usual)));
        assert_eq!(
            (concerned("home/.codex/auth.json"), concerned(now), concerned(former)),
            (1, 1, 0),
            "{target}"
        );
    }
    // In a bundle the link is refused, and its target does not matter.
    assert!(arm(&watches, &id("own"), || cli.login_files(&dir, Reach::Bundle)));
    assert_eq!((concerned("home/.codex/auth.json"), concerned("other/a.json")), (1, 0));
}
