//! One daemon a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::BootError;

/// The data directory is ours until this is dropped, or the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `<data>/srvd.lock` without waiting and writes the pid into it for whoever comes second.
    ///
    /// # Errors
    /// [`BootError::AlreadyRunning`] with the other daemon's pid, or the I/O error.
    pub fn acquire(data_dir: &Path) -> Result<Self, BootError> {
        let path = data_dir.join("srvd.lock");
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(BootError::cannot_create)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The pid is a courtesy; without it the answer is still true.
                let _ = file.take(32).read_to_string(&mut pid);
                return Err(BootError::AlreadyRunning {
                    pid: pid.trim().parse().ok(),
                    data_dir: data_dir.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(BootError::cannot_create(error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(BootError::cannot_create)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::acquire(dir.path()).unwrap();
        let own = std::process::id();
        assert!(
            matches!(Lock::acquire(dir.path()), Err(BootError::AlreadyRunning { pid: Some(pid), .. }) if pid == own)
        );
        drop(first);
        Lock::acquire(dir.path()).unwrap();
    }
}
