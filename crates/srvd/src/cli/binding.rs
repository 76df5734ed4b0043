//! `.srvd`: a file that binds a directory, and what lies below it, to a bundle.
//!
//! It holds one line, a bundle's name or id, and can say nothing else. It is looked for from the current directory
//! upward. Because it decides whose credentials a program gets, nobody else may put one in the way: only directories of
//! this user and of root are looked into, none that everybody can write to, and the search ends at the first other one.

use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The file's name.
pub(super) const FILE: &str = ".srvd";
/// The longest file, in bytes: a name of 100 characters is at most 400, and a line feed.
const LONGEST: u64 = 512;

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// A file.
    Bound(Bound),
    /// None, up to where the search ended.
    Unbound(End),
}

/// A file, and what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// A bundle's name or id.
    pub(super) bundle: String,
    /// The file.
    pub(super) file: PathBuf,
}

/// Where a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the root of the file system.
    Root,
    /// Below this directory, which is not looked into.
    Before(PathBuf, &'static str),
}

/// A file that stands where a binding would and cannot be one. What lies above it is not asked: that is not what whoever
/// put it there meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} cannot be used: {reason}")]
pub(super) struct Unusable {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

/// Looks from an absolute directory upward, for the user with this id.
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

/// Whether only this user, root and those whom they let in can put files into a directory.
pub(super) fn trusted(dir: &Path, me: u32) -> Result<(), &'static str> {
    let found = std::fs::metadata(dir).map_err(|_| "it cannot be looked into")?;
    directory_holds(found.uid(), found.permissions().mode(), me)?;
    // A directory that may not be searched would look like one without the file.
    match std::fs::symlink_metadata(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err("it cannot be looked into"),
        _ => Ok(()),
    }
}

fn directory_holds(owner: u32, mode: u32, me: u32) -> Result<(), &'static str> {
    if owner != me && owner != 0 {
        Err("it belongs to another user")
    } else if mode & 0o002 != 0 {
        Err("everybody can write to it")
    } else {
        Ok(())
    }
}

/// What a file says; `Err(None)` when there is none, else the reason.
pub(super) fn read(path: &Path, me: u32) -> Result<String, Option<String>> {
    // A FIFO would block, and a link could lead to a file that was made for something else.
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
        Err("everybody can write to it; run chmod o-w".to_owned())
    } else if length > LONGEST {
        Err(TOO_LONG.to_owned())
    } else {
        Ok(())
    }
}

const TOO_LONG: &str = "it is longer than a bundle's name can be";

/// The name or id in a file's bytes: exactly one line.
fn parse(bytes: &[u8]) -> Result<String, &'static str> {
    if bytes.len() as u64 > LONGEST {
        return Err(TOO_LONG);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    // An editor or a checkout may end the line in either way.
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.trim().is_empty() {
        return Err("it is empty; it has to hold the name of a bundle");
    }
    if line.contains('\n') {
        return Err("it has more than one line; it has to hold the name of a bundle and nothing else");
    }
    if line.trim() != line || identity_store::check_name("bundle", line).is_err() {
        return Err("it does not hold the name of a bundle");
    }
    Ok(line.to_owned())
}

/// What a binding to a bundle of this name is written as.
pub(super) fn text(name: &str) -> String {
    format!("{name}\n")
}

#[cfg(test)]
mod tests;
