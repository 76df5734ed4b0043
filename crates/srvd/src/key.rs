//! Where the encryption key comes from.

use std::io;
use std::path::{Path, PathBuf};

use identity_store::{Key, KeyError, Keyring};

use crate::environment::Environment;
use crate::private;

/// The longest key that is read.
const LONGEST: u64 = 64 * 1024;

/// Why there is no key; each ends the program with exit code 78. No text holds a byte of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// No source has one.
    #[error(
        "there is no encryption key: OAUTH_ENCRYPTION_KEY, OAUTH_ENCRYPTION_KEY_FILE and {0} are all missing. Make one with: srvd key generate"
    )]
    Missing(PathBuf),
    /// A source cannot be read.
    #[error("the encryption key in {place} cannot be read: {source}")]
    Unreadable {
        /// The source.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// A source holds no key.
    #[error("the encryption key in {place} cannot be used: {source}")]
    Unusable {
        /// The source.
        place: String,
        /// Why.
        source: KeyError,
    },
    /// Two sources hold different keys.
    #[error("{first} and {second} hold different encryption keys; remove the one that is wrong")]
    Differ {
        /// One source.
        first: String,
        /// The other.
        second: String,
    },
}

/// `<config>/encryption.key`.
pub fn default_file(config_dir: &Path) -> PathBuf {
    config_dir.join("encryption.key")
}

/// Reads every source that is there: systemd's credential, the file that `OAUTH_ENCRYPTION_KEY_FILE` names,
/// `OAUTH_ENCRYPTION_KEY`, `<config>/encryption.key`. They must agree.
///
/// # Errors
/// [`KeySourceError`].
pub fn load(environment: &Environment, config_dir: &Path) -> Result<Keyring, KeySourceError> {
    let mut found: Option<(String, Keyring)> = None;
    for (place, key) in sources(environment, config_dir)? {
        let key = key.map_err(|source| KeySourceError::Unusable { place: place.clone(), source })?;
        let keyring = Keyring::from_key(key);
        match &found {
            Some((first, known)) if known.key_id() != keyring.key_id() => {
                return Err(KeySourceError::Differ { first: first.clone(), second: place });
            }
            Some(_) => {}
            None => found = Some((place, keyring)),
        }
    }
    found.map(|(_, keyring)| keyring).ok_or_else(|| KeySourceError::Missing(default_file(config_dir)))
}

type Source = (String, Result<Key, KeyError>);

fn sources(environment: &Environment, config_dir: &Path) -> Result<Vec<Source>, KeySourceError> {
    let mut found = Vec::new();
    let mut file = |path: PathBuf, required: bool, read: fn(&Path) -> io::Result<Vec<u8>>| {
        match read(&path).map(zeroize::Zeroizing::new) {
            Ok(bytes) => found.push((path.display().to_string(), Key::parse_file_bytes(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
            Err(source) => {
                return Err(KeySourceError::Unreadable { place: path.display().to_string(), source });
            }
        }
        Ok(())
    };
    let private = |path: &Path| private::read_file(path, LONGEST);
    if let Some(dir) = environment.path("CREDENTIALS_DIRECTORY") {
        // The service manager made this file and decides who may read it.
        file(dir.join("oauth_encryption_key"), false, |path| std::fs::read(path))?;
    }
    if let Some(path) = environment.text("OAUTH_ENCRYPTION_KEY_FILE") {
        file(PathBuf::from(path), true, private)?;
    }
    file(default_file(config_dir), false, private)?;
    if let Some(bytes) = environment.bytes("OAUTH_ENCRYPTION_KEY") {
        found.push(("OAUTH_ENCRYPTION_KEY".to_owned(), Key::parse(bytes)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "0123456789abcdef0123456789abcdeX";

    fn check(variable: Option<&str>, file: Option<&str>, expect: Result<(), &str>) {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            private::replace_file(&default_file(dir.path()), text.as_bytes()).unwrap();
        }
        let environment = Environment::of(variable.map(|text| ("OAUTH_ENCRYPTION_KEY", text.to_owned())));
        let got = load(&environment, dir.path()).map(|_| ()).map_err(|error| error.to_string());
        match (&got, expect) {
            (Ok(()), Ok(())) => {}
            (Err(text), Err(part)) => {
                assert!(text.contains(part), "{text:?} should contain {part:?}");
                assert!(!text.contains(ONE) && !text.contains(OTHER), "{text:?} holds a key");
            }
            _ => panic!("{variable:?} {file:?}: {got:?}"),
        }
    }

    #[test]
    fn sources_and_their_agreement() {
        check(None, None, Err("there is no encryption key"));
        check(Some(ONE), None, Ok(()));
        check(None, Some(ONE), Ok(()));
        check(None, Some(&format!("{ONE}\n")), Ok(()));
        check(Some(ONE), Some(ONE), Ok(()));
        check(Some(ONE), Some(OTHER), Err("hold different encryption keys"));
        check(Some(""), None, Err("OAUTH_ENCRYPTION_KEY cannot be used"));
        check(Some(&ONE[..31]), None, Err("31"));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = default_file(dir.path());
        std::fs::write(&path, ONE).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&Environment::default(), dir.path()).unwrap_err().to_string();
        assert!(error.contains("mode 0644"), "{error}");
    }
}
