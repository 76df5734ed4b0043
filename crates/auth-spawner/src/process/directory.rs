//! Creates directories and files for CLIs.

use std::io;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt as _};
use std::path::Path;

use crate::registry::{Cli, PreparedFile};

/// Creates a directory and any missing parents, each with mode 0700. An existing directory is left unchanged. A
/// symbolic link or a file at that path is an error, because a link could lead anywhere.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if std::fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is not a directory", path.display())))
}

/// Writes the files that the CLI expects, without changing existing files. `dir` is the directory that the CLI's
/// variable points to. Blocks.
///
/// # Errors
/// Returns an I/O error if a directory or file cannot be written.
pub fn prepare(cli: &Cli, dir: &Path) -> io::Result<()> {
    let dir = cli.config_dir.inside(dir);
    if !cli.config_dir.inner.is_empty() {
        private_directory(&dir)?;
    }
    for PreparedFile { path, text } in &cli.prepare {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            private_directory(folder)?;
        }
        // `create_new` also does not follow symbolic links.
        match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => file.write_all(text.as_bytes())?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn directory_is_private_and_not_created_through_a_link() {
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
