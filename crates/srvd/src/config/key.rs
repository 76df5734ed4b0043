//! The loading of the encryption key from its sources.

use std::io;
use std::path::{Path, PathBuf};

use identity_store::{Key, KeyError, Keyring};
use zeroize::Zeroizing;

use crate::base::environment::Environment;
#[cfg(test)]
use crate::base::private;
use crate::base::trust::{self, Trust, TrustError};
use crate::config::keychain;
use crate::config::keychain::KeychainError;

/// Longest key that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// The way that works wherever a service manager or a container runtime mounts the key.
const ADVICE: &str = ". Or name the directory of a file oauth_encryption_key in CREDENTIALS_DIRECTORY";

/// The reason why there is no key. Each ends the program with exit code 78. No text holds a byte of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySourceError {
    /// No source has a key.
    #[error(
        "there is no encryption key: OAUTH_ENCRYPTION_KEY, OAUTH_ENCRYPTION_KEY_FILE and {0} are all missing. Make one with: srvd key generate"
    )]
    Missing(PathBuf),
    /// A source cannot be read, or another user can read or change it.
    #[error("the encryption key in {place} cannot be read: {reason}{ADVICE}")]
    Unreadable {
        /// The source.
        place: String,
        /// The reason.
        reason: Box<TrustError>,
    },
    /// A source holds no usable key.
    #[error("the encryption key in {place} cannot be used: {source}")]
    Unusable {
        /// The source.
        place: String,
        /// The reason why the key is refused.
        source: KeyError,
    },
    /// The keychain is a source but gives no key.
    #[error(transparent)]
    Keychain(KeychainError),
    /// Two sources hold different keys.
    #[error("{first} and {second} hold different encryption keys; remove the one that is wrong")]
    Differ {
        /// One source.
        first: String,
        /// The other source.
        second: String,
    },
}

/// The sources of keys besides the environment.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The directory of the key files.
    pub config_dir: PathBuf,
    /// True if the OS keychain must have the key.
    pub keychain: bool,
    /// The check of the files.
    pub trust: Trust,
}

/// The keys that the sources hold.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The key that seals new secrets.
    pub key: Key,
    /// The sources that hold the key, the one with the highest priority first.
    pub places: Vec<String>,
    /// Old keys, which only open secrets.
    pub old: Vec<Key>,
}

impl Keys {
    /// All keys in the form that the store needs.
    pub(crate) fn keyring(&self) -> Keyring {
        Keyring::with_old(self.key.clone(), self.old.clone())
    }
}

/// The path `<config>/encryption.key`.
pub(crate) fn default_file(config_dir: &Path) -> PathBuf {
    config_dir.join("encryption.key")
}

/// The path `<config>/encryption.keys.old`: keys that only open, one per line.
pub(crate) fn old_file(config_dir: &Path) -> PathBuf {
    config_dir.join("encryption.keys.old")
}

/// Reads every source that exists: systemd's credential, the file that `OAUTH_ENCRYPTION_KEY_FILE` names,
/// `<config>/encryption.key`, `OAUTH_ENCRYPTION_KEY`, and the OS keychain if `srvd.toml` asks for it. The sources must
/// agree. A source that was asked for must exist; no other source replaces it. Keys that only open come from
/// `OAUTH_ENCRYPTION_KEYS_OLD`, the file that `OAUTH_ENCRYPTION_KEYS_OLD_FILE` names, and
/// `<config>/encryption.keys.old`.
///
/// # Errors
/// [`KeySourceError`].
pub(crate) fn load(environment: &Environment, sources: &Sources) -> Result<Keys, KeySourceError> {
    let config_dir = &sources.config_dir;
    let mut found: Option<(Key, Vec<String>)> = None;
    for (place, key) in given(environment, sources)? {
        let key = key.map_err(|source| KeySourceError::Unusable { place: place.clone(), source })?;
        match &mut found {
            Some((known, places)) if known.id() != key.id() => {
                return Err(KeySourceError::Differ { first: places[0].clone(), second: place });
            }
            Some((_, places)) => places.push(place),
            None => found = Some((key, vec![place])),
        }
    }
    let (key, places) = found.ok_or_else(|| KeySourceError::Missing(default_file(config_dir)))?;
    let mut old = old_keys(environment, sources)?;
    old.retain(|old| old.id() != key.id());
    Ok(Keys { key, places, old })
}

type Source = (String, Result<Key, KeyError>);

fn given(environment: &Environment, sources: &Sources) -> Result<Vec<Source>, KeySourceError> {
    let mut found = Vec::new();
    let mut file = |path: PathBuf, required: bool| {
        if let Some(bytes) = read_source(&path, required, &sources.trust)? {
            found.push((path.display().to_string(), Key::parse_file_bytes(&bytes)));
        }
        Ok(())
    };
    if let Some(path) = environment.text("OAUTH_ENCRYPTION_KEY_FILE") {
        file(PathBuf::from(path), true)?;
    }
    file(default_file(&sources.config_dir), false)?;
    if let Some(dir) = environment.path("CREDENTIALS_DIRECTORY") {
        // The service manager creates this file and controls who may read it.
        let path = dir.join("oauth_encryption_key");
        match trust::read_regular(&path, LONGEST) {
            Ok(bytes) => found.insert(0, (path.display().to_string(), Key::parse_file_bytes(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                let place = path.display().to_string();
                return Err(KeySourceError::Unreadable {
                    place,
                    reason: Box::new(TrustError::io(&path, source)),
                });
            }
        }
    }
    if let Some(bytes) = environment.bytes("OAUTH_ENCRYPTION_KEY") {
        found.push(("OAUTH_ENCRYPTION_KEY".to_owned(), Key::parse(bytes)));
    }
    if sources.keychain {
        found.push((
            keychain::PLACE.to_owned(),
            Key::parse_file_bytes(&keychain::read().map_err(KeySourceError::Keychain)?),
        ));
    }
    Ok(found)
}

/// Reads the keys that only open. A key that contains a comma or a line feed can be given as `hex:` or `base64:`.
fn old_keys(environment: &Environment, sources: &Sources) -> Result<Vec<Key>, KeySourceError> {
    let mut keys = Vec::new();
    let mut add = |place: &str, text: &[u8], ends: fn(&u8) -> bool| {
        for part in text.split(ends).map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
            let key = Key::parse(part);
            keys.push(key.map_err(|source| KeySourceError::Unusable { place: place.to_owned(), source })?);
        }
        Ok(())
    };
    if let Some(text) = environment.bytes("OAUTH_ENCRYPTION_KEYS_OLD") {
        add("OAUTH_ENCRYPTION_KEYS_OLD", text, |byte| matches!(byte, b',' | b'\n'))?;
    }
    let named = environment.text("OAUTH_ENCRYPTION_KEYS_OLD_FILE").map(PathBuf::from);
    for (path, required) in
        named.map(|path| (path, true)).into_iter().chain([(old_file(&sources.config_dir), false)])
    {
        if let Some(bytes) = read_source(&path, required, &sources.trust)? {
            add(&path.display().to_string(), &bytes, |byte| *byte == b'\n')?;
        }
    }
    Ok(keys)
}

/// Reads a file that may be missing unless the operator named it.
fn read_source(
    path: &Path,
    required: bool,
    trust: &Trust,
) -> Result<Option<Zeroizing<Vec<u8>>>, KeySourceError> {
    match trust.read_secret(path, LONGEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(TrustError::Missing(_)) if !required => Ok(None),
        Err(source) => {
            Err(KeySourceError::Unreadable { place: path.display().to_string(), reason: Box::new(source) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "0123456789abcdef0123456789abcdeX";

    fn files(dir: &Path) -> Sources {
        Sources { config_dir: dir.to_owned(), keychain: false, trust: Trust::of_process(None) }
    }

    fn check(variable: Option<&str>, file: Option<&str>, expect: Result<(), &str>) {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            private::replace_file(&default_file(dir.path()), text.as_bytes()).unwrap();
        }
        let environment = Environment::of(variable.map(|text| ("OAUTH_ENCRYPTION_KEY", text.to_owned())));
        let got = load(&environment, &files(dir.path())).map(|_| ()).map_err(|error| error.to_string());
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
    fn key_is_loaded_from_variable_or_file_when_they_do_not_differ() {
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
    fn old_keys_are_loaded_from_variable_and_file() {
        let dir = tempfile::tempdir().unwrap();
        private::replace_file(&default_file(dir.path()), ONE.as_bytes()).unwrap();
        let check = |variable: Option<&str>, file: Option<&str>, expect: Result<&[&str], &str>| {
            if let Some(text) = file {
                private::replace_file(&old_file(dir.path()), text.as_bytes()).unwrap();
            }
            let environment =
                Environment::of(variable.map(|text| ("OAUTH_ENCRYPTION_KEYS_OLD", text.to_owned())));
            let ids = |keys: &[Key]| keys.iter().map(|key| key.id().to_string()).collect::<Vec<_>>();
            let expect = expect.map(|texts| {
                ids(&texts.iter().map(|text| Key::parse(text.as_bytes()).unwrap()).collect::<Vec<_>>())
            });
            match (load(&environment, &files(dir.path())), expect) {
                (Ok(keys), Ok(expect)) => assert_eq!(ids(&keys.old), expect),
                (Err(error), Err(part)) => {
                    let text = error.to_string();
                    assert!(text.contains(part) && !text.contains(OTHER), "{text}");
                }
                (got, expect) => panic!("{variable:?} {file:?}: {got:?}, not {expect:?}"),
            }
        };
        let third = "fedcba9876543210fedcba9876543210";
        check(None, None, Ok(&[]));
        check(Some(""), None, Ok(&[]));
        check(Some(&format!("{OTHER},{ONE}\n {third}\n")), None, Ok(&[OTHER, third]));
        check(Some(&format!("{OTHER},short")), None, Err("OAUTH_ENCRYPTION_KEYS_OLD cannot be used"));
        check(None, Some(&format!("{OTHER}\n\n{ONE}\n")), Ok(&[OTHER]));
        check(Some(third), Some(&format!("{OTHER}\n")), Ok(&[third, OTHER]));
        check(None, Some("short\n"), Err("encryption.keys.old cannot be used"));
    }

    #[test]
    fn key_file_is_refused_when_others_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = default_file(dir.path());
        std::fs::write(&path, ONE).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = load(&Environment::default(), &files(dir.path())).unwrap_err().to_string();
        assert!(error.contains("mode 0644") && error.contains("chmod 600"), "{error}");
        assert!(error.contains("CREDENTIALS_DIRECTORY"), "{error}");
    }

    #[test]
    fn key_is_read_through_the_links_of_a_mount() {
        let dir = tempfile::tempdir().unwrap();
        let version = dir.path().join("..2026_01_01");
        std::fs::create_dir(&version).unwrap();
        private::replace_file(&version.join("key"), ONE.as_bytes()).unwrap();
        std::os::unix::fs::symlink("..2026_01_01", dir.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", dir.path().join("key")).unwrap();
        let named = dir.path().join("key").display().to_string();
        let environment = Environment::of([("OAUTH_ENCRYPTION_KEY_FILE", named)]);
        let config = tempfile::tempdir().unwrap();
        load(&environment, &files(config.path())).unwrap();
        // A link that others could replace leads to a key of theirs.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let error = load(&environment, &files(config.path())).unwrap_err().to_string();
        assert!(error.contains("mode 0777"), "{error}");
    }

    #[test]
    fn key_of_the_service_manager_is_read_first_and_whatever_its_mode() {
        let (credentials, config) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = credentials.path().join("oauth_encryption_key");
        std::fs::write(&file, ONE).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
        let named = credentials.path().display().to_string();
        let environment = Environment::of([("CREDENTIALS_DIRECTORY", named)]);
        assert_eq!(load(&environment, &files(config.path())).unwrap().places, [file.display().to_string()]);
    }
}
