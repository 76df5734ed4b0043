//! The check that a file can be written to a directory. A CLI that cannot save a new token has lost its login.

use std::path::Path;

/// The least free space, in bytes.
const LEAST: u64 = 1024 * 1024;

/// Returns the reason why a file in the directory could not be replaced; `None` if it could. Blocks.
pub(crate) fn objection(dir: &Path) -> Option<String> {
    let found = match rustix::fs::statvfs(dir) {
        Ok(found) => found,
        Err(error) => return Some(format!("its directory cannot be examined: {error}")),
    };
    if found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Some("its directory is on a disk that can only be read".to_owned());
    }
    if let Err(error) = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
        return Some(format!("its directory cannot be written: {error}"));
    }
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    // A file system without inodes reports zero of them.
    let files = found.f_files == 0 || found.f_favail > 0;
    (free < LEAST || !files).then(|| format!("the disk of its directory is full ({} KiB left)", free / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_that_can_be_written_has_no_objection() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(objection(root.path()), None);
        assert!(objection(&root.path().join("absent")).is_some());
        assert!(objection(Path::new("/proc")).is_some());
    }
}
