//! The keychain of the operating system, which holds the encryption key when `srvd.toml` says so.
//!
//! A locked keychain asks its user for a password and may wait forever. Every call therefore runs on its own thread and
//! is abandoned after a few seconds.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// The name of the keychain among the sources of the key.
pub(crate) const PLACE: &str = "the OS keychain";
/// Longest time that a call may take. It is shorter than the time that a checkup allows for the key.
const WAIT: Duration = Duration::from_secs(8);

/// The reason why the keychain does not return or accept a key. No text holds a byte of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeychainError {
    /// This program was built without keychain support.
    #[error(
        "this srvd was built without the OS keychain; keep the encryption key in a file, or build srvd with: cargo build --release --features keychain"
    )]
    #[cfg_attr(feature = "keychain", allow(dead_code, reason = "only a program without a keychain says so"))]
    NotBuilt,
    /// The keychain holds no key.
    #[error("the OS keychain holds no encryption key of srvd. Make one with: srvd key generate --keychain")]
    #[cfg_attr(not(feature = "keychain"), allow(dead_code, reason = "only a keychain lacks a key"))]
    Missing,
    /// The keychain holds a key already.
    #[error("the OS keychain already holds an encryption key of srvd, which is not overwritten")]
    Taken,
    /// The keychain did not answer in time.
    #[error(
        "the OS keychain did not answer within {} s: it may be locked and asking for its password. Unlock it, and try again",
        WAIT.as_secs()
    )]
    Late,
    /// The keychain cannot be used.
    #[error("the OS keychain cannot be used: {0}. Is a keychain running and unlocked in this session?")]
    Failed(String),
}

/// Reads the key's text as it was stored.
///
/// # Errors
/// [`KeychainError`].
pub(crate) fn read() -> Result<Zeroizing<Vec<u8>>, KeychainError> {
    bounded(entry::read)
}

/// Stores the first key.
///
/// # Errors
/// [`KeychainError`]; [`KeychainError::Taken`] when a key exists already.
pub(crate) fn put(text: &SecretString) -> Result<(), KeychainError> {
    let text = text.clone();
    bounded(move || match entry::read() {
        Ok(_) => Err(KeychainError::Taken),
        Err(KeychainError::Missing) => entry::write(text.expose_secret()),
        Err(error) => Err(error),
    })
}

/// Replaces the existing key.
///
/// # Errors
/// [`KeychainError`]. After [`KeychainError::Late`] the keychain may hold either key.
pub(crate) fn replace(text: &SecretString) -> Result<(), KeychainError> {
    let text = text.clone();
    bounded(move || entry::write(text.expose_secret()))
}

/// Runs a call with a time limit. An abandoned call leaves its thread waiting until the program ends.
fn bounded<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KeychainError> + Send + 'static,
) -> Result<T, KeychainError> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("keychain".to_owned())
        // The receiver may have stopped waiting; the answer is then dropped.
        .spawn(move || tell.send(call()).unwrap_or(()))
        .map_err(|error| KeychainError::Failed(error.to_string()))?;
    told.recv_timeout(WAIT).unwrap_or(Err(KeychainError::Late))
}

#[cfg(feature = "keychain")]
mod entry {
    use std::collections::HashMap;

    use keyring_core::api::CredentialStoreApi as _;
    use keyring_core::{Entry, Error};
    use zeroize::Zeroizing;

    use super::KeychainError;

    #[cfg(target_os = "macos")]
    use apple_native_keyring_store::keychain::Store;
    #[cfg(target_os = "linux")]
    use zbus_secret_service_keyring_store::Store;

    /// The attributes that a person sees in a list of the keychain's entries.
    #[cfg(target_os = "linux")]
    const SHOWN: [(&str, &str); 1] = [("label", "srvd encryption key")];
    /// The attributes that a person sees. The Mac's keychain lists an entry by its service.
    #[cfg(target_os = "macos")]
    const SHOWN: [(&str, &str); 0] = [];

    fn entry() -> Result<Entry, Error> {
        Store::new()?.build("srvd", "encryption-key", Some(&HashMap::from(SHOWN)))
    }

    pub(super) fn read() -> Result<Zeroizing<Vec<u8>>, KeychainError> {
        entry().and_then(|entry| entry.get_secret()).map(Zeroizing::new).map_err(|error| judge(&error))
    }

    pub(super) fn write(text: &str) -> Result<(), KeychainError> {
        entry().and_then(|entry| entry.set_secret(text.as_bytes())).map_err(|error| judge(&error))
    }

    fn judge(error: &Error) -> KeychainError {
        match error {
            Error::NoEntry => KeychainError::Missing,
            Error::Ambiguous(entries) => {
                KeychainError::Failed(format!("it holds {} encryption keys of srvd", entries.len()))
            }
            // These errors contain the text that was read.
            Error::BadEncoding(_) | Error::BadDataFormat(..) => {
                KeychainError::Failed("its entry cannot be read".to_owned())
            }
            other => KeychainError::Failed(other.to_string()),
        }
    }
}

#[cfg(not(feature = "keychain"))]
mod entry {
    use zeroize::Zeroizing;

    use super::KeychainError;

    pub(super) fn read() -> Result<Zeroizing<Vec<u8>>, KeychainError> {
        Err(KeychainError::NotBuilt)
    }

    pub(super) fn write(_: &str) -> Result<(), KeychainError> {
        Err(KeychainError::NotBuilt)
    }
}
