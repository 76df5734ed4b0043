//! Reading of a file that may contain keys and name programs to run.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// The maximum file size, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// The content of a file, with its metadata at the time of reading.
pub(super) struct Content {
    /// The complete text of the file.
    pub(super) text: Zeroizing<String>,
    /// The device and inode number, which identify the same file under a different name.
    pub(super) inode: (u64, u64),
    /// True if other users may read the file.
    pub(super) open: bool,
}

/// Reads a file that belongs to root or this user and that no other user can change. A link is followed, and its target
/// is checked. Returns `Ok(None)` if the file does not exist.
///
/// # Errors
/// The reason why the file is not read.
pub(super) fn file(path: &Path) -> Result<Option<Content>, String> {
    // O_NONBLOCK prevents a FIFO at this path from blocking forever.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        // A dangling link is an error rather than a missing file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    trusted(&found)?;
    let text = text(file)?;
    Ok(Some(Content { text, inode: (found.dev(), found.ino()), open: found.mode() & 0o007 != 0 }))
}

/// Checks that only root and this user can change a file or folder.
pub(super) fn trusted(found: &Metadata) -> Result<(), String> {
    let ours = rustix::process::geteuid().as_raw();
    if found.uid() != 0 && found.uid() != ours {
        return Err(format!("belongs to uid {}, neither to root nor to uid {ours}", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!(
            "has mode {:04o}, so other users can change it; run chmod go-w",
            found.mode() & 0o7777
        ));
    }
    Ok(())
}

fn text(file: File) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("is longer than {LONGEST} bytes"));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err("is not UTF-8".to_owned()),
    }
}
