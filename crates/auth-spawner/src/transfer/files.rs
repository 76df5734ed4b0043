//! Individual file operations. After a crash, each one is either complete or has not happened.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, linkat};
use rustix::io::Errno;

use crate::proof;

/// The maximum size of a file that is moved or merged, in bytes. Claude Code stores its settings and its list of
/// projects in a single file.
const MOST: u64 = 64 * 1024 * 1024;

/// Reads a regular file; `Ok(None)` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    proof::read(path, MOST)
}

/// Writes a new file with mode 0600 and flushes it to disk. A file left by an earlier attempt is replaced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Keeps any file at `place` under a second name. Returns whether there was one.
pub(super) fn keep(place: &Path, second: &Path) -> io::Result<bool> {
    match std::fs::remove_file(second) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Links are not followed.
    match linkat(CWD, place, CWD, second, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        // Some file systems do not support hard links.
        Err(_) if std::fs::symlink_metadata(place)?.is_file() => {
            std::fs::copy(place, second)?;
            File::open(second)?.sync_all()?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Renames a file, replacing any existing file, and flushes the change to disk.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync)
}

/// Flushes a directory's entries to disk.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
