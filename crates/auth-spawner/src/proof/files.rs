//! Finding and reading a CLI's files. The directory is the CLI's: what stands in it may be anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::provider::ConfigDir;

/// Largest credential file that is read.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

/// Where a CLI's files are looked for.
pub(super) struct Root<'a> {
    dir: PathBuf,
    /// The user's home, and the files that lie elsewhere in it while the CLI's variable is not set.
    own: Option<(PathBuf, &'a BTreeMap<String, String>)>,
}

impl<'a> Root<'a> {
    /// Where the variable names `dir`.
    pub(super) fn named(config: &ConfigDir, dir: &Path) -> Self {
        Self { dir: config.inside(dir), own: None }
    }

    /// Where no variable is set. The home is what stands before the CLI's own path.
    pub(super) fn unnamed(config: &'a ConfigDir, dir: &Path) -> Self {
        let dir = config.inside(dir);
        let below = config.ambient_below();
        let home = dir.ancestors().nth(below.components().count()).filter(|_| dir.ends_with(below));
        let own = home.map(|home| (home.to_owned(), &config.ambient_files));
        Self { dir, own }
    }

    /// The file that the registry calls `below`.
    pub(super) fn find(&self, below: &str) -> Option<PathBuf> {
        let (dir, below) = self.split(below);
        find(dir, below)
    }

    /// Where it would be; its name may be a pattern.
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

/// A file below `dir`: the path itself, or the newest match of the one `*` in its last segment. `None` when a folder on
/// the way is not a directory of its own: the folders belong to the CLI, and one that leads elsewhere is not followed.
pub(crate) fn find(dir: &Path, below: &str) -> Option<PathBuf> {
    let (folders, name) = below.rsplit_once('/').unwrap_or(("", below));
    let mut folder = dir.to_owned();
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder.push(part);
        if !std::fs::symlink_metadata(&folder).ok()?.is_dir() {
            return None;
        }
    }
    let Some((head, tail)) = name.split_once('*') else { return Some(folder.join(name)) };
    let mut newest: Option<((i64, i64), PathBuf)> = None;
    for entry in std::fs::read_dir(&folder).ok()?.take(1000).flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let fits = name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
        let Some(meta) = fits.then(|| entry.metadata().ok()).flatten() else { continue };
        let age = (meta.mtime(), meta.mtime_nsec());
        if newest.as_ref().is_none_or(|(newer, _)| age > *newer) {
            newest = Some((age, entry.path()));
        }
    }
    newest.map(|(_, path)| path)
}

/// Opens a regular file without following a link; `Ok(None)` when there is none.
pub(super) fn open(path: &Path) -> Result<Option<File>, String> {
    // NONBLOCK so that a FIFO in this place cannot hold the reader.
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
    // Whoever owns it can put any login there; the CLI's own files belong to whom it runs as.
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("it belongs to another user (uid {})", meta.uid()));
    }
    Ok(Some(file))
}

/// Everything in a regular file of at most `limit` bytes; `Ok(None)` when there is none.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let Some(file) = open(path)? else { return Ok(None) };
    let too_large = || format!("it is larger than {} MiB", limit / 1024 / 1024);
    // Its size first, so that a huge file is not read at all; it may still grow.
    if file.metadata().map_err(|error| error.to_string())?.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(Some(bytes)) }
}
