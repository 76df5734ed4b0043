//! Directories that are made for CLIs.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes a directory and what is missing above it, 0700 each. One that is there stays as it is; a link or a file in its
/// place is an error, because a link could lead anywhere.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if std::fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is not a directory", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_private_and_follows_no_link() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        private_directory(&path).unwrap();
        private_directory(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        symlink(&path, root.path().join("link")).unwrap();
        assert!(private_directory(&root.path().join("link")).is_err());
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(private_directory(&root.path().join("file")).is_err());
    }
}
