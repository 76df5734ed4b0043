//! Checks that a program named by a client is in a location that only root or this user can write to.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Returns the canonical path of a program that may be run, following the rule that OpenSSH calls `StrictModes`. The
/// program must be a regular executable file owned by root or this user, in directories that no other user can change.
/// A sticky directory such as `/tmp` is considered safe only above a directory of this user.
///
/// # Errors
/// A brief reason.
pub(super) fn trusted(path: &Path) -> Result<PathBuf, &'static str> {
    if !path.is_absolute() {
        return Err("not an absolute path");
    }
    if path.components().any(|part| matches!(part, std::path::Component::ParentDir)) {
        return Err("contains a .. component");
    }
    let canonical = std::fs::canonicalize(path).map_err(|_| "cannot be found")?;
    let file = std::fs::metadata(&canonical).map_err(|_| "cannot be found")?;
    if !file.is_file() {
        return Err("not a regular file");
    }
    if file.permissions().mode() & 0o111 == 0 {
        return Err("not executable");
    }
    let ours = rustix::process::geteuid().as_raw();
    let owned = |uid: u32| uid == 0 || uid == ours;
    if !owned(file.uid()) || file.permissions().mode() & 0o022 != 0 {
        return Err("other users can change the file");
    }
    // Both paths are checked: the given one, because its links can be replaced, and the one to which it resolves.
    for place in [path, canonical.as_path()] {
        for dir in place.ancestors().skip(1) {
            let found = std::fs::metadata(dir).map_err(|_| "cannot be found")?;
            let mode = found.permissions().mode();
            let sticky = mode & 0o1000 != 0 && Some(dir) != place.parent();
            if !owned(found.uid()) || (mode & 0o022 != 0 && !sticky) {
                return Err("other users can change a directory above it");
            }
        }
    }
    Ok(canonical)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn program_is_trusted_only_when_other_users_cannot_change_it() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let path = root.path().join(name);
            std::fs::write(&path, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        let good = file("good", 0o755);
        assert_eq!(trusted(&good), Ok(good.canonicalize().unwrap()));
        assert_eq!(trusted(&file("open", 0o777)), Err("other users can change the file"));
        assert_eq!(trusted(&file("plain", 0o644)), Err("not executable"));
        assert_eq!(trusted(root.path()), Err("not a regular file"));
        assert_eq!(trusted(Path::new("claude")), Err("not an absolute path"));
        assert_eq!(trusted(&root.path().join("x/../good")), Err("contains a .. component"));
        assert_eq!(trusted(&root.path().join("absent")), Err("cannot be found"));

        let shared = root.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        std::fs::copy(&good, shared.join("evil")).unwrap();
        std::fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(trusted(&shared.join("evil")), Err("other users can change a directory above it"));
        symlink(&good, shared.join("link")).unwrap();
        assert_eq!(trusted(&shared.join("link")), Err("other users can change a directory above it"));
        std::fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(trusted(&shared.join("evil")), Err("other users can change a directory above it"));
    }
}
