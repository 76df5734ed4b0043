//! The binding files that this user made or allowed: one record for each, in the data directory.
//!
//! A record holds the place of the file and a digest of its content. A place below the user's home is recorded relative to
//! it, so that the record still holds when the home is moved or reached through a link.

use std::io;
use std::path::{Path, PathBuf};

use blake2::{Blake2b256, Digest as _};

use super::Content;
use crate::base::private;

/// The name of the directory of the records.
const DIR: &str = "bound";
/// The longest record, in bytes: a path and a digest.
const LONGEST: u64 = 8192;

/// The binding files that are obeyed.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Allowed {
    /// The directory of the records.
    dir: PathBuf,
    /// The user's home, with its links resolved.
    home: PathBuf,
}

/// The standing of a binding file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The user made or allowed the file with this content.
    Allowed,
    /// The user made or allowed the file with another content.
    Changed,
    /// There is no record of the file.
    Unknown,
}

impl Allowed {
    /// The records in a data directory, for a user with this home.
    pub(in crate::cli) fn new(data: &Path, home: &Path) -> Self {
        let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
        Self { dir: data.join(DIR), home }
    }

    /// Returns the standing of a file with this content. A record that cannot be read counts as none.
    pub(super) fn standing(&self, file: &Path, content: &[u8]) -> Standing {
        let place = self.place(file);
        let Ok(record) = private::read_file(&self.record_of(&place), LONGEST) else {
            return Standing::Unknown;
        };
        match record.strip_suffix(b"\n").and_then(|record| record.strip_prefix(place.as_slice())) {
            Some([b'\n', digest @ ..]) if digest == hex(content).as_bytes() => Standing::Allowed,
            Some([b'\n', ..]) => Standing::Changed,
            // Another file whose place has the same digest, or no record of ours.
            _ => Standing::Unknown,
        }
    }

    /// Records a file with this content.
    ///
    /// # Errors
    /// The I/O error. The file is then not obeyed.
    pub(in crate::cli) fn record(&self, file: &Path, content: &Content) -> io::Result<()> {
        private::directory(&self.dir).map_err(io::Error::other)?;
        let place = self.place(file);
        let record = [place.as_slice(), b"\n", hex(content.bytes()).as_bytes(), b"\n"].concat();
        private::replace_file(&self.record_of(&place), &record)
    }

    /// Removes the record of a file. A missing record is no error.
    ///
    /// # Errors
    /// The I/O error.
    pub(in crate::cli) fn forget(&self, file: &Path) -> io::Result<()> {
        match std::fs::remove_file(self.record_of(&self.place(file))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the place of a file: with the links on the way to it resolved, and relative to the home if it is below it.
    fn place(&self, file: &Path) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = file.parent().unwrap_or(file);
        let real =
            dir.canonicalize().unwrap_or_else(|_| dir.to_owned()).join(file.file_name().unwrap_or_default());
        match real.strip_prefix(&self.home) {
            Ok(below) => [b"~/", below.as_os_str().as_bytes()].concat(),
            Err(_) => real.as_os_str().as_bytes().to_owned(),
        }
    }

    fn record_of(&self, place: &[u8]) -> PathBuf {
        self.dir.join(hex(place))
    }
}

/// Returns the digest of some bytes as text.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Blake2b256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn record_holds_for_a_home_that_is_moved_or_reached_through_a_link() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::DirBuilder::new().recursive(true).create(at("home/p")).unwrap();
        let content = Content::naming("Work");
        let of = |home: &str| Allowed::new(&at("data"), &at(home));
        of("home").record(&at("home/p/.srvd"), &content).unwrap();
        let standing = |home: &str, bytes: &[u8]| of(home).standing(&at(home).join("p/.srvd"), bytes);
        assert_eq!(standing("home", b"Work\n"), Standing::Allowed);
        assert_eq!(standing("home", b"Home\n"), Standing::Changed);
        symlink(at("home"), at("link")).unwrap();
        assert_eq!(standing("link", b"Work\n"), Standing::Allowed);
        std::fs::rename(at("home"), at("moved")).unwrap();
        assert_eq!(standing("moved", b"Work\n"), Standing::Allowed);
        assert_eq!(of("moved").standing(&at("moved/.srvd"), b"Work\n"), Standing::Unknown);
        of("moved").forget(&at("moved/p/.srvd")).unwrap();
        assert_eq!(standing("moved", b"Work\n"), Standing::Unknown);
        of("moved").forget(&at("moved/p/.srvd")).unwrap();
    }

    #[test]
    fn record_that_other_users_can_read_or_change_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let allowed = Allowed::new(&root.path().join("data"), root.path());
        let file = root.path().join(".srvd");
        allowed.record(&file, &Content::naming("Work")).unwrap();
        let record = allowed.record_of(&allowed.place(&file));
        assert_eq!(std::fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&record, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(allowed.standing(&file, b"Work\n"), Standing::Unknown);
    }
}
