//! Single steps on files, each of which is there after a crash or is not.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, linkat};
use rustix::io::Errno;

use crate::proof;

/// The largest file that is moved or merged. Claude Code keeps its settings and the list of its projects in one.
const MOST: u64 = 64 * 1024 * 1024;

/// Everything in a regular file; `Ok(None)` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    proof::read(path, MOST)
}

/// Writes a new file, 0600, through to the disk. One of an earlier attempt is replaced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Keeps what stands at `place` under a second name, whatever it is; says whether anything does.
pub(super) fn keep(place: &Path, second: &Path) -> io::Result<bool> {
    match std::fs::remove_file(second) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A link is not followed.
    match linkat(CWD, place, CWD, second, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        // Not every file system knows second names.
        Err(_) if std::fs::symlink_metadata(place)?.is_file() => {
            std::fs::copy(place, second)?;
            File::open(second)?.sync_all()?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Renames a file over whatever file stands there, through to the disk.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync)
}

/// Writes a directory's names through to the disk.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
