//! Repairs that need no confirmation. They change srvd's own files and directories, and never the content of a
//! credential.

use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::base::endpoint::Endpoint;
use crate::base::private;
use crate::daemon::Lock;
use crate::hint::Step;

/// A single repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repair {
    /// Sets the mode of a file or directory of srvd.
    Mode {
        /// The path of the file or directory; a link is refused.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
    /// Makes a directory of srvd with mode 0700.
    MakeDirectory {
        /// The path of the directory.
        path: PathBuf,
    },
    /// Removes the endpoint file and the token of a daemon that has ended.
    RemoveEndpoint {
        /// The runtime directory, which holds these files.
        runtime: PathBuf,
        /// The data directory, whose lock a running daemon holds.
        data: PathBuf,
    },
}

impl Repair {
    /// Returns the shell command for the same change.
    pub(super) fn step(&self) -> Step {
        match self {
            Self::Mode { path, mode } => {
                Step::Chmod { mode: format!("{mode:o}"), path: path.as_path().into() }
            }
            Self::MakeDirectory { path } => Step::MakePrivateDirectory { path: path.as_path().into() },
            Self::RemoveEndpoint { runtime, .. } => {
                let endpoint = Endpoint::path(runtime);
                let token = endpoint.with_file_name("token");
                Step::RemoveEndpoint { endpoint: endpoint.as_path().into(), token: token.as_path().into() }
            }
        }
    }

    /// Makes the repair.
    ///
    /// # Errors
    /// Returns the reason, with the path.
    pub(super) fn apply(&self) -> Result<(), String> {
        match self {
            Self::Mode { path, mode } => {
                set_mode(path, *mode).map_err(|error| format!("{}: {error}", path.display()))
            }
            Self::MakeDirectory { path } => private::directory(path).map_err(|error| error.to_string()),
            Self::RemoveEndpoint { runtime, data } => remove_endpoint(runtime, data),
        }
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let ours = |found: &std::fs::Metadata| found.uid() == rustix::process::geteuid().as_raw();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) if ours(&file.metadata()?) => file.set_permissions(std::fs::Permissions::from_mode(mode)),
        Ok(_) => Err(refused("it belongs to another user")),
        // The mode keeps even the owner from opening it, so that it can only be changed by its path.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let found = std::fs::symlink_metadata(path)?;
            if found.is_symlink() || !ours(&found) {
                return Err(refused("it is a link or belongs to another user"));
            }
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        }
        Err(error) => Err(error),
    }
}

/// Removes the endpoint file and the token. The lock is held meanwhile, so that a daemon that starts now does not lose
/// its own files.
fn remove_endpoint(runtime: &Path, data: &Path) -> Result<(), String> {
    let _lock = Lock::acquire(data).map_err(|error| error.to_string())?;
    if let Ok(endpoint) = Endpoint::read(runtime)
        && UnixStream::connect(&endpoint.socket).is_ok()
    {
        return Err("a daemon answers on the socket".to_owned());
    }
    for path in [Endpoint::path(runtime), runtime.join("token"), Endpoint::path(data)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_repair_sets_file_modes_and_refuses_links() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("f");
        let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        std::fs::write(&file, "").unwrap();
        let link = root.path().join("l");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let set = |path: &Path, mode: u32| Repair::Mode { path: path.to_owned(), mode }.apply();
        set(&file, 0o000).unwrap();
        assert_eq!(mode(), 0);
        set(&file, 0o600).unwrap();
        assert_eq!(mode(), 0o600);
        assert!(set(&link, 0o644).is_err());
        assert_eq!(mode(), 0o600);
        assert!(set(&root.path().join("none"), 0o600).is_err());
    }

    #[test]
    fn endpoint_repair_is_refused_when_a_daemon_runs() {
        let root = tempfile::tempdir().unwrap();
        let repair = Repair::RemoveEndpoint { runtime: root.path().to_owned(), data: root.path().to_owned() };
        let endpoint = Endpoint {
            version: 1,
            pid: 1,
            url: None,
            socket: root.path().join("s"),
            token_file: root.path().join("token"),
            epoch: "e".into(),
        };
        let left = || (Endpoint::path(root.path()).exists(), root.path().join("token").exists());
        endpoint.write(root.path()).unwrap();
        std::fs::write(root.path().join("token"), "").unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&endpoint.socket).unwrap();
        assert!(repair.apply().unwrap_err().contains("answers"));
        drop(listener);
        let lock = Lock::acquire(root.path()).unwrap();
        assert!(repair.apply().unwrap_err().contains("already running"));
        drop(lock);
        assert_eq!(left(), (true, true));
        repair.apply().unwrap();
        assert_eq!(left(), (false, false));
        repair.apply().unwrap();
    }
}
