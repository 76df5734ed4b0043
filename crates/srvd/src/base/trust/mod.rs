//! The one check of files and directories that srvd obeys, runs or keeps secrets in.
//!
//! A place is trusted when only root and this user can change it or replace it: every directory above it, every link on
//! the way and the place itself belong to root or this user, and no other user may write to them. Links are resolved
//! from the root downwards. A directory that has been checked cannot be changed by another user, so the entry that is
//! read in it next is the one that is used later; a file is checked again through its open descriptor.

mod decision;
mod error;
mod groups;
mod secret;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

pub(crate) use error::{TrustError, Untrusted};

use decision::{Entry, Group, Kind, Role};

/// The variable with directories that are used although other users can change them.
pub(crate) const VARIABLE: &str = "SRVD_TRUSTED_PATHS";
/// The key of `srvd.toml` for the same.
pub(crate) const KEY: &str = "trusted_paths";

/// Number of links that are followed on the way to a place, as in Linux.
const MOST_LINKS: usize = 40;

/// The check for one user. A clone shares what is known about groups.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    uid: u32,
    /// Resolved paths that are used without a check, with all that is below them.
    accepted: Vec<PathBuf>,
    /// True if `srvd.toml` has been read, so that its key can be named as the way to accept a path.
    configured: bool,
    groups: Arc<Mutex<HashMap<u32, Group>>>,
}

/// A file that was read after it was checked.
pub(crate) struct Content {
    /// All bytes of the file.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// The metadata of the open file.
    pub(crate) metadata: Metadata,
}

/// The result of resolving a path.
enum Resolved {
    /// The path, without links, and its metadata.
    Found(PathBuf, Metadata),
    /// Nothing is there. Holds the last directory on the way that exists.
    Missing(PathBuf),
}

impl Trust {
    /// The check for the user of this process. `accepted` is the value of [`VARIABLE`].
    pub(crate) fn of_process(accepted: Option<&str>) -> Self {
        let paths = accepted.map(|list| std::env::split_paths(list).collect()).unwrap_or_default();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            accepted: resolved(paths),
            configured: false,
            groups: Arc::default(),
        }
    }

    /// Adds the paths that `srvd.toml` accepts.
    #[must_use]
    pub(crate) fn accepting(mut self, paths: Vec<PathBuf>) -> Self {
        self.accepted.extend(resolved(paths));
        self.configured = true;
        self
    }

    /// Checks a directory that is used itself, such as one of the search path. Returns its path without links. A missing
    /// directory is [`TrustError::Missing`] when only this user and root could create it.
    ///
    /// # Errors
    /// [`TrustError`].
    pub(crate) fn directory(&self, path: &Path) -> Result<PathBuf, TrustError> {
        match self.resolve(path)? {
            Resolved::Found(place, found) if found.is_dir() => {
                self.judge(&place, &found, Role::Used)?;
                Ok(place)
            }
            Resolved::Found(..) => Err(TrustError::kind(path, "is not a directory")),
            Resolved::Missing(above) => {
                self.judge(&above, &metadata(&above)?, Role::Used)?;
                Err(TrustError::Missing(path.to_owned()))
            }
        }
    }

    /// Checks the directories above a place that srvd makes for itself. The place need not exist.
    ///
    /// # Errors
    /// [`TrustError`].
    pub(crate) fn above(&self, path: &Path) -> Result<(), TrustError> {
        match self.resolve(path)? {
            Resolved::Found(..) => Ok(()),
            Resolved::Missing(above) => self.judge(&above, &metadata(&above)?, Role::Above),
        }
    }

    /// Checks a program. Returns its path without links.
    ///
    /// # Errors
    /// [`TrustError`].
    pub(crate) fn program(&self, path: &Path) -> Result<PathBuf, TrustError> {
        match self.resolve(path)? {
            Resolved::Missing(_) => Err(TrustError::Missing(path.to_owned())),
            Resolved::Found(place, found) => {
                self.file(&place, &found)?;
                if found.mode() & 0o111 == 0 {
                    return Err(TrustError::kind(path, "is not executable"));
                }
                // The directory through which the program is named may not be the one that holds its file.
                path.parent().map_or(Ok(place.clone()), |holder| self.directory(holder).map(|_| place))
            }
        }
    }

    /// Reads a file that srvd obeys. Returns `Ok(None)` if there is none. A FIFO or a device is refused at once.
    ///
    /// # Errors
    /// [`TrustError`].
    pub(crate) fn read(&self, path: &Path, longest: u64) -> Result<Option<Content>, TrustError> {
        let Resolved::Found(place, found) = self.resolve(path)? else {
            // A link that leads nowhere is an error, not an absent file.
            let dangling = path.is_symlink();
            return if dangling {
                Err(TrustError::kind(path, "is a link that leads nowhere"))
            } else {
                Ok(None)
            };
        };
        self.file(&place, &found)?;
        let file = match open(&place, OFlags::NOFOLLOW) {
            Ok(file) => file,
            // The file was removed or renamed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrustError::io(path, error)),
        };
        let metadata = file.metadata().map_err(|error| TrustError::io(path, error))?;
        self.file(&place, &metadata)?;
        let bytes = bounded(file, longest).map_err(|error| TrustError::io(path, error))?;
        Ok(Some(Content { bytes, metadata }))
    }

    /// Reads a text file, as [`Trust::read`] does.
    ///
    /// # Errors
    /// [`TrustError`].
    pub(crate) fn read_text(&self, path: &Path, longest: u64) -> Result<Option<String>, TrustError> {
        let Some(content) = self.read(path, longest)? else { return Ok(None) };
        let text = std::str::from_utf8(&content.bytes).map_err(|_| TrustError::kind(path, "is not UTF-8"))?;
        Ok(Some(text.to_owned()))
    }

    /// Checks a resolved file and the directory that holds it. In a sticky directory other users could add files.
    fn file(&self, place: &Path, found: &Metadata) -> Result<(), TrustError> {
        if !found.is_file() {
            return Err(TrustError::kind(place, not_regular(found)));
        }
        if let Some(holder) = place.parent() {
            self.judge(holder, &metadata(holder)?, Role::Used)?;
        }
        self.judge(place, found, Role::Used)
    }

    /// Follows a path from the root, and checks every directory and link before it is used.
    fn resolve(&self, path: &Path) -> Result<Resolved, TrustError> {
        let path = std::path::absolute(path).map_err(|error| TrustError::io(path, error))?;
        let mut ahead = Vec::new();
        push(&mut ahead, &path);
        let mut at = PathBuf::from("/");
        let mut found = metadata(&at)?;
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                at.pop();
                found = metadata(&at)?;
                continue;
            }
            let entry = self.entry(&at, &found, Role::Above)?;
            let next = at.join(&name);
            let reached = match std::fs::symlink_metadata(&next) {
                Ok(reached) => reached,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Resolved::Missing(at)),
                Err(error) => return Err(TrustError::io(&next, error)),
            };
            if !reached.is_symlink() {
                (at, found) = (next, reached);
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(TrustError::kind(&path, "leads through too many links"));
            }
            // In a directory that only root and this user can write to, a link is theirs, whatever its owner.
            if entry.shared() && !self.is_accepted(&next) && ![0, self.uid].contains(&reached.uid()) {
                return Err(self.untrusted(&next, &reached, decision::Flaw::Owner));
            }
            let target = std::fs::read_link(&next).map_err(|error| TrustError::io(&next, error))?;
            if target.is_absolute() {
                at = PathBuf::from("/");
                found = metadata(&at)?;
            }
            push(&mut ahead, &target);
        }
        Ok(Resolved::Found(at, found))
    }

    fn judge(&self, place: &Path, found: &Metadata, role: Role) -> Result<(), TrustError> {
        self.entry(place, found, role).map(|_| ())
    }

    fn entry(&self, place: &Path, found: &Metadata, role: Role) -> Result<Entry, TrustError> {
        let kind = if found.is_dir() { Kind::Directory } else { Kind::File };
        let group_can_write = found.mode() & 0o020 != 0;
        let entry = Entry {
            uid: found.uid(),
            mode: found.mode() & 0o7777,
            group: if group_can_write { self.group(found.gid()) } else { Group::Other },
            // The group's bits of a file with an access list are the limit for every user in the list.
            listed: group_can_write && groups::has_access_list(place),
            kind,
        };
        match entry.flaw(self.uid, role) {
            Some(flaw) if !self.is_accepted(place) => Err(self.untrusted(place, found, flaw)),
            _ => Ok(entry),
        }
    }

    fn is_accepted(&self, place: &Path) -> bool {
        self.accepted.iter().any(|accepted| place.starts_with(accepted))
    }

    fn group(&self, gid: u32) -> Group {
        let mut known = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(gid).or_insert_with(|| groups::of(gid, self.uid))
    }

    fn untrusted(&self, place: &Path, found: &Metadata, flaw: decision::Flaw) -> TrustError {
        TrustError::Untrusted(Box::new(Untrusted {
            path: place.to_owned(),
            uid: found.uid(),
            mode: found.mode() & 0o7777,
            owner_is_wrong: flaw == decision::Flaw::Owner,
            user: self.uid,
            words: error::words(place),
            configured: self.configured,
        }))
    }
}

/// Opens a file for reading. Anything that is not a regular file is an error at once: to open a FIFO would block.
///
/// # Errors
/// The I/O error; `InvalidInput` with the reason for a FIFO, a device, a directory or a socket.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    open(path, OFlags::empty())
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    // O_NONBLOCK keeps a FIFO from blocking.
    let flags = (flags | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if found.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, not_regular(&found)))
    }
}

/// Reads a whole regular file.
///
/// # Errors
/// The I/O error, as of [`open_regular`]; `FileTooLarge` when the file has more than `longest` bytes.
pub(crate) fn read_regular(path: &Path, longest: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    bounded(open_regular(path)?, longest)
}

fn bounded(file: File, longest: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let reason = format!("it is longer than {longest} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

fn not_regular(found: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = found.file_type();
    if kind.is_dir() {
        "is a directory, not a file"
    } else if kind.is_fifo() {
        "is a FIFO, not a regular file"
    } else if kind.is_socket() {
        "is a socket, not a regular file"
    } else if kind.is_symlink() {
        "is a symbolic link, not a regular file"
    } else {
        "is a device, not a regular file"
    }
}

fn metadata(path: &Path) -> Result<Metadata, TrustError> {
    std::fs::symlink_metadata(path).map_err(|error| TrustError::io(path, error))
}

/// Puts the parts of a path on the stack, the first on top.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let parts: Vec<OsString> = parts.collect();
    ahead.extend(parts.into_iter().rev());
}

/// Returns the absolute paths without links. A path that does not exist is kept as it is.
fn resolved(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let absolute = paths.into_iter().filter(|path| path.is_absolute() && path.parent().is_some());
    absolute
        .flat_map(|path| {
            let real = std::fs::canonicalize(&path).ok().filter(|real| *real != path);
            std::iter::once(path).chain(real)
        })
        .collect()
}

#[cfg(test)]
mod tests;
