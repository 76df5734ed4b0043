//! The reasons why a place is not used, in words that name the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{KEY, VARIABLE};
use crate::hint::{Hint, Step};

/// The reason why a file or a directory is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// Nothing is there.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The place cannot be examined or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The place is not of the kind that is needed.
    #[error("{} {reason}", path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// A predicate, such as "is a FIFO".
        reason: &'static str,
    },
    /// Another user can change the place.
    #[error("{0}")]
    Untrusted(Box<Untrusted>),
    /// Another user can read a secret.
    #[error("{0}")]
    Exposed(Exposed),
}

impl TrustError {
    /// Creates the error of an operation on a path.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn kind(path: &Path, reason: &'static str) -> Self {
        Self::Kind { path: path.to_owned(), reason }
    }

    /// The reason, as a sentence without its full stop.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Untrusted(found) => found.reason(),
            other => other.to_string(),
        }
    }

    /// The command that mends the place, and the setting that accepts it; `None` for another reason.
    pub(crate) fn remedy(&self) -> Option<Hint> {
        self.untrusted().map(Untrusted::remedy)
    }

    /// The finding that another user can change the place, if that is the reason.
    pub(crate) fn untrusted(&self) -> Option<&Untrusted> {
        match self {
            Self::Untrusted(found) => Some(found),
            _ => None,
        }
    }
}

/// A secret that another user can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exposed {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    /// True if the file belongs to the user who asked.
    pub(super) owned: bool,
    pub(super) user: u32,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mode, owned, user } = self;
        let quoted = shell_words::quote(&path.to_string_lossy()).into_owned();
        let mend = match owned {
            true => format!("chmod 600 {quoted}"),
            false => format!("sudo chown {user} {quoted} && sudo chmod 600 {quoted}"),
        };
        write!(
            f,
            "{} has mode {mode:04o}, so other users can read it. Run: {mend}. In a container, mount it read-only or in \
             a tmpfs without permission to write",
            path.display()
        )
    }
}

/// A place that another user can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Untrusted {
    /// The file or directory at fault. It may be a directory above the one that was asked for.
    pub(crate) path: PathBuf,
    /// Its owner.
    pub(crate) uid: u32,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// True if the owner is the fault, and not the mode.
    pub(super) owner_is_wrong: bool,
    /// The user who asked.
    pub(super) user: u32,
    pub(super) words: Words,
    pub(super) configured: bool,
}

/// The kind of file system, which decides what can mend a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Owner and mode can be changed.
    Usual,
    /// A drive of Windows under WSL, where all modes are 0777.
    Windows,
    /// A file system that is mounted read-only.
    ReadOnly,
}

impl Untrusted {
    /// The sentence about the owner and the mode.
    pub(crate) fn reason(&self) -> String {
        let Self { uid, mode, .. } = self;
        let path = self.path.display();
        if self.owner_is_wrong {
            format!("{path} belongs to uid {uid} (mode {mode:04o}), neither to you nor to root")
        } else {
            format!("{path} has mode {mode:04o} (owner uid {uid}), so other users can change it")
        }
    }

    /// The command or the setting that makes the place fit.
    pub(crate) fn mend(&self) -> Step {
        let path = self.path.as_path().into();
        match self.words {
            Words::Windows => Step::CloseWindowsDrive,
            Words::ReadOnly => Step::MendTheImage,
            Words::Usual if self.owner_is_wrong => Step::TakeAsRoot { user: self.user, path },
            Words::Usual if self.uid == self.user => Step::CloseOwn { path },
            Words::Usual => Step::CloseAsRoot { path },
        }
    }

    fn remedy(&self) -> Hint {
        Hint::from(self.mend()).and(self.accept())
    }

    /// The setting that accepts the place as it is.
    pub(crate) fn accept(&self) -> Step {
        let path = self.path.to_string_lossy();
        if self.configured {
            Step::AcceptInFile { path: toml::Value::from(path.as_ref()).to_string(), key: KEY.to_owned() }
        } else {
            Step::AcceptInVariable { variable: VARIABLE.to_owned(), path: path.into_owned().into() }
        }
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.reason(), self.remedy())
    }
}

/// Finds out which advice fits the file system of a place.
pub(super) fn words(path: &Path) -> Words {
    let read_only = rustix::fs::statvfs(path)
        .is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if read_only {
        Words::ReadOnly
    } else if is_windows_drive(path) {
        Words::Windows
    } else {
        Words::Usual
    }
}

/// Returns whether the place lies on a drive of Windows, by the kind of its file system: 9p in WSL 2, drvfs in WSL 1.
#[cfg(target_os = "linux")]
fn is_windows_drive(path: &Path) -> bool {
    const NINE_P: u64 = 0x0102_1997;
    const DRVFS: u64 = 0x5346_4846;
    let kind = rustix::fs::statfs(path).map(|found| u64::try_from(found.f_type).unwrap_or_default());
    kind.is_ok_and(|kind| kind == NINE_P || kind == DRVFS)
        && std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .is_ok_and(|release| release.to_ascii_lowercase().contains("microsoft"))
}

#[cfg(not(target_os = "linux"))]
fn is_windows_drive(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_names_path_owner_mode_remedy_and_override() {
        let check = |owner_is_wrong, uid, words, configured, expect: &str| {
            let found = Untrusted {
                path: "/opt/my tools".into(),
                uid,
                mode: 0o777,
                owner_is_wrong,
                user: 1000,
                words,
                configured,
            };
            assert_eq!(found.to_string(), expect);
        };
        check(
            false,
            1000,
            Words::Usual,
            false,
            "/opt/my tools has mode 0777 (owner uid 1000), so other users can change it. Run: chmod go-w '/opt/my tools'. \
             To use it as it is, set SRVD_TRUSTED_PATHS='/opt/my tools'",
        );
        check(
            true,
            1001,
            Words::Usual,
            true,
            "/opt/my tools belongs to uid 1001 (mode 0777), neither to you nor to root. Run: sudo chown 1000 '/opt/my tools'. \
             To use it as it is, add \"/opt/my tools\" to trusted_paths in srvd.toml",
        );
        check(
            false,
            0,
            Words::Usual,
            true,
            "/opt/my tools has mode 0777 (owner uid 0), so other users can change it. Run: sudo chmod go-w '/opt/my tools'. \
             To use it as it is, add \"/opt/my tools\" to trusted_paths in srvd.toml",
        );
        for (words, part) in [(Words::Windows, "/etc/wsl.conf"), (Words::ReadOnly, "mounted read-only")] {
            let found = Untrusted {
                path: "/mnt/c/bin".into(),
                uid: 1000,
                mode: 0o777,
                owner_is_wrong: false,
                user: 1000,
                words,
                configured: true,
            };
            let text = found.to_string();
            assert!(text.contains(part) && !text.contains("chmod"), "{text}");
        }
    }
}
