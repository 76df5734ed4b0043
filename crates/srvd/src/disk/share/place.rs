//! Places in a home. No step follows a link that is in a home, and nothing that is not srvd's is replaced.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::base::private;

/// The reason for a place that has a file of the CLI's or of the person's.
pub(super) const OWN: &str = "this identity has its own, which is not replaced";

/// The state of a place for a link.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Absent,
    Link(PathBuf),
    EmptyDirectory,
    Other,
}

/// Returns the state of a place. Blocking.
///
/// # Errors
/// The reason why it cannot be used.
pub(super) fn state(home: &Path, path: &str) -> Result<Place, String> {
    if !folders(home, path, false)? {
        return Ok(Place::Absent);
    }
    let place = home.join(path);
    let found = match std::fs::symlink_metadata(&place) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::Absent),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    if found.is_symlink() {
        return std::fs::read_link(&place)
            .map(Place::Link)
            .map_err(|error| format!("it cannot be read: {error}"));
    }
    let empty = found.is_dir() && std::fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_none());
    Ok(if empty { Place::EmptyDirectory } else { Place::Other })
}

/// Checks the folders between a home and a place, and makes those that are missing if that is asked for. Returns whether
/// all of them exist. Blocking.
///
/// # Errors
/// The reason: one of them is no directory, or cannot be made.
pub(super) fn folders(home: &Path, path: &str, make: bool) -> Result<bool, String> {
    let Some((folders, _)) = path.rsplit_once('/') else { return Ok(true) };
    let mut folder = home.to_owned();
    for part in folders.split('/') {
        folder.push(part);
        match std::fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(format!("{} is not a directory", folder.display())),
            Err(error) if error.kind() == ErrorKind::NotFound && make => {
                let created = DirBuilder::new().mode(0o700).create(&folder);
                created.map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(format!("{} cannot be read: {error}", folder.display())),
        }
    }
    Ok(true)
}

/// Makes a link, in place of nothing, of an empty directory or of one of the `ours`. Blocking.
///
/// # Errors
/// The reason, for people.
pub(super) fn link(home: &Path, path: &str, target: &Path, ours: &[PathBuf]) -> Result<(), String> {
    folders(home, path, true)?;
    let place = home.join(path);
    let cannot = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty => OWN.to_owned(),
        _ => format!("it could not be linked: {error}"),
    };
    match state(home, path)? {
        Place::Absent => symlink(target, &place).map_err(cannot),
        Place::EmptyDirectory => {
            // This fails if the directory is not empty any more.
            std::fs::remove_dir(&place).map_err(cannot)?;
            symlink(target, &place).map_err(cannot)
        }
        Place::Link(found) if ours.contains(&found) => {
            let fresh = beside(&place);
            symlink(target, &fresh).map_err(cannot)?;
            std::fs::rename(&fresh, &place).map_err(cannot).inspect_err(|_| {
                // The first error is the one to report.
                let _ = std::fs::remove_file(&fresh);
            })
        }
        Place::Link(_) | Place::Other => Err(OWN.to_owned()),
    }
}

/// Removes a link if it is one of the `ours`. Blocking.
///
/// # Errors
/// The reason, for people.
pub(super) fn unlink(home: &Path, path: &str, ours: &[PathBuf]) -> Result<(), String> {
    match state(home, path)? {
        Place::Link(found) if ours.contains(&found) => {
            std::fs::remove_file(home.join(path)).map_err(|error| format!("it could not be removed: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a file that must not exist. A reader sees nothing or all of it. Blocking.
///
/// # Errors
/// The reason, for people.
pub(super) fn create(home: &Path, path: &str, content: &[u8]) -> Result<(), String> {
    folders(home, path, true)?;
    let place = home.join(path);
    let fresh = beside(&place);
    let written = private::new_file(&fresh, 0o600).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    // A hard link fails if the file exists; a rename would replace it.
    let placed = written.and_then(|()| match std::fs::hard_link(&fresh, &place) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // Some file systems have no hard links.
            private::new_file(&place, 0o600).and_then(|mut file| file.write_all(content)).inspect_err(
                |error| {
                    if error.kind() != ErrorKind::AlreadyExists {
                        let _ = std::fs::remove_file(&place);
                    }
                },
            )
        }
        placed => placed,
    });
    // What is left of the fresh file is useless, also after an error.
    let _ = std::fs::remove_file(&fresh);
    placed.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => OWN.to_owned(),
        _ => format!("it could not be written: {error}"),
    })
}

/// Replaces a file that srvd made. Blocking.
///
/// # Errors
/// The reason, for people. The file is then unchanged.
pub(super) fn replace(home: &Path, path: &str, content: &[u8]) -> Result<(), String> {
    private::replace_file(&home.join(path), content)
        .map_err(|error| format!("it could not be written: {error}"))
}

/// A free name beside a file.
pub(super) fn beside(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.{}.srvd", uuid::Uuid::new_v4().simple()))
}
