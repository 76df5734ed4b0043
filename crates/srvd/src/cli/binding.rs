//! The file `.srvd`, which binds a directory and all directories below it to a bundle.
//!
//! The file holds one line: the name or the id of a bundle. It is searched for from the current directory upward. It
//! decides whose credentials a program gets, so other users must not be able to place one in the way. The search only
//! reads directories of this user and of root that not everybody can write to, and it ends at the first other
//! directory.

use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The name of the file.
pub(super) const FILE: &str = ".srvd";
/// The longest file, in bytes. A name of 100 characters takes at most 400 bytes, plus a line feed.
const LONGEST: u64 = 512;

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

/// The place at which a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The root of the file system.
    Root,
    /// The first directory that was not read, and the reason.
    Before(PathBuf, &'static str),
}

/// A file named `.srvd` that cannot be used. The search does not go on above it, because the user who made the file
/// wanted it to apply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} cannot be used: {reason}")]
pub(super) struct Unusable {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

/// Searches from an absolute directory upward, on behalf of the user with the id `me`.
pub(super) fn search(from: &Path, me: u32) -> Result<Search, Unusable> {
    for dir in from.ancestors() {
        if let Err(reason) = trusted(dir, me) {
            return Ok(Search::Unbound(End::Before(dir.to_owned(), reason)));
        }
        let file = dir.join(FILE);
        match read(&file, me) {
            Ok(bundle) => return Ok(Search::Bound(Bound { bundle, file })),
            Err(None) => {}
            Err(Some(reason)) => return Err(Unusable { path: file, reason }),
        }
    }
    Ok(Search::Unbound(End::Root))
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

fn directory_holds(owner: u32, mode: u32, me: u32) -> Result<(), &'static str> {
    if owner != me && owner != 0 {
        Err("it belongs to another user")
    } else if mode & 0o002 != 0 {
        Err("it is world-writable")
    } else {
        Ok(())
    }
}

/// Reads a binding file. Returns `Err(None)` if there is none, and `Err(Some(reason))` if it cannot be used.
pub(super) fn read(path: &Path, me: u32) -> Result<String, Option<String>> {
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
    parse(&bytes).map_err(|reason| Some(reason.to_owned()))
}

fn file_holds(owner: u32, mode: u32, length: u64, me: u32) -> Result<(), String> {
    if owner != me && owner != 0 {
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

/// Returns the content of a file that binds to the bundle of this name.
pub(super) fn text(name: &str) -> String {
    format!("{name}\n")
}

#[cfg(test)]
mod tests;
