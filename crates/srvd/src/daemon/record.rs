//! The data directory's record of its database: `<data>/database.json`, written after each opening that changed it.
//!
//! It says which database the daemon of this directory uses, and that its rows are authenticated. A program that can write
//! only the database cannot change it. Its own authentication is made with the encryption key; a record that does not fit
//! the key is still used, in its strictest sense, so that changing it gains nothing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use identity_store::secret::{authenticate, check_code};
use identity_store::{Keyring, KnownDatabase};
use serde::{Deserialize, Serialize};

use super::BootError;
use crate::base::private;

/// The name of the file.
const FILE: &str = "database.json";
/// The longest record that is read, in bytes.
const LONGEST: u64 = 64 * 1024;
/// The scope of the record's authentication.
const SCOPE: &str = "database.json";

/// The record of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatabaseRecord {
    /// The place of the database, without user and password.
    pub(crate) database: String,
    /// The identity of the database.
    id: String,
    /// True once its rows are authenticated.
    authenticated: bool,
    /// True once its rows were counted.
    #[serde(default)]
    counted: bool,
    /// The schema that the database had when it was opened last.
    pub(crate) schema: i64,
    /// The id of the key.
    pub(crate) key_id: String,
    /// The authentication of the other fields, in hex digits.
    code: String,
}

impl DatabaseRecord {
    /// Returns the path of a data directory's record.
    pub(crate) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE)
    }

    /// Reads the record of a data directory; `None` if there is none.
    ///
    /// # Errors
    /// [`BootError::Record`] if there is one that cannot be read.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>, BootError> {
        let path = Self::path(data_dir);
        let bytes = match private::read_file(&path, LONGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BootError::Record { path, reason: error.to_string() }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(BootError::Record { path, reason: error.to_string() }),
        }
    }

    /// Returns what is known of the database. A record that does not fit the key says that the rows are authenticated.
    pub(super) fn known(&self, keyring: &Keyring) -> KnownDatabase {
        let fits = unhex(&self.code)
            .is_some_and(|code| check_code(keyring, SCOPE, &self.text(), Some(&code)).is_ok());
        KnownDatabase {
            id: self.id.clone(),
            authenticated: self.authenticated || !fits,
            counted: self.counted || !fits,
        }
    }

    /// Writes the record of an open database, unless it is there already.
    ///
    /// # Errors
    /// [`BootError::CannotCreate`] with the I/O error.
    pub(crate) fn keep(
        data_dir: &Path,
        database: String,
        known: &KnownDatabase,
        schema: i64,
        keyring: &Keyring,
    ) -> Result<(), BootError> {
        let mut record = Self {
            database,
            id: known.id.clone(),
            authenticated: known.authenticated,
            counted: known.counted,
            schema,
            key_id: keyring.key_id().to_string(),
            code: String::new(),
        };
        record.code = hex(&authenticate(keyring, SCOPE, &record.text()));
        if Self::read(data_dir).is_ok_and(|found| found.as_ref() == Some(&record)) {
            return Ok(());
        }
        let path = Self::path(data_dir);
        let text =
            serde_json::to_vec_pretty(&record).map_err(|error| BootError::cannot_create(error.into()))?;
        private::replace_file(&path, &text)
            .and_then(|()| private::sync_directory(&path))
            .map_err(BootError::cannot_create)
    }

    /// Returns the fields that the code is made of.
    fn text(&self) -> Vec<u8> {
        let Self { database, id, authenticated, counted, schema, key_id, code: _ } = self;
        // The code of a record from before the census covers the other fields only.
        let text = if *counted {
            serde_json::to_vec(&(database, id, authenticated, schema, key_id, "counted"))
        } else {
            serde_json::to_vec(&(database, id, authenticated, schema, key_id))
        };
        text.unwrap_or_default()
    }
}

/// Returns bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns the bytes of a text of hex digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use identity_store::Key;

    use super::*;

    fn keyring(name: &str) -> Keyring {
        Keyring::from_key(Key::parse(format!("{name:-<40}").as_bytes()).unwrap())
    }

    #[test]
    fn record_is_read_back_and_in_its_strictest_sense_when_it_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(DatabaseRecord::read(dir.path()).unwrap(), None);
        let known = KnownDatabase { id: "d1".into(), authenticated: false, counted: false };
        DatabaseRecord::keep(dir.path(), "sqlite:/d".into(), &known, 6, &keyring("one")).unwrap();
        let record = DatabaseRecord::read(dir.path()).unwrap().unwrap();
        assert_eq!((record.database.as_str(), record.schema), ("sqlite:/d", 6));
        assert_eq!(record.known(&keyring("one")), known);
        assert!(record.known(&keyring("two")).authenticated);
        let forged = DatabaseRecord { id: "d2".into(), ..record };
        assert!(forged.known(&keyring("one")).authenticated);

        let complete = KnownDatabase { authenticated: true, counted: true, ..known };
        DatabaseRecord::keep(dir.path(), "sqlite:/d".into(), &complete, 6, &keyring("two")).unwrap();
        let record = DatabaseRecord::read(dir.path()).unwrap().unwrap();
        assert_eq!(record.known(&keyring("two")), complete);
        std::fs::write(DatabaseRecord::path(dir.path()), "{").unwrap();
        assert!(matches!(DatabaseRecord::read(dir.path()), Err(BootError::Record { .. })));
    }

    #[test]
    fn hex_digits_are_read_back() {
        assert_eq!(unhex(&hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        for bad in ["0", "0g", "+1", "é0"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
