//! The removal of a CLI's files from a directory. Every step uses an open directory handle and follows no link. Files
//! that are moved or linked in the meantime therefore cannot lead outside.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

/// Largest depth of nested directories. A CLI's own directories never reach it.
const DEEPEST: usize = 128;

/// The result of a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleaned {
    /// The directory was removed.
    Removed,
    /// The directory holds only the files to keep.
    KeptHistory,
    /// The directory did not exist.
    Absent,
}

/// Removes `below`, which is relative to `root`, except the paths inside it that `keep` names. Then removes the empty
/// directories between the two. A link in place of the directory is removed; a link on the way to it is an error.
pub(super) fn clean(root: &Path, below: &Path, keep: &[PathBuf]) -> io::Result<Cleaned> {
    let parts: Vec<&OsStr> = below
        .components()
        .map(|part| match part {
            Component::Normal(name) => Ok(name),
            _ => Err(io::Error::other("it is not a plain path")),
        })
        .collect::<Result<_, _>>()?;
    let Some((last, above)) = parts.split_last() else { return Err(io::Error::other("it is the root")) };
    let mut folders = vec![match open(CWD, root.as_os_str()) {
        Err(Errno::NOENT) => return Ok(Cleaned::Absent),
        opened => opened?,
    }];
    for name in above {
        let Some(folder) = folders.last() else { break };
        folders.push(match open(folder.as_fd(), name) {
            Err(Errno::NOENT) => return Ok(Cleaned::Absent),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(io::Error::other("a part of its path is not a directory"));
            }
            opened => opened?,
        });
    }
    let Some(folder) = folders.last() else { return Err(io::Error::other("it is the root")) };
    let cleaned = remove(folder.as_fd(), last, keep, 0)?;
    if cleaned == Cleaned::Removed {
        // Another provider of the same bundle may still have files there. The removal then fails, as intended.
        for (folder, name) in folders.iter().zip(above).rev() {
            if unlinkat(folder, *name, AtFlags::REMOVEDIR).is_err() {
                break;
            }
        }
    }
    Ok(cleaned)
}

fn open(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Removes one entry, except the paths below it that are to be kept.
fn remove(folder: BorrowedFd<'_>, name: &OsStr, keep: &[PathBuf], depth: usize) -> io::Result<Cleaned> {
    let Some(found) = kind(folder, name)? else { return Ok(Cleaned::Absent) };
    if found != FileType::Directory {
        unlinkat(folder, name, AtFlags::empty())?;
        return Ok(Cleaned::Removed);
    }
    if depth >= DEEPEST {
        return Err(io::Error::other("its directories are nested too deeply"));
    }
    let dir = open(folder, name)?;
    let mut kept = false;
    for entry in entries(&dir)? {
        let below: Vec<PathBuf> =
            keep.iter().filter_map(|path| path.strip_prefix(&entry).ok()).map(Path::to_owned).collect();
        // The history behind a link is in another place, and stays there.
        let keeps = below.iter().any(|rest| rest.as_os_str().is_empty());
        if keeps && kind(dir.as_fd(), &entry)? != Some(FileType::Symlink) {
            kept = true;
            continue;
        }
        kept |= remove(dir.as_fd(), &entry, &below, depth + 1)? == Cleaned::KeptHistory;
    }
    if kept {
        return Ok(Cleaned::KeptHistory);
    }
    unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    Ok(Cleaned::Removed)
}

/// Returns the kind of an entry, of a link itself; `None` if there is no entry.
fn kind(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<FileType>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        found => Ok(Some(FileType::from_raw_mode(found?.st_mode))),
    }
}

/// Lists the names in a directory before anything is removed.
fn entries(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}
