//! The text of a file that may hold keys and name programs.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// A file as it was read.
pub(super) struct Content {
    /// What stands in it.
    pub(super) text: Zeroizing<String>,
    /// Device and number, by which a file is known under another name.
    pub(super) inode: (u64, u64),
    /// Whether other users may read it.
    pub(super) open: bool,
}

/// Reads a file of root or this user that nobody else can change. A link is followed: what counts is the file.
/// `Ok(None)` when there is none.
///
/// # Errors
/// Why it is not read.
pub(super) fn file(path: &Path) -> Result<Option<Content>, String> {
    // O_NONBLOCK keeps a FIFO that stands there from blocking for ever.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        // A link that leads nowhere is not an absent file.
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

/// Whether only root and this user decide what is in it.
pub(super) fn trusted(found: &Metadata) -> Result<(), String> {
    let ours = rustix::process::geteuid().as_raw();
    if found.uid() != 0 && found.uid() != ours {
        return Err(format!("belongs to uid {}, neither to root nor to uid {ours}", found.uid()));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!(
            "has mode {:04o}, so others can change it; run chmod go-w",
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
