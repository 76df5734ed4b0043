//! The kind and the location of a store's database.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// The kind of database that a store uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file on this machine.
    Sqlite,
    /// A server, possibly shared.
    Postgres,
}

impl DatabaseKind {
    /// Returns `sqlite` or `postgres`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The location of the database. `Debug` and `Display` leave out user, password and options of a `PostgreSQL` URL.
#[derive(Clone)]
pub struct DatabaseUrl(Location);

/// The place of a database: a file or a server.
#[derive(Clone)]
pub(crate) enum Location {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// A text that is not a database URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid database URL: {reason}")]
pub struct InvalidUrl {
    /// The reason for the refusal, without the text, which may hold a password.
    pub reason: &'static str,
}

impl DatabaseUrl {
    /// Creates the URL of the `SQLite` file at `path`.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Location::Sqlite(path.into()))
    }

    /// Returns the kind of the database.
    pub fn kind(&self) -> DatabaseKind {
        match self.0 {
            Location::Sqlite(_) => DatabaseKind::Sqlite,
            Location::Postgres(_) => DatabaseKind::Postgres,
        }
    }

    /// Returns the path of the file, if this is a `SQLite` database.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }

    /// Returns the place of the database, for a connection.
    pub(crate) fn location(&self) -> &Location {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    /// Parses `sqlite:<path>`, `postgres://...` or `postgresql://...`.
    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            // Other programs write an absolute path as `sqlite:///path`.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(InvalidUrl { reason: "it has no path of a file" }),
                ":memory:" => Err(InvalidUrl { reason: "a database in memory would lose every login" }),
                _ if path.contains('\0') => Err(InvalidUrl { reason: "the path contains a zero byte" }),
                _ => Ok(Self::sqlite(path)),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(text)
                .map_err(|_| InvalidUrl { reason: "it is not a PostgreSQL connection URL" })?;
            return Ok(Self(Location::Postgres(Box::new(options))));
        }
        Err(InvalidUrl { reason: "it starts with neither sqlite: nor postgres://" })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Location::Postgres(options) => write!(
                f,
                "postgres://{}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default()
            ),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}
