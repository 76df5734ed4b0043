//! The keychain of the operating system, which holds the encryption key where `srvd.toml` says so.
//!
//! A keychain that is locked asks its user for a password and may wait for ever, so every call runs on a thread of its own
//! and is given up after a few seconds.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// The keychain among the places that hold a key.
pub const PLACE: &str = "the OS keychain";
/// How long a call may take. Less than what a checkup gives the key.
const WAIT: Duration = Duration::from_secs(8);

/// Why the keychain gives or takes no key. No text holds a byte of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeychainError {
    /// This program was built without it.
    #[error(
        "this srvd was built without the OS keychain; keep the encryption key in a file, or build srvd with: cargo build --release --features keychain"
    )]
    NotBuilt,
    /// There is no key in it.
    #[error("the OS keychain holds no encryption key of srvd. Make one with: srvd key generate --keychain")]
    Missing,
    /// There is a key in it already.
    #[error("the OS keychain holds an encryption key of srvd already, which is not overwritten")]
    Taken,
    /// It did not answer.
    #[error(
        "the OS keychain did not answer within {} s: it may be locked and asking for its password. Unlock it, and try again",
        WAIT.as_secs()
    )]
    Late,
    /// It cannot be used.
    #[error("the OS keychain cannot be used: {0}. Is a keychain running and unlocked in this session?")]
    Failed(String),
}

/// The key's text, as it was put there.
///
/// # Errors
/// [`KeychainError`].
pub fn read() -> Result<Zeroizing<Vec<u8>>, KeychainError> {
    bounded(entry::read)
}

/// Puts the first key there.
///
/// # Errors
/// [`KeychainError`]; [`KeychainError::Taken`] when there is one.
pub fn put(text: &SecretString) -> Result<(), KeychainError> {
    let text = text.clone();
    bounded(move || match entry::read() {
        Ok(_) => Err(KeychainError::Taken),
        Err(KeychainError::Missing) => entry::write(text.expose_secret()),
        Err(error) => Err(error),
    })
}

/// Puts another key in the place of the one that is there.
///
/// # Errors
/// [`KeychainError`]. After [`KeychainError::Late`] either key may be there.
pub fn replace(text: &SecretString) -> Result<(), KeychainError> {
    let text = text.clone();
    bounded(move || entry::write(text.expose_secret()))
}

/// A call that is given up leaves its thread waiting; the program that asked has no use for the answer and ends.
fn bounded<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KeychainError> + Send + 'static,
) -> Result<T, KeychainError> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("keychain".to_owned())
        // When nobody waits any more, nobody has to be told.
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

    /// What a person sees in a list of the keychain's entries.
    #[cfg(target_os = "linux")]
    const SHOWN: [(&str, &str); 1] = [("label", "srvd encryption key")];
    /// The Mac's keychain lists an entry by its service.
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
            // These hold what was read.
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
