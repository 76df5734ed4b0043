//! The file `endpoint.json`, through which local clients find a running daemon.
//!
//! The file is in the runtime directory, whose place depends on the environment, and also in the data directory, whose
//! place does not. A shell of cron, sudo, ssh or a container finds the daemon by the second one.

use std::io;
use std::os::unix::fs::MetadataExt as _;
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
    /// The path of the file in a runtime directory or a data directory.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("endpoint.json")
    }

    /// Reads the file.
    ///
    /// # Errors
    /// `NotFound` if no daemon has written the file, `InvalidData` if its content is not a valid endpoint.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        Self::read_with_owner(dir).map(|(endpoint, _)| endpoint)
    }

    /// Reads the file, and returns its owner's uid, too. Root may read the file of any user.
    ///
    /// # Errors
    /// As for [`Endpoint::read`].
    pub(crate) fn read_with_owner(dir: &Path) -> io::Result<(Self, u32)> {
        let ours = rustix::process::geteuid().as_raw();
        let accepts = |owner: u32| owner == ours || ours == 0;
        let (content, owner) = private::read_file_of(&Self::path(dir), LONGEST, accepts)?;
        let endpoint = serde_json::from_slice(&content)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((endpoint, owner))
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// The I/O error.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut content = serde_json::to_vec_pretty(self)?;
        content.push(b'\n');
        private::replace_file(&Self::path(dir), &content)
    }
}

/// The longest file that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Directory of the runtime directories that the system unit `srvd@.service` makes, one for each user.
const SYSTEM_RUNTIME: &str = "/run/srvd";

/// Returns the directories that may hold the endpoint file of the user's daemon. If neither directory is named, the daemon
/// can also be one of a login session or of a system unit.
pub(crate) fn dirs(runtime: &Path, data: &Path, are_named: bool) -> Vec<PathBuf> {
    let mut dirs = vec![runtime.to_owned(), data.to_owned()];
    if !are_named && cfg!(target_os = "linux") {
        let uid = rustix::process::geteuid().as_raw();
        dirs.push(format!("/run/user/{uid}/srvd").into());
        dirs.extend(of_system_units(Path::new(SYSTEM_RUNTIME), uid));
    }
    dirs
}

/// Returns the runtime directories of system units that run as the user, in order of name.
fn of_system_units(root: &Path, uid: u32) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let is_ours = |path: &PathBuf| {
        std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == uid)
    };
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_ours).collect();
    dirs.sort();
    dirs
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
    fn system_units_are_those_whose_directory_belongs_to_the_user() {
        let root = tempfile::tempdir().unwrap();
        let uid = std::fs::metadata(root.path()).unwrap().uid();
        assert_eq!(of_system_units(&root.path().join("none"), uid), Vec::<PathBuf>::new());
        for name in ["b", "a"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(root.path().join("a"), root.path().join("link")).unwrap();
        assert_eq!(of_system_units(root.path(), uid), [root.path().join("a"), root.path().join("b")]);
        assert_eq!(of_system_units(root.path(), uid + 1), Vec::<PathBuf>::new());
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
