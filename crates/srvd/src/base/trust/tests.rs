//! The check on real files: every layout that installers make, and every one that must be refused.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A tree of directories below a private root.
struct Tree {
    root: tempfile::TempDir,
    trust: Trust,
}

impl Tree {
    fn new() -> Self {
        let root = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        Self { root, trust: Trust::of_process(None) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn dir(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        DirBuilder::new().recursive(true).create(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn file(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        DirBuilder::new().recursive(true).create(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Makes every group of the tree of this kind.
    fn groups_are(&mut self, kind: Group) {
        let gid = std::fs::metadata(self.root.path()).unwrap().gid();
        self.trust.groups = Arc::new(Mutex::new(HashMap::from([(gid, kind)])));
    }
}

fn culprit<T>(result: Result<T, TrustError>) -> PathBuf {
    match result {
        Err(TrustError::Untrusted(found)) => found.path,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was trusted"),
    }
}

#[test]
fn program_of_each_usual_installation_is_trusted() {
    let mut tree = Tree::new();
    for (group, bin_mode, file_mode) in [
        (Group::Administrators, 0o775, 0o755), // Homebrew, /usr/local
        (Group::Private, 0o775, 0o775),        // umask 002
        (Group::Private, 0o2775, 0o775),
        (Group::Other, 0o755, 0o555), // Nix, and every other umask
    ] {
        tree.groups_are(group);
        tree.dir("prefix", bin_mode);
        tree.dir("prefix/lib", bin_mode);
        let real = tree.file("prefix/lib/cli.js", file_mode);
        let bin = tree.dir("prefix/bin", bin_mode);
        let link = bin.join("codex");
        let _ = std::fs::remove_file(&link);
        symlink("../lib/cli.js", &link).unwrap();
        let real = real.canonicalize().unwrap();
        assert_eq!(tree.trust.program(&link).unwrap(), real, "{group:?}");
        assert_eq!(tree.trust.directory(&bin).unwrap(), bin.canonicalize().unwrap());
    }
}

#[test]
fn program_is_refused_when_any_directory_on_its_way_is_open() {
    let mut tree = Tree::new();
    tree.groups_are(Group::Other);
    for mode in [0o777, 0o775, 0o757] {
        let open = tree.dir("open", mode);
        tree.dir("open/deep", 0o755);
        let program = tree.file("open/deep/codex", 0o755);
        assert_eq!(culprit(tree.trust.program(&program)), open.canonicalize().unwrap(), "{mode:o}");
        // A link from a private directory into the open one.
        let bin = tree.dir("bin", 0o755);
        let _ = std::fs::remove_file(bin.join("codex"));
        symlink(&program, bin.join("codex")).unwrap();
        assert_eq!(culprit(tree.trust.program(&bin.join("codex"))), open.canonicalize().unwrap());
    }
    // A link from an open directory to a private program: the link can be replaced.
    let private = tree.file("private/codex", 0o755);
    let open = tree.dir("open", 0o777);
    symlink(&private, open.join("link")).unwrap();
    assert_eq!(culprit(tree.trust.program(&open.join("link"))), open.canonicalize().unwrap());
    let writable = tree.file("private/writable", 0o757);
    assert_eq!(culprit(tree.trust.program(&writable)), writable.canonicalize().unwrap());
    assert!(tree.trust.program(&private).is_ok());
}

#[test]
fn sticky_directory_is_trusted_above_a_place_but_not_as_the_place() {
    let tree = Tree::new();
    let sticky = tree.dir("tmp", 0o1777);
    let own = tree.dir("tmp/own", 0o700);
    let program = tree.file("tmp/own/codex", 0o755);
    assert!(tree.trust.directory(&own).is_ok());
    assert!(tree.trust.program(&program).is_ok());
    assert_eq!(culprit(tree.trust.directory(&sticky)), sticky.canonicalize().unwrap());
    assert_eq!(culprit(tree.trust.program(&tree.file("tmp/codex", 0o755))), sticky.canonicalize().unwrap());
    // srvd may make a directory of its own there, but an absent search directory could be anybody's.
    assert!(tree.trust.above(&sticky.join("new/deep")).is_ok());
    assert_eq!(culprit(tree.trust.directory(&sticky.join("new"))), sticky.canonicalize().unwrap());
    assert!(matches!(tree.trust.directory(&own.join("new")), Err(TrustError::Missing(_))));
    let open = tree.dir("open", 0o777);
    assert_eq!(culprit(tree.trust.above(&open.join("data"))), open.canonicalize().unwrap());
}

#[test]
fn place_of_another_user_is_refused_wherever_it_is_on_the_way() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can give files away.
    }
    let tree = Tree::new();
    let other = 12_345;
    let dir = tree.dir("theirs", 0o755);
    let program = tree.file("theirs/codex", 0o755);
    std::os::unix::fs::chown(&dir, Some(other), None).unwrap();
    assert_eq!(culprit(tree.trust.program(&program)), dir.canonicalize().unwrap());
    assert_eq!(culprit(tree.trust.above(&dir.join("data/srvd"))), dir.canonicalize().unwrap());
    let file = tree.file("ours/srvd.toml", 0o644);
    std::os::unix::fs::chown(&file, Some(other), None).unwrap();
    assert_eq!(culprit(tree.trust.read(&file, 100)), file.canonicalize().unwrap());
    // A link of another user counts only where that user could have put it.
    let good = tree.file("ours/good", 0o644);
    let sticky = tree.dir("tmp", 0o1777);
    for holder in [sticky.clone(), tree.dir("ours", 0o755)] {
        symlink(good.parent().unwrap(), holder.join("link")).unwrap();
        std::os::unix::fs::lchown(holder.join("link"), Some(other), None).unwrap();
    }
    assert_eq!(
        culprit(tree.trust.read(&sticky.join("link/good"), 100)),
        sticky.canonicalize().unwrap().join("link")
    );
    assert!(tree.trust.read(&tree.path("ours/link/good"), 100).unwrap().is_some());
}

#[test]
fn accepted_path_is_used_with_all_that_is_below_it() {
    let tree = Tree::new();
    let open = tree.dir("open", 0o777);
    let program = tree.file("open/bin/codex", 0o777);
    std::fs::set_permissions(tree.path("open/bin"), Permissions::from_mode(0o777)).unwrap();
    let accepted = Trust::of_process(open.to_str());
    assert!(accepted.program(&program).is_ok());
    let configured = Trust::of_process(None).accepting(vec![open.clone()]);
    assert!(configured.program(&program).is_ok());
    let below = Trust::of_process(None).accepting(vec![tree.path("open/bin"), "/".into(), "relative".into()]);
    assert_eq!(culprit(below.program(&program)), open.canonicalize().unwrap());
    let said = Trust::of_process(None).program(&program).unwrap_err().to_string();
    assert!(said.contains(&format!("SRVD_TRUSTED_PATHS={}", open.display())), "{said}");
}

#[test]
fn file_is_read_only_when_it_is_regular_and_short_enough() {
    let tree = Tree::new();
    let file = tree.file("f", 0o644);
    assert_eq!(&*tree.trust.read(&file, 10).unwrap().unwrap().bytes, b"#!/bin/sh\n");
    assert!(tree.trust.read(&file, 9).is_err_and(|error| error.to_string().contains("longer than 9")));
    assert!(tree.trust.read(&tree.path("absent"), 9).unwrap().is_none());
    symlink("absent", tree.path("dangling")).unwrap();
    symlink("loop", tree.path("loop")).unwrap();
    symlink("/dev/zero", tree.path("device")).unwrap();
    let fifo = tree.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (name, part) in [
        ("dangling", "leads nowhere"),
        ("loop", "too many links"),
        ("device", "/dev"),
        ("fifo", "FIFO"),
        ("", "is a directory"),
    ] {
        let error = tree.trust.read(&tree.path(name), 100).err().unwrap().to_string();
        assert!(error.contains(part), "{name}: {error}");
    }
    assert!(open_regular(&fifo).unwrap_err().to_string().contains("FIFO"));
    assert!(read_regular(Path::new("/dev/zero"), 100).unwrap_err().to_string().contains("device"));
    assert!(read_regular(&file, 9).unwrap_err().to_string().contains("longer than 9"));
}

#[test]
fn parent_components_are_followed_after_links() {
    let tree = Tree::new();
    tree.dir("a/b", 0o755);
    let file = tree.file("a/f", 0o644);
    symlink("a/b", tree.path("link")).unwrap();
    let content = tree.trust.read(&tree.path("link/../f"), 100).unwrap();
    assert!(content.is_some(), "{}", file.display());
}
