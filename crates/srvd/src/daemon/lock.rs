//! The lock that allows one daemon for each data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use super::BootError;
use crate::base::endpoint::Endpoint;
use crate::base::process::is_there;

/// Exclusive ownership of the data directory until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Number of retries while the daemon that held the lock is gone, and the pause between two.
const LOOKS: (u32, Duration) = (1500, Duration::from_millis(10));

impl Lock {
    /// Takes `<data>/srvd.lock` and writes the pid into it, for the error message of a second daemon. A daemon that was
    /// killed while it started a CLI can leave the lock for a moment to the process that was to become the CLI. The
    /// lock of a daemon that is gone is therefore waited for, at most 15 seconds. In all other cases there is no wait.
    ///
    /// # Errors
    /// [`BootError::AlreadyRunning`] with the other daemon's pid, or the I/O error.
    pub(crate) fn acquire(data_dir: &Path) -> Result<Self, BootError> {
        let (looks, pause) = LOOKS;
        Self::acquire_within(data_dir, looks, || std::thread::sleep(pause))
    }

    fn acquire_within(data_dir: &Path, mut looks: u32, mut pause: impl FnMut()) -> Result<Self, BootError> {
        let mut told = false;
        let path = data_dir.join("srvd.lock");
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // A link could lead to a file that is then truncated; a FIFO would block.
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path)
            .map_err(|error| named(&path, &error))?;
        if !file.metadata().map_err(|error| named(&path, &error))?.is_file() {
            let error = std::io::Error::other("it is not a regular file; move it away");
            return Err(named(&path, &error));
        }
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(BootError::cannot_create(error)),
                Err(TryLockError::WouldBlock) => {
                    let pid = holder(&mut file);
                    if looks == 0 || pid.is_none_or(is_there) {
                        return Err(held(data_dir, pid));
                    }
                    if !told {
                        tracing::info!(pid, "waiting for the lock of a daemon that is gone");
                        told = true;
                    }
                    looks -= 1;
                    pause();
                }
            }
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(BootError::cannot_create)?;
        Ok(Self { _file: file })
    }
}

/// Returns the error with the path of the lock. A link is told in words.
fn named(path: &Path, error: &std::io::Error) -> BootError {
    let path = path.display();
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    let reason = if is_link {
        format!("{path} is a symbolic link, which srvd does not follow; remove it")
    } else {
        format!("{path}: {error}")
    };
    BootError::cannot_create(std::io::Error::new(error.kind(), reason))
}

/// The error for a data directory that a daemon holds. A file that an earlier daemon left does not name the socket.
fn held(data_dir: &Path, pid: Option<u32>) -> BootError {
    let endpoint = Endpoint::read(data_dir).ok().filter(|endpoint| Some(endpoint.pid) == pid);
    let socket = endpoint.map(|endpoint| endpoint.socket);
    BootError::AlreadyRunning { pid, socket, data_dir: data_dir.to_owned() }
}

/// Returns the pid in the file. The pid is optional: without it the error is still correct.
fn holder(file: &mut File) -> Option<u32> {
    let mut pid = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_refusal_names_the_pid_of_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::acquire(dir.path()).unwrap();
        let own = std::process::id();
        assert!(
            matches!(Lock::acquire(dir.path()), Err(BootError::AlreadyRunning { pid: Some(pid), .. }) if pid == own)
        );
        drop(first);
        Lock::acquire(dir.path()).unwrap();
    }

    #[test]
    fn lock_is_refused_when_its_path_is_a_link_or_a_fifo() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, other) = (dir.path().join("srvd.lock"), dir.path().join("other"));
        std::fs::write(&other, "kept").unwrap();
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        let said = Lock::acquire(dir.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("{} is a symbolic link", lock.display())), "{said}");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
        std::fs::remove_file(&lock).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
        let said = Lock::acquire(dir.path()).unwrap_err().to_string();
        assert!(said.contains("srvd.lock") && said.contains("not a regular file"), "{said}");
    }

    #[test]
    fn lock_is_waited_for_when_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut gone = std::process::Command::new("/bin/true").spawn().unwrap();
        gone.wait().unwrap();
        let mut left = Some(File::create(dir.path().join("srvd.lock")).unwrap());
        let file = left.as_mut().unwrap();
        file.lock().unwrap();
        write!(file, "{}", gone.id()).unwrap();

        let mut looks = 0;
        let refused = Lock::acquire_within(dir.path(), 3, || looks += 1);
        assert!(matches!(refused, Err(BootError::AlreadyRunning { pid: Some(pid), .. }) if pid == gone.id()));
        assert_eq!(looks, 3);
        Lock::acquire_within(dir.path(), 3, || drop(left.take())).unwrap();
    }
}
