//! Symbolic links: those of the user are followed, those in a bundle are rejected.

use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use auth_spawner::{Proof, Reach, prove, prove_own};
use serde_json::json;

use crate::proof::{LINK, cli, jwt, write};

/// A root directory that contains a home directory and link targets outside it.
struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let world = Self { root };
        make_dir(&world.path("home/.codex"));
        write(world.root.path(), "shared/auth.json", codex().as_bytes());
        world
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(below)
    }

    fn link(&self, place: &str, target: impl AsRef<Path>) {
        let place = self.path(place);
        if place.is_symlink() {
            std::fs::remove_file(&place).unwrap();
        }
        symlink(target, place).unwrap();
    }

    fn own(&self) -> Proof {
        prove_own(&cli("codex"), &self.path("home/.codex"))
    }

    fn bundle(&self) -> Proof {
        prove(&cli("codex"), &self.path("home/.codex"))
    }
}

fn codex() -> String {
    let tokens =
        json!({"id_token": jwt(&json!({"email": "a@x"})), "access_token": "opaque", "refresh_token": "r"});
    json!({"auth_mode": "chatgpt", "tokens": tokens}).to_string()
}

fn is_login(proof: &Proof) -> bool {
    matches!(proof, Proof::LoggedIn(found) if found.email.as_deref() == Some("a@x"))
}

fn make_dir(dir: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
}

#[test]
fn link_is_followed_in_the_users_directory_and_rejected_in_a_bundle() {
    let world = World::new();
    let refused = Proof::Unreadable { reason: format!("auth.json {LINK}") };
    for target in [PathBuf::from("../../shared/auth.json"), world.path("shared/auth.json")] {
        world.link("home/.codex/auth.json", &target);
        assert!(is_login(&world.own()), "{target:?}: {:?}", world.own());
        assert_eq!(world.bundle(), refused);
    }
    // The link points to another link, which is how dotfile tools create them.
    world.link("shared/again.json", "auth.json");
    world.link("home/.codex/auth.json", world.path("shared/again.json"));
    assert!(is_login(&world.own()));
    // The whole directory is a link.
    std::fs::rename(world.path("home/.codex"), world.path("elsewhere")).unwrap();
    world.link("home/.codex", world.path("elsewhere"));
    assert!(is_login(&world.own()));
}

#[test]
fn user_link_is_named_when_it_leads_to_no_login() {
    let world = World::new();
    let place = "home/.codex/auth.json";
    let check = |target: &Path, expected: Proof| {
        world.link(place, target);
        assert_eq!(world.own(), expected, "{target:?}");
    };
    let no_login = |reason: &str| Proof::Incomplete { reason: reason.to_owned() };
    let unreadable = |target: &Path, reason: &str| Proof::Unreadable {
        reason: format!("auth.json (a link to {}) cannot be read: {reason}", target.display()),
    };
    let gone = no_login("auth.json is a symbolic link to a file that does not exist");
    check(&world.path("shared/nothing.json"), gone.clone());
    check(&world.path("nowhere/at/all"), gone);
    check(&world.path(place), no_login("auth.json is part of a loop of symbolic links"));
    let dir = world.path("shared");
    check(&dir, unreadable(&dir, "it is not a regular file"));
    let fifo = world.path("shared/fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    check(&fifo, unreadable(&fifo, "it is not a regular file"));
    let device = PathBuf::from("/dev/null");
    check(&device, unreadable(&device, "it is not a regular file"));
    let huge = world.path("shared/huge");
    std::fs::File::create(&huge).unwrap().set_len(100 * 1024 * 1024).unwrap();
    check(&huge, unreadable(&huge, "it is larger than 1 MiB"));
    let text = world.path("shared/text");
    std::fs::write(&text, "no document").unwrap();
    check(&text, unreadable(&text, "not JSON at line 1"));
    let empty = world.path("shared/empty");
    std::fs::write(&empty, "{}").unwrap();
    let words = "holds no login: the file has no ID token";
    check(&empty, no_login(&format!("auth.json (a link to {}) {words}", empty.display())));
}

#[test]
fn user_link_is_rejected_when_its_file_belongs_to_another_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new();
    let target = world.path("shared/auth.json");
    world.link("home/.codex/auth.json", &target);
    std::os::unix::fs::chown(&target, Some(65_534), None).unwrap();
    let reason = "it belongs to another user (uid 65534)";
    let reason = format!("auth.json (a link to {}) cannot be read: {reason}", target.display());
    assert_eq!(world.own(), Proof::Unreadable { reason });
}

#[test]
fn directory_link_is_followed_only_in_the_users_directory() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(".kimi-code");
    std::fs::create_dir(&dir).unwrap();
    write(root.path(), "elsewhere/kimi-code.json", br#"{"access_token":"x"}"#);
    symlink(root.path().join("elsewhere"), dir.join("credentials")).unwrap();
    assert!(matches!(prove_own(&cli("kimi-code"), &dir), Proof::LoggedIn(_)));
    assert_eq!(prove(&cli("kimi-code"), &dir), Proof::Unreadable { reason: format!("credentials {LINK}") });
    // A pattern may match a link.
    std::fs::remove_file(dir.join("credentials")).unwrap();
    std::fs::create_dir(dir.join("credentials")).unwrap();
    symlink(root.path().join("elsewhere/kimi-code.json"), dir.join("credentials/kimi-code.json")).unwrap();
    assert!(matches!(prove_own(&cli("kimi-code"), &dir), Proof::LoggedIn(_)));
    assert_eq!(
        prove(&cli("kimi-code"), &dir),
        Proof::Unreadable { reason: format!("kimi-code.json {LINK}") }
    );
}

/// The database's log is next to the database, not next to the link.
#[test]
fn linked_user_database_is_read_with_its_log() {
    let root = tempfile::tempdir().unwrap();
    let (dir, real) = (root.path().join(".shape-openclaw"), root.path().join("real.sqlite"));
    make_dir(&dir.join("state"));
    let database = rusqlite::Connection::open(&real).unwrap();
    let script = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        CREATE TABLE config_machine_state (state_key TEXT, value_json TEXT);
        INSERT INTO config_machine_state VALUES ('authProfiles.store', '{\"profiles\":{\"a\":{\"access\":\"x\"}}}')";
    database.execute_batch(script).unwrap();
    symlink(&real, dir.join("state/openclaw.sqlite")).unwrap();
    assert!(matches!(prove_own(&cli("shape-openclaw"), &dir), Proof::LoggedIn(_)));
    let refused = Proof::Unreadable { reason: format!("openclaw.sqlite {LINK}") };
    assert_eq!(prove(&cli("shape-openclaw"), &dir), refused);
    drop(database);
}

#[test]
fn login_files_include_each_link_on_the_path() {
    let world = World::new();
    world.link("shared/again.json", "auth.json");
    world.link("home/.codex/auth.json", world.path("shared/again.json"));
    let codex = cli("codex");
    let dir = world.path("home/.codex");
    let paths = |reach| codex.login_files(&dir, reach).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    let place = dir.join("auth.json");
    assert_eq!(paths(Reach::Bundle), std::slice::from_ref(&place));
    assert_eq!(
        paths(Reach::Usual),
        [place.clone(), world.path("shared/again.json"), world.path("shared/auth.json")]
    );
    world.link("home/.codex/auth.json", &place);
    assert_eq!(paths(Reach::Usual), [place]);
}
