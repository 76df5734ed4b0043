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
    check(text("Work").as_bytes(), Ok("Work"));
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
    file(0, 0o644, 5, true);
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

#[test]
fn nearest_binding_file_wins() {
    let (_root, path) = tree();
    let found = |from: &str| match search(&path.join(from), me()).unwrap() {
        Search::Bound(bound) => Some((bound.bundle, bound.file.strip_prefix(&path).unwrap().to_owned())),
        Search::Unbound(_) => None,
    };
    assert_eq!(found("a/b/c"), None);
    std::fs::write(path.join("a/.srvd"), "work\n").unwrap();
    for from in ["a", "a/b", "a/b/c"] {
        assert_eq!(found(from), Some(("work".to_owned(), "a/.srvd".into())), "{from}");
    }
    std::fs::write(path.join("a/b/.srvd"), "home").unwrap();
    assert_eq!(found("a/b/c"), Some(("home".to_owned(), "a/b/.srvd".into())));
    assert_eq!(found("a"), Some(("work".to_owned(), "a/.srvd".into())));
}

#[test]
fn search_ends_at_a_directory_that_others_can_write_to() {
    let (_root, path) = tree();
    std::fs::write(path.join("a/.srvd"), "work\n").unwrap();
    std::fs::write(path.join(".srvd"), "planted\n").unwrap();
    std::fs::set_permissions(path.join("a"), Permissions::from_mode(0o1777)).unwrap();
    for from in ["a/b/c", "a/b", "a"] {
        let end = End::Before(path.join("a"), "it is world-writable");
        assert_eq!(search(&path.join(from), me()), Ok(Search::Unbound(end)), "{from}");
    }
}

#[test]
fn search_refuses_an_invalid_binding_file_and_does_not_look_above_it() {
    let (_root, path) = tree();
    std::fs::write(path.join("a/.srvd"), "work\n").unwrap();
    let file = path.join("a/b/.srvd");
    let check = |expected: &str| {
        let refusal = search(&path.join("a/b/c"), me()).unwrap_err();
        assert_eq!((refusal.path.as_path(), refusal.reason.as_str()), (file.as_path(), expected));
    };
    symlink(path.join("a/.srvd"), &file).unwrap();
    check("it is a symbolic link");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    check("it is not a regular file");
    std::fs::remove_dir(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    check("it is not a regular file");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, vec![b'x'; 1_000_000]).unwrap();
    check(TOO_LONG);
    std::fs::write(&file, "work\nhome\n").unwrap();
    check("it has more than one line; it must contain only the name of a bundle");
    std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    check("it is world-writable; run chmod o-w");
}
