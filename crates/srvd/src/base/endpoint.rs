//! The file `endpoint.json`, through which local clients find a running daemon.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::base::private;

/// The content of `endpoint.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    /// The version of the file format.
    pub version: u32,
    /// The process id of the daemon.
    pub pid: u32,
    /// The URL `ws://127.0.0.1:<port>/rpc`; absent if TCP is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The path of the Unix socket.
    pub socket: PathBuf,
    /// The path of the file that contains the bearer token for TCP.
    pub token_file: PathBuf,
    /// The id of this run of the daemon.
    pub epoch: String,
}

impl Endpoint {
    /// The path of the file in the runtime directory.
    pub(crate) fn path(runtime: &Path) -> PathBuf {
        runtime.join("endpoint.json")
    }

    /// Reads the file.
    ///
    /// # Errors
    /// `NotFound` if no daemon has written the file, `InvalidData` if its content is not a valid endpoint.
    pub(crate) fn read(runtime: &Path) -> io::Result<Self> {
        let content = private::read_file(&Self::path(runtime), 64 * 1024)?;
        serde_json::from_slice(&content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// The I/O error.
    pub(crate) fn write(&self, runtime: &Path) -> io::Result<()> {
        let mut content = serde_json::to_vec_pretty(self)?;
        content.push(b'\n');
        private::replace_file(&Self::path(runtime), &content)
    }
}

/// Creates a bearer token from 256 random bits. Each start creates a new one, so a stolen old token is worthless.
///
/// # Errors
/// The operating system could not provide random bytes.
pub(crate) fn fresh_token() -> io::Result<SecretString> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(SecretString::from(format!(
        "srvd_{}",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(*bytes)
    )))
}

/// Writes the token with mode 0600 to the path in [`Endpoint::token_file`].
///
/// # Errors
/// The I/O error.
pub(crate) fn write_token(path: &Path, token: &SecretString) -> io::Result<()> {
    private::replace_file(path, token.expose_secret().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_file_survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint {
            version: 1,
            pid: 7,
            url: None,
            socket: "/run/s".into(),
            token_file: "/run/t".into(),
            epoch: "e".into(),
        };
        assert_eq!(Endpoint::read(dir.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        endpoint.write(dir.path()).unwrap();
        assert_eq!(Endpoint::read(dir.path()).unwrap(), endpoint);
    }

    #[test]
    fn tokens_are_unique_and_valid_in_a_subprotocol() {
        let [one, two] = [fresh_token().unwrap(), fresh_token().unwrap()];
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert_eq!(one.expose_secret().len(), 5 + 43);
        assert!(
            one.expose_secret()
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        );
    }
}
