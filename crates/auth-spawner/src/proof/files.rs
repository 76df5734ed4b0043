//! Locates and reads a CLI's files. The directory belongs to the CLI, so its contents are not trusted.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::registry::{ConfigDir, Reach};

/// The maximum size of a credential file, in bytes.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

/// The maximum number of links that a file may lead through, as on Linux.
const MAX_LINKS: usize = 40;

/// The location of a CLI's files.
pub(super) struct Root<'a> {
    dir: PathBuf,
    /// The user's home directory, and the files that are elsewhere in it when the CLI's variable is not set.
    own: Option<(PathBuf, &'a BTreeMap<String, String>)>,
    pub(super) trust: Trust,
}

/// The rule for which files in a directory are accepted as the CLI's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Files of this user. A symbolic link is rejected, because the CLI would write through it.
    Strict,
    /// The user's own directory. The user created any symbolic link there, and it may point to a file owned by root.
    Own,
}

/// The reason why a file yields no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The file definitely contains no login.
    NoLogin(String),
    /// The file cannot be judged.
    Unreadable(String),
}

impl<'a> Root<'a> {
    /// Returns the root for a CLI whose variable is set to `dir`.
    pub(super) fn named(config: &ConfigDir, dir: &Path) -> Self {
        Self { dir: config.inside(dir), own: None, trust: Trust::Strict }
    }

    /// Returns the root for a CLI that locates `dir` in this way.
    pub(super) fn reached(config: &'a ConfigDir, dir: &Path, reach: Reach) -> Self {
        match reach {
            Reach::Bundle => Self::named(config, dir),
            Reach::Variable => Self { trust: Trust::Own, ..Self::named(config, dir) },
            Reach::Usual => Self::unnamed(config, dir),
        }
    }

    /// Returns the root for a CLI whose variable is not set. The home directory is the part of `dir` before the CLI's
    /// own path.
    fn unnamed(config: &'a ConfigDir, dir: &Path) -> Self {
        let own = config.home_above(dir).map(|home| (home, &config.ambient_files));
        Self { dir: config.inside(dir), own, trust: Trust::Own }
    }

    /// Returns the file that the registry calls `below`, with its links resolved; `Ok(None)` if it does not exist.
    pub(super) fn find(&self, below: &str) -> Result<Option<PathBuf>, Trouble> {
        let (dir, below) = self.split(below);
        let Some(path) = locate(dir, below, self.trust)? else { return Ok(None) };
        if self.trust == Trust::Strict { Ok(Some(path)) } else { behind_links(&path) }
    }

    /// Returns the name of a file, for display. A link is shown with its target.
    pub(super) fn shown(&self, below: &str, found: &Path) -> String {
        let place = self.place(below);
        match self.trust {
            Trust::Own if is_link(&place) => format!("{} (a link to {})", name(&place), found.display()),
            _ => name(found),
        }
    }

    /// Returns the path that the file would have. Its name may be a pattern.
    pub(super) fn place(&self, below: &str) -> PathBuf {
        let (dir, below) = self.split(below);
        dir.join(below)
    }

    fn split<'b>(&'b self, below: &'b str) -> (&'b Path, &'b str) {
        let moved = self.own.as_ref().and_then(|(home, files)| Some((home, files.get(below)?)));
        match moved.and_then(|(home, place)| Some((home, place.strip_prefix("~/")?))) {
            Some((home, place)) => (home, place),
            None => (&self.dir, below),
        }
    }
}

/// Returns a file below `dir` if there is no link on the path to it; otherwise `None`.
pub(crate) fn find(dir: &Path, below: &str) -> Option<PathBuf> {
    locate(dir, below, Trust::Strict).ok().flatten()
}

/// Returns a file below `dir`: the path itself, or the newest match for the `*` in its last segment.
fn locate(dir: &Path, below: &str, trust: Trust) -> Result<Option<PathBuf>, Trouble> {
    let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
    let mut folder = dir.to_owned();
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        match kind(&folder, trust) {
            Some(found) if found.is_dir() => {}
            Some(found) if found.is_symlink() => return Err(linked(part)),
            _ => return Ok(None),
        }
    }
    let Some((head, tail)) = name.split_once('*') else { return Ok(Some(folder.join(name))) };
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(None) };
    let mut newest: Option<((i64, i64), PathBuf)> = None;
    for entry in entries.take(1000).flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let fits = name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
        let Some(meta) = fits.then(|| kind(&entry.path(), trust)).flatten() else { continue };
        let age = (meta.mtime(), meta.mtime_nsec());
        if newest.as_ref().is_none_or(|(newer, _)| age > *newer) {
            newest = Some((age, entry.path()));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Returns the metadata of a path: of a link itself or, in the user's own directory, of the link's target.
fn kind(path: &Path, trust: Trust) -> Option<Metadata> {
    match trust {
        Trust::Strict => std::fs::symlink_metadata(path),
        Trust::Own => std::fs::metadata(path),
    }
    .ok()
}

/// Returns the error for a link in a bundle's directory.
pub(super) fn linked(name: &str) -> Trouble {
    Trouble::Unreadable(format!(
        "{name} is a symbolic link through which the CLI would overwrite another login; remove it and log in again"
    ))
}

/// Returns the file to which a path leads; `Ok(None)` if the path itself does not exist.
fn behind_links(path: &Path) -> Result<Option<PathBuf>, Trouble> {
    let name = name(path);
    match (std::fs::symlink_metadata(path), std::fs::canonicalize(path)) {
        (_, Ok(real)) => Ok(Some(real)),
        (Err(error), _) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        (Ok(_), Err(error)) if error.kind() == ErrorKind::NotFound => {
            Err(Trouble::NoLogin(format!("{name} is a symbolic link to a file that does not exist")))
        }
        (_, Err(error)) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Err(Trouble::NoLogin(format!("{name} is part of a loop of symbolic links")))
        }
        (_, Err(error)) => Err(Trouble::Unreadable(format!("{name} cannot be read: {error}"))),
    }
}

/// Returns the links through which a path leads and the file at their end, starting with the path itself. If the path
/// is not a link, returns only the path.
pub(super) fn hops(path: PathBuf) -> Vec<PathBuf> {
    let mut hops = vec![path];
    while hops.len() <= MAX_LINKS {
        let next = hops.last().and_then(|last| {
            let target = std::fs::read_link(last).ok()?;
            Some(last.parent()?.join(target))
        });
        match next {
            Some(next) if !hops.contains(&next) => hops.push(next),
            _ => break,
        }
    }
    hops
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Returns the time of the last change of a file, or of the log of a database, in Unix milliseconds.
pub(super) fn changed(path: &Path) -> Option<i64> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let times = [path, Path::new(&log)].into_iter().filter_map(|path| std::fs::symlink_metadata(path).ok());
    times.map(|found| found.mtime() * 1000 + found.mtime_nsec() / 1_000_000).max()
}

/// Returns whether the path itself is a symbolic link.
pub(super) fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// Opens a regular file without following a link; `Ok(None)` if it does not exist.
pub(super) fn open(path: &Path, trust: Trust) -> Result<Option<File>, String> {
    // NONBLOCK prevents a FIFO at this path from blocking the reader.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err("it is a symbolic link".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    // The owner of a file can put any login into it. The CLI's own files belong to the user who runs the CLI.
    let owned = meta.uid() == rustix::process::geteuid().as_raw();
    if !(owned || (trust == Trust::Own && meta.uid() == 0)) {
        return Err(format!("it belongs to another user (uid {})", meta.uid()));
    }
    Ok(Some(file))
}

/// Reads a regular file of at most `limit` bytes; `Ok(None)` if it does not exist.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    read_trusted(path, limit, Trust::Strict)
}

/// Like [`read`], but `trust` decides which owners are accepted.
pub(super) fn read_trusted(path: &Path, limit: u64, trust: Trust) -> Result<Option<Vec<u8>>, String> {
    let Some(file) = open(path, trust)? else { return Ok(None) };
    let too_large = || format!("it is larger than {} MiB", limit / 1024 / 1024);
    // The size is checked first to avoid reading a huge file. The file may still grow.
    if file.metadata().map_err(|error| error.to_string())?.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(Some(bytes)) }
}
