//! The file `.srvd`, which binds a directory and all directories below it to a bundle.
//!
//! The file holds one line: the name or the id of a bundle. It is searched for from the current directory upward, in a
//! linked worktree of git also in its repository. It decides whose credentials a program gets, so it is obeyed only if
//! this user bound or allowed exactly this content at this place ([`Allowed`]). A file that came with a checkout or an
//! archive is named and passed over. Other users must not be able to place one in the way: the search only reads
//! directories of this user and of root that not everybody can write to, and it ends at the first other directory.

mod allowed;
mod worktree;

use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub(super) use allowed::Allowed;
use allowed::Standing;

/// The name of the file.
pub(super) const FILE: &str = ".srvd";
/// The longest file, in bytes. A name of 100 characters takes at most 400 bytes, plus a line feed.
const LONGEST: u64 = 512;

/// The result of a search, and the files that it passed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Searched {
    pub(super) result: Search,
    /// The files that are not obeyed, the nearest first.
    pub(super) ignored: Vec<Ignored>,
}

/// The result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// A file was found.
    Bound(Bound),
    /// No file was found before the search ended.
    Unbound(End),
}

/// A binding file and its content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The name or the id of a bundle.
    pub(super) bundle: String,
    /// The path of the file.
    pub(super) file: PathBuf,
}

/// A binding file that is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ignored {
    /// The path of the file.
    pub(super) file: PathBuf,
    /// The reason why the file is not obeyed.
    pub(super) reason: String,
    /// The content, if the user can allow it.
    pub(super) content: Option<Content>,
}

/// The content of a binding file that could be obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    bytes: Vec<u8>,
    /// The name or the id of a bundle.
    pub(super) bundle: String,
}

/// The place at which a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The root of the file system.
    Root,
    /// The first directory that was not read, and the reason.
    Before(PathBuf, &'static str),
}

/// A file named `.srvd` that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} cannot be used: {reason}")]
pub(super) struct Unusable {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

/// Searches from an absolute directory upward, on behalf of the user with the id `me`.
pub(super) fn search(from: &Path, me: u32, allowed: &Allowed) -> Searched {
    let mut ignored = Vec::new();
    for dir in from.ancestors() {
        if let Err(reason) = trusted(dir, me) {
            return Searched { result: Search::Unbound(End::Before(dir.to_owned(), reason)), ignored };
        }
        if let Some(bound) = look(dir, me, allowed, &mut ignored) {
            return Searched { result: Search::Bound(bound), ignored };
        }
        // The directories of the repository count for its worktrees, wherever they are.
        let repository = worktree::repository(dir, me);
        let above = repository.iter().flat_map(|main| main.ancestors());
        for dir in above.take_while(|dir| trusted(dir, me).is_ok()) {
            if let Some(bound) = look(dir, me, allowed, &mut ignored) {
                return Searched { result: Search::Bound(bound), ignored };
            }
        }
    }
    Searched { result: Search::Unbound(End::Root), ignored }
}

/// Returns the binding of one directory, or adds a file that is not obeyed to the list.
fn look(dir: &Path, me: u32, allowed: &Allowed, ignored: &mut Vec<Ignored>) -> Option<Bound> {
    let file = dir.join(FILE);
    let (reason, content) = match read(&file, me) {
        Err(None) => return None,
        Err(Some(reason)) => (reason, None),
        Ok(content) => match allowed.standing(&file, &content.bytes) {
            Standing::Allowed => return Some(Bound { bundle: content.bundle, file }),
            Standing::Changed => ("it has changed since you bound the directory".to_owned(), Some(content)),
            Standing::Unknown => ("you have not bound the directory with it".to_owned(), Some(content)),
        },
    };
    // The directories of a repository and those above its worktree may be the same.
    if ignored.iter().all(|one| one.file != file) {
        ignored.push(Ignored { file, reason, content });
    }
    None
}

/// Checks that only this user, root and the users that they allow can write to a directory.
pub(super) fn trusted(dir: &Path, me: u32) -> Result<(), &'static str> {
    let found = std::fs::metadata(dir).map_err(|_| "it cannot be searched")?;
    directory_holds(found.uid(), found.permissions().mode(), me)?;
    // A directory without search permission would look like one without the file.
    match std::fs::symlink_metadata(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err("it cannot be searched"),
        _ => Ok(()),
    }
}

/// The reason for a directory that every user can write to.
pub(super) const WORLD_WRITABLE: &str = "it is world-writable";

fn directory_holds(owner: u32, mode: u32, me: u32) -> Result<(), &'static str> {
    if owner != me && owner != 0 {
        Err("it belongs to another user")
    } else if mode & 0o002 != 0 {
        Err(WORLD_WRITABLE)
    } else {
        Ok(())
    }
}

/// Reads a binding file. Returns `Err(None)` if there is none, and `Err(Some(reason))` if it cannot be used.
pub(super) fn read(path: &Path, me: u32) -> Result<Content, Option<String>> {
    // Opening a FIFO would block, and a link could lead to a file that was made for another purpose.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(Some("it is a symbolic link".to_owned()));
        }
        Err(error) => return Err(Some(error.to_string())),
    };
    let why = |error: io::Error| Some(error.to_string());
    let found = file.metadata().map_err(why)?;
    if !found.is_file() {
        return Err(Some("it is not a regular file".to_owned()));
    }
    file_holds(found.uid(), found.permissions().mode(), found.len(), me).map_err(Some)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(why)?;
    let bundle = parse(&bytes).map_err(|reason| Some(reason.to_owned()))?;
    Ok(Content { bytes, bundle })
}

fn file_holds(owner: u32, mode: u32, length: u64, me: u32) -> Result<(), String> {
    if owner != me {
        Err(format!("it belongs to uid {owner}"))
    } else if mode & 0o002 != 0 {
        Err("it is world-writable; run chmod o-w".to_owned())
    } else if length > LONGEST {
        Err(TOO_LONG.to_owned())
    } else {
        Ok(())
    }
}

const TOO_LONG: &str = "it is too long to be the name of a bundle";

/// Returns the name or the id in a file's bytes, which must be exactly one line.
fn parse(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.len() as u64 > LONGEST {
        return Err(TOO_LONG);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?;
    // Editors and checkouts end lines with LF or with CRLF.
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.trim().is_empty() {
        return Err("it is empty; it must contain the name of a bundle");
    }
    if line.contains('\n') {
        return Err("it has more than one line; it must contain only the name of a bundle");
    }
    if line.trim() != line || identity_store::check_name("bundle", line).is_err() {
        return Err("it does not contain a valid bundle name");
    }
    Ok(line.to_owned())
}

impl Content {
    /// Returns the content of a file that binds to the bundle of this name.
    pub(super) fn naming(bundle: &str) -> Self {
        Self { bytes: format!("{bundle}\n").into_bytes(), bundle: bundle.to_owned() }
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
