use std::fs::Permissions;
use std::os::unix::fs::symlink;

use super::*;

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn binding_file_holds_one_bundle_name_and_nothing_else() {
    let check = |bytes: &[u8], expected: Result<&str, &str>| {
        assert_eq!(parse(bytes), expected.map(str::to_owned), "{:?}", String::from_utf8_lossy(bytes));
    };
    for good in ["work", "work\n", "work\r\n"] {
        check(good.as_bytes(), Ok("work"));
    }
    check("Codex (ann@example.com)\n".as_bytes(), Ok("Codex (ann@example.com)"));
    check("Zoë 漢字\n".as_bytes(), Ok("Zoë 漢字"));
    check(Content::naming("Work").bytes(), Ok("Work"));
    for empty in ["", "\n", " \n", "\r\n"] {
        check(empty.as_bytes(), Err("it is empty; it must contain the name of a bundle"));
    }
    let lines = "it has more than one line; it must contain only the name of a bundle";
    for more in ["work\nhome", "work\n\n", "bundle = \"work\"\nexec = \"rm\"\n"] {
        check(more.as_bytes(), Err(lines));
    }
    let other = "it does not contain a valid bundle name";
    for bad in [" work", "work ", "wo\u{1b}[2Jrk", "wo\0rk", "wo\trk", &"x".repeat(101)] {
        check(bad.as_bytes(), Err(other));
    }
    check(b"w\xffrk", Err("it is not UTF-8 text"));
    check(&[b'x'; 513], Err(TOO_LONG));
}

#[test]
fn binding_counts_only_when_other_users_cannot_write_it() {
    let directory = |owner: u32, mode: u32, expected: Result<(), &str>| {
        assert_eq!(directory_holds(owner, mode, 1000), expected, "{owner} {mode:o}");
    };
    directory(1000, 0o40755, Ok(()));
    directory(1000, 0o40775, Ok(()));
    directory(0, 0o40755, Ok(()));
    directory(1001, 0o40755, Err("it belongs to another user"));
    directory(0, 0o41777, Err("it is world-writable"));
    directory(1000, 0o40777, Err("it is world-writable"));
    let file = |owner: u32, mode: u32, length: u64, good: bool| {
        assert_eq!(file_holds(owner, mode, length, 1000).is_ok(), good, "{owner} {mode:o} {length}");
    };
    file(1000, 0o644, 5, true);
    file(1000, 0o664, 5, true);
    file(0, 0o644, 5, false);
    file(1001, 0o644, 5, false);
    file(1000, 0o666, 5, false);
    file(1000, 0o644, 512, true);
    file(1000, 0o644, 513, false);
}

/// Makes `root/a/b/c`, and returns the path of the root too. Everybody can write to the system's temporary directory,
/// so a search that finds nothing ends below it.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().canonicalize().unwrap();
    std::fs::DirBuilder::new().recursive(true).create(path.join("a/b/c")).unwrap();
    (root, path)
}

/// A list of allowed files in a directory of its own.
fn allowed(path: &Path) -> Allowed {
    Allowed::new(&path.join("data"), &path.join("home"))
}

fn put(allowed: &Allowed, file: &Path, bundle: &str) {
    let content = Content::naming(bundle);
    std::fs::write(file, content.bytes()).unwrap();
    allowed.record(file, &content).unwrap();
}

fn bound(searched: Searched) -> Option<(String, PathBuf)> {
    match searched.result {
        Search::Bound(bound) => Some((bound.bundle, bound.file)),
        Search::Unbound(_) => None,
    }
}

#[test]
fn nearest_binding_file_wins() {
    let (_root, path) = tree();
    let allowed = allowed(&path);
    let found = |from: &str| bound(search(&path.join(from), me(), &allowed));
    assert_eq!(found("a/b/c"), None);
    put(&allowed, &path.join("a/.srvd"), "work");
    for from in ["a", "a/b", "a/b/c"] {
        assert_eq!(found(from), Some(("work".to_owned(), path.join("a/.srvd"))), "{from}");
    }
    put(&allowed, &path.join("a/b/.srvd"), "home");
    assert_eq!(found("a/b/c"), Some(("home".to_owned(), path.join("a/b/.srvd"))));
    assert_eq!(found("a"), Some(("work".to_owned(), path.join("a/.srvd"))));
}

#[test]
fn search_ends_at_a_directory_that_others_can_write_to() {
    let (_root, path) = tree();
    let allowed = allowed(&path);
    put(&allowed, &path.join("a/.srvd"), "work");
    put(&allowed, &path.join(".srvd"), "planted");
    std::fs::set_permissions(path.join("a"), Permissions::from_mode(0o1777)).unwrap();
    for from in ["a/b/c", "a/b", "a"] {
        let end = End::Before(path.join("a"), "it is world-writable");
        let searched = search(&path.join(from), me(), &allowed);
        assert_eq!(searched, Searched { result: Search::Unbound(end), ignored: Vec::new() }, "{from}");
    }
}

#[test]
fn binding_file_is_passed_over_unless_its_content_was_allowed() {
    let (_root, path) = tree();
    let allowed = allowed(&path);
    put(&allowed, &path.join("a/.srvd"), "work");
    let file = path.join("a/b/.srvd");
    let check = |expected: &str, allowable: bool| {
        let searched = search(&path.join("a/b/c"), me(), &allowed);
        let ignored = &searched.ignored[..];
        assert_eq!(ignored.len(), 1, "{ignored:?}");
        assert_eq!((ignored[0].file.as_path(), ignored[0].reason.as_str()), (file.as_path(), expected));
        assert_eq!(ignored[0].content.is_some(), allowable, "{expected}");
        // The outer directory's binding still applies.
        assert_eq!(bound(searched).unwrap().0, "work");
    };
    std::fs::write(&file, "home\n").unwrap();
    check("you have not bound the directory with it", true);
    put(&allowed, &file, "home");
    assert_eq!(bound(search(&path.join("a/b/c"), me(), &allowed)).unwrap().0, "home");
    std::fs::write(&file, "home").unwrap();
    check("it has changed since you bound the directory", true);
    std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    check("it is world-writable; run chmod o-w", false);
    std::fs::remove_file(&file).unwrap();
    symlink(path.join("a/.srvd"), &file).unwrap();
    check("it is a symbolic link", false);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    check("it is not a regular file", false);
    std::fs::remove_dir(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    check("it is not a regular file", false);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, vec![b'x'; 1_000_000]).unwrap();
    check(TOO_LONG, false);
    std::fs::write(&file, "work\nhome\n").unwrap();
    check("it has more than one line; it must contain only the name of a bundle", false);
}

#[test]
fn worktree_counts_as_its_repository_only_when_the_repository_points_back() {
    let (_root, path) = tree();
    let allowed = allowed(&path);
    let (main, tree) = (path.join("a/main"), path.join("trees/one"));
    let git = main.join(".git/worktrees/one");
    for dir in [&git, &tree.join("deep")] {
        std::fs::DirBuilder::new().recursive(true).create(dir).unwrap();
    }
    put(&allowed, &path.join("a/.srvd"), "work");
    std::fs::write(tree.join(".git"), format!("gitdir: {}\n", git.display())).unwrap();
    std::fs::write(git.join("commondir"), "../..\n").unwrap();
    let found = || bound(search(&tree.join("deep"), me(), &allowed)).map(|(bundle, _)| bundle);
    assert_eq!(found(), None);
    std::fs::write(git.join("gitdir"), format!("{}\n", path.join("trees/two/.git").display())).unwrap();
    assert_eq!(found(), None);
    std::fs::write(git.join("gitdir"), format!("{}\n", tree.join(".git").display())).unwrap();
    assert_eq!(found().as_deref(), Some("work"));
    // A binding of the worktree comes before that of the repository, and that before those above the worktree.
    put(&allowed, &path.join("trees/.srvd"), "trees");
    assert_eq!(found().as_deref(), Some("work"));
    put(&allowed, &tree.join(".srvd"), "tree");
    assert_eq!(found().as_deref(), Some("tree"));
}
