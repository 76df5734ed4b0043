//! Errors that prevent the daemon from starting, and their exit codes for scripts.

use std::io;
use std::path::{Path, PathBuf};

use auth_spawner::RegistryError;
use identity_store::{OpenError, StoreError};

use crate::base::private::PrivateError;
use crate::config::ConfigError;
use crate::config::key::KeySourceError;

/// An error that prevents the daemon from starting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log filter cannot be parsed.
    #[error("log.filter: {0}")]
    LogFilter(#[from] tracing_subscriber::filter::ParseError),
    /// There is no usable encryption key.
    #[error(transparent)]
    Key(#[from] KeySourceError),
    /// A provider entry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A directory cannot be used.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// A file or socket cannot be created.
    #[error("{0}")]
    CannotCreate(io::Error),
    /// Another daemon uses the data directory.
    #[error("srvd is already running for {data_dir}{}", daemon_in_words(*pid, socket.as_deref()), data_dir = data_dir.display())]
    AlreadyRunning {
        /// Pid of the other daemon, if it is known.
        pid: Option<u32>,
        /// The socket of the other daemon, if it serves one already.
        socket: Option<PathBuf>,
        /// The data directory that it holds.
        data_dir: PathBuf,
    },
    /// The data directory's record of its database cannot be read.
    #[error("the record of the database cannot be used: {path}: {reason}", path = path.display())]
    Record {
        /// Path of the record.
        path: PathBuf,
        /// A description of the fault.
        reason: String,
    },
    /// There is no database, and the command creates none.
    #[error("there is no database at {place}")]
    NoDatabase {
        /// The configured place.
        place: String,
    },
    /// There is no database at the configured place, and the data directory used another one.
    #[error("there is no database at {place}; the daemon of this data directory used {recorded}")]
    OtherDatabase {
        /// The configured place.
        place: String,
        /// The place of the recorded database.
        recorded: String,
        /// Path of the record.
        path: PathBuf,
    },
    /// There is no database, although there are logins that belong to one.
    #[error(
        "there is no database at {place}, but there are logins of one in {identities}",
        identities = identities.display()
    )]
    IdentitiesWithoutDatabase {
        /// The configured place.
        place: String,
        /// The directory of the logins.
        identities: PathBuf,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database cannot be opened, and the reason does not name it.
    #[error("{place}")]
    Database {
        /// The path of the file, or the host, the port and the name of the database.
        place: String,
        /// The reason.
        source: OpenError,
    },
    /// The database failed during the boot.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns the daemon's pid and socket in parentheses, as far as they are known.
fn daemon_in_words(pid: Option<u32>, socket: Option<&Path>) -> String {
    let pid = pid.map(|pid| format!("pid {pid}"));
    let socket = socket.map(|socket| format!("socket {}", socket.display()));
    let known: Vec<String> = pid.into_iter().chain(socket).collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

impl BootError {
    pub(super) fn cannot_create(error: io::Error) -> Self {
        Self::CannotCreate(error)
    }

    /// Returns the exit code, as in `sysexits.h`: 69 database unavailable, 73 cannot create, 74 I/O or corrupt, 75
    /// already running, 77 permission, 78 configuration or key.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::CannotCreate(error) if error.kind() == io::ErrorKind::PermissionDenied => 77,
            Self::Private(PrivateError::Io { .. }) | Self::CannotCreate(_) => 73,
            Self::Config(_)
            | Self::LogFilter(_)
            | Self::Key(_)
            | Self::Registry(_)
            | Self::Private(_)
            | Self::Record { .. }
            | Self::NoDatabase { .. }
            | Self::OtherDatabase { .. }
            | Self::IdentitiesWithoutDatabase { .. } => 78,
            Self::AlreadyRunning { .. } => 75,
            Self::Open(error) | Self::Database { source: error, .. } => match error {
                OpenError::SchemaNewer { .. }
                | OpenError::SchemaOlder { .. }
                | OpenError::UpgradeUnfinished
                | OpenError::OtherDatabase { .. }
                | OpenError::Missing { .. }
                | OpenError::WrongKey { .. } => 78,
                OpenError::InUse { .. } => 75,
                OpenError::Corrupt { .. } | OpenError::Reverted { .. } | OpenError::ForeignObjects { .. } => {
                    74
                }
                OpenError::CannotCreate { .. } => 73,
                OpenError::Permission { .. } => 77,
                _ => 69,
            },
            Self::Store(error) => match error {
                StoreError::Corrupt { .. } | StoreError::Damaged(_) | StoreError::Replaced(_) => 74,
                _ => 69,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_daemon_is_told_pid_and_socket_of_the_first() {
        let check = |pid: Option<u32>, socket: Option<&str>, expect: &str| {
            let error =
                BootError::AlreadyRunning { pid, socket: socket.map(PathBuf::from), data_dir: "/d".into() };
            assert_eq!(error.to_string(), format!("srvd is already running for /d{expect}"));
        };
        check(Some(7), Some("/run/s"), " (pid 7, socket /run/s)");
        check(Some(7), None, " (pid 7)");
        check(None, None, "");
    }

    #[test]
    fn boot_error_has_a_stable_exit_code() {
        let io = |kind| io::Error::from(kind);
        let path = || PathBuf::from("/p");
        for (error, code) in [
            (BootError::Config(ConfigError::NoHome), 78),
            (BootError::Key(KeySourceError::Missing(path())), 78),
            (BootError::Open(OpenError::SchemaNewer { found: 2, known: 1 }), 78),
            (BootError::Open(OpenError::Corrupt { path: path(), reason: String::new(), source: None }), 74),
            (BootError::Open(OpenError::Unavailable("down".into())), 69),
            (BootError::Open(OpenError::Missing { expected: "d".into() }), 78),
            (BootError::Open(OpenError::Reverted { reason: "r" }), 74),
            (BootError::NoDatabase { place: "p".into() }, 78),
            (BootError::Database { place: "p".into(), source: OpenError::Unavailable("down".into()) }, 69),
            (
                BootError::Open(OpenError::Permission {
                    path: path(),
                    source: io(io::ErrorKind::PermissionDenied),
                }),
                77,
            ),
            (BootError::Database { place: "p".into(), source: OpenError::InUse { holder: None } }, 75),
            (BootError::AlreadyRunning { pid: None, socket: None, data_dir: path() }, 75),
            (BootError::cannot_create(io(io::ErrorKind::AddrInUse)), 73),
            (BootError::cannot_create(io(io::ErrorKind::PermissionDenied)), 77),
            (BootError::Private(PrivateError::Link(path())), 78),
            (
                BootError::Private(PrivateError::Io {
                    path: path(),
                    source: io(io::ErrorKind::NotADirectory),
                }),
                73,
            ),
        ] {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }
}
