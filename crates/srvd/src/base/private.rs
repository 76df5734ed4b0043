//! Directories and files that only this user can access.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The reason why a private directory cannot be used. The text contains the path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivateError {
    /// The directory could not be created or inspected.
    #[error("cannot create {path}: {source}")]
    Io {
        /// The path of the directory.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The path is a symbolic link, which could point anywhere.
    #[error("{0} is a symbolic link; srvd does not follow links to its own directories")]
    Link(PathBuf),
    /// The path is not a directory.
    #[error("{0} is not a directory")]
    NotDirectory(PathBuf),
    /// The directory belongs to another user.
    #[error("{path} belongs to uid {owner}, not to uid {wanted}")]
    Owner {
        /// The path of the directory.
        path: PathBuf,
        /// The uid of the owner.
        owner: u32,
        /// The uid of this user.
        wanted: u32,
    },
    /// Other users may read or write the directory.
    #[error("{path} has mode {mode:04o}, so other users can access it. Run: chmod 700 {path}")]
    Mode {
        /// The path of the directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Creates `path` and any missing parents with mode 0700, or checks that an existing directory belongs only to this
/// user.
///
/// # Errors
/// A [`PrivateError`]: a link, another owner, a mode that gives others access, or an I/O error.
pub(crate) fn directory(path: &Path) -> Result<(), PrivateError> {
    let io = |source| PrivateError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        }
        Err(error) => return Err(io(error)),
        Ok(_) => {}
    }
    let found = std::fs::symlink_metadata(path).map_err(io)?;
    let wanted = rustix::process::geteuid().as_raw();
    if found.is_symlink() {
        Err(PrivateError::Link(path.to_owned()))
    } else if !found.is_dir() {
        Err(PrivateError::NotDirectory(path.to_owned()))
    } else if found.uid() != wanted {
        Err(PrivateError::Owner { path: path.to_owned(), owner: found.uid(), wanted })
    } else if found.permissions().mode() & 0o077 != 0 {
        Err(PrivateError::Mode { path: path.to_owned(), mode: found.permissions().mode() & 0o7777 })
    } else {
        Ok(())
    }
}

/// Checks an existing directory, which must belong to this user alone. Returns false if there is none.
///
/// # Errors
/// [`PrivateError`]: a link, another owner, a mode that gives others access, or an I/O error.
pub(crate) fn existing(path: &Path) -> Result<bool, PrivateError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        _ => directory(path).map(|()| true),
    }
}

/// Creates a directory and its missing parents, 0700 each. Existing ones stay as they are.
///
/// # Errors
/// [`PrivateError::Io`], also when a part of the path is no directory.
pub(crate) fn directory_tree(path: &Path) -> Result<(), PrivateError> {
    let io = |source| PrivateError::Io { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)
}

/// Writes a file with mode 0600 through a new file and a rename. A reader sees either the old content or all of the
/// new.
///
/// # Errors
/// The I/O error. In that case the existing file is unchanged.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", uuid::Uuid::new_v4().simple()));
    let fresh = path.with_file_name(name);
    let written = new_file(&fresh, 0o600).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&fresh, path)).inspect_err(|_| {
        // The first error is the one to report. The incomplete file is useless.
        let _ = std::fs::remove_file(&fresh);
    })
}

/// Makes the renaming or creation of this file durable by syncing its directory.
///
/// # Errors
/// The I/O error.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Creates a file that must not exist yet. It has this mode from the start.
///
/// # Errors
/// The I/O error; `AlreadyExists` if the path exists, even as a link.
pub(crate) fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Reads a small file, such as the key, that must belong to this user and be inaccessible to others.
///
/// # Errors
/// An I/O error; `PermissionDenied`, with the reason, if others may read the file or another user owns it.
pub(crate) fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let ours = rustix::process::geteuid().as_raw();
    read_file_of(path, limit, |owner| owner == ours).map(|(content, _)| content)
}

/// Reads a small file that is closed to all but its owner, and that has an accepted owner. Returns the owner's uid, too.
///
/// # Errors
/// As for [`read_file`].
pub(crate) fn read_file_of(
    path: &Path,
    limit: u64,
    accepts: impl FnOnce(u32) -> bool,
) -> io::Result<(Vec<u8>, u32)> {
    use std::io::Read as _;
    let denied = |reason: String| io::Error::new(io::ErrorKind::PermissionDenied, reason);
    // O_NONBLOCK prevents a FIFO at this path from blocking the start forever.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let found = file.metadata()?;
    let mode = found.permissions().mode() & 0o7777;
    if !found.is_file() {
        return Err(denied("it is not a regular file".into()));
    }
    if !accepts(found.uid()) {
        return Err(denied(format!("it belongs to uid {}", found.uid())));
    }
    if mode & 0o077 != 0 {
        return Err(denied(format!("it has mode {mode:04o}, so other users can read it; run chmod 600")));
    }
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    Ok((content, found.uid()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn directory_is_created_private_and_rejected_when_open_or_a_link() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        directory(&path).unwrap();
        directory(&path).unwrap();
        for made in [root.path().join("a"), path.clone()] {
            assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(directory(&path), Err(PrivateError::Mode { mode: 0o755, .. })));
        let link = root.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(directory(&link), Err(PrivateError::Link(_))));
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(directory(&file), Err(PrivateError::NotDirectory(_))));
        assert!(matches!(directory(&file.join("below")), Err(PrivateError::Io { .. })));
    }

    #[test]
    fn file_is_replaced_atomically_and_rejected_when_others_can_read_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        replace_file(&path, b"one").unwrap();
        replace_file(&path, b"two").unwrap();
        assert_eq!(read_file(&path, 100).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_file(&path, 100).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(new_file(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
