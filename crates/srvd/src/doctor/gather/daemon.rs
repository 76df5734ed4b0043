//! The traces of a daemon on the disk: its endpoint file and the lock of the data directory.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};

use crate::base::endpoint::Endpoint;
use crate::config::Config;
use crate::doctor::facts::{EndpointState, LockState};

/// The endpoint file of a daemon, and the socket that it names.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) endpoint: EndpointState,
    pub(super) lock: LockState,
    /// The directory of the endpoint file; the runtime directory if there is no file.
    pub(super) dir: PathBuf,
    pub(super) socket: PathBuf,
}

pub(super) fn unknown(config: &Config) -> Seen {
    let late = "it could not be checked in time".to_owned();
    let (dir, socket) = (config.runtime_dir.clone(), config.socket());
    Seen { endpoint: EndpointState::Broken(late.clone()), lock: LockState::Unknown(late), dir, socket }
}

/// Looks at the files. Of several endpoint files, that of a process which exists counts, or else the first one.
pub(super) fn look(config: &Config) -> Seen {
    let lock = lock(&config.data_dir.join("srvd.lock"));
    let mut seen: Option<Seen> = None;
    for dir in config.endpoint_dirs() {
        let (endpoint, socket) = match Endpoint::read(&dir) {
            Ok(endpoint) => {
                let alive = is_alive(endpoint.pid);
                (EndpointState::Of { pid: endpoint.pid, alive }, endpoint.socket)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => (EndpointState::Broken(error.to_string()), config.socket()),
        };
        let is_alive = matches!(endpoint, EndpointState::Of { alive: true, .. });
        if is_alive || seen.is_none() {
            seen = Some(Seen { endpoint, lock: lock.clone(), dir, socket });
        }
        if is_alive {
            break;
        }
    }
    let (dir, socket) = (config.runtime_dir.clone(), config.socket());
    seen.unwrap_or(Seen { endpoint: EndpointState::Absent, lock, dir, socket })
}

/// Returns whether a process with this id exists, of any user.
fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
        return false;
    };
    // A process of another user exists even if it may not be signalled.
    matches!(test_kill_process(pid), Ok(()) | Err(rustix::io::Errno::PERM))
}

/// Tries the lock without keeping it. The lock is not tried if the process id in it is that of no process, because a
/// checkup could then get in the way of a daemon that starts at this moment.
fn lock(path: &Path) -> LockState {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return LockState::Free,
        Err(error) => return LockState::Unknown(error.to_string()),
    };
    let mut text = String::new();
    // An error is ignored: without the process id, the lock still shows whether it is held.
    let _ = (&mut file).take(32).read_to_string(&mut text);
    let pid: Option<u32> = text.trim().parse().ok();
    if pid.is_some_and(|pid| !is_alive(pid)) {
        return LockState::Free;
    }
    match file.try_lock_shared() {
        Ok(()) => LockState::Free,
        Err(TryLockError::WouldBlock) => LockState::Held(pid),
        Err(TryLockError::Error(error)) => LockState::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Lock;

    #[test]
    fn lock_is_reported_held_until_its_holder_drops_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("srvd.lock");
        assert_eq!(lock(&path), LockState::Free);
        let held = Lock::acquire(dir.path()).unwrap();
        assert_eq!(lock(&path), LockState::Held(Some(std::process::id())));
        drop(held);
        assert_eq!(lock(&path), LockState::Free);
    }

    #[test]
    fn process_is_reported_alive_only_when_its_pid_exists() {
        assert!(is_alive(std::process::id()) && is_alive(1));
        assert!(!is_alive(0) && !is_alive(u32::MAX) && !is_alive(i32::MAX.unsigned_abs()));
    }
}
