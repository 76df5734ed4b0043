//! Reading of a file that may contain keys and name programs to run.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::base::trust::{Trust, TrustError};

/// The longest file that is accepted, in bytes.
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
/// The reason that the file is not read.
pub(super) fn file(path: &Path, trust: &Trust) -> Result<Option<Content>, String> {
    let Some(content) = trust.read(path, LONGEST).map_err(|error| reason(path, &error))? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&content.bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let found = content.metadata;
    Ok(Some(Content {
        text: Zeroizing::new(text.to_owned()),
        inode: (found.dev(), found.ino()),
        open: found.mode() & 0o007 != 0,
    }))
}

/// Returns a reason that follows the path.
pub(super) fn reason(path: &Path, error: &TrustError) -> String {
    let whole = error.to_string();
    let path = path.display().to_string();
    whole
        .strip_prefix(&path)
        .map_or_else(|| whole.clone(), |rest| rest.trim_start_matches([':', ' ']).to_owned())
}
