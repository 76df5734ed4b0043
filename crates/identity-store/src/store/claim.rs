//! The claim of one process on a database, so that no second one serves it.
//!
//! A `SQLite` file has a lock file beside it, and a `PostgreSQL` database a lock that belongs to one session. Both end with
//! their process, so a claim needs no row and no time of its own. The holder's name is in the lock file, or it is the
//! name of the session.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::sqlite_file::file_error;
use crate::error::{OpenError, StoreError};
use crate::url::Location;

/// The longest wait for a claim whose holder may be gone. A server may take that long to notice the end of a machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// The interval between two attempts.
const EVERY: Duration = Duration::from_millis(200);
/// The longest time for one attempt at a server.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The longest name of a session that `PostgreSQL` keeps, in bytes.
const NAME_BYTES: usize = 63;
/// The longest name that is read from a lock file, in bytes.
const LONGEST: u64 = 256;

/// Takes the lock. It is one for each schema, because each schema can hold a database of its own.
const TAKE: &str =
    "SELECT pg_try_advisory_lock(1936877156, hashtext(coalesce(current_schema(), '')) & 2147483647)";
/// Returns the name of the session that holds the lock. Sessions of other roles have no visible name.
const HOLDER: &str = "SELECT a.application_name
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = 1936877156::oid
      AND l.objid = (hashtext(coalesce(current_schema(), '')) & 2147483647)::oid
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A process that claims a database for itself.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The name of the process, for the error of another one. It should name the process and its machine.
    pub name: String,
    /// Returns whether the process with this name may have ended. Its claim is then waited for, at most 15 seconds.
    pub may_be_gone: fn(&str) -> bool,
}

/// A claim, which is held until it is dropped or the process ends.
pub(crate) enum Claim {
    File(#[expect(dead_code, reason = "the lock is held until the file is dropped")] File),
    Session {
        options: Box<PgConnectOptions>,
        name: String,
        /// `None` while the connection is broken.
        session: Mutex<Option<PgConnection>>,
    },
}

/// The result of one attempt.
enum Attempt {
    Taken(Claim),
    /// Another process holds the claim. The name is absent if it cannot be read.
    Held(Option<String>),
}

impl Claim {
    /// Claims a database. Nothing is written into it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] with the name of the other process, or the error of the file or the server.
    pub(crate) async fn take(location: &Location, claimant: &Claimant) -> Result<Self, OpenError> {
        let deadline = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            let holder = match attempt(location, &claimant.name).await? {
                Attempt::Taken(claim) => return Ok(claim),
                Attempt::Held(holder) => holder,
            };
            let stays = holder.as_deref().is_some_and(|holder| !(claimant.may_be_gone)(holder));
            if stays || Instant::now() >= deadline {
                return Err(OpenError::InUse { holder });
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(holder, "waiting for the database, which an earlier process still holds");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Checks that the claim still stands, and takes it again if its session was lost.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process has the claim now; another error if the server does not answer.
    pub(crate) async fn keep(&self) -> Result<(), OpenError> {
        let Self::Session { options, name, session } = self else { return Ok(()) };
        let mut session = session.lock().await;
        if let Some(connection) = session.as_mut()
            && timeout(ATTEMPT, connection.ping()).await.is_ok_and(|pinged| pinged.is_ok())
        {
            return Ok(());
        }
        *session = None;
        let location = Location::Postgres(options.clone());
        match attempt(&location, name).await? {
            Attempt::Taken(Self::Session { session: taken, .. }) => *session = taken.into_inner(),
            Attempt::Taken(Self::File(_)) => {}
            // The server has not yet noticed the end of this process's own earlier session.
            Attempt::Held(Some(holder)) if holder == session_name(name) => {}
            Attempt::Held(holder) => return Err(OpenError::InUse { holder }),
        }
        Ok(())
    }
}

async fn attempt(location: &Location, name: &str) -> Result<Attempt, OpenError> {
    match location {
        Location::Sqlite(path) => file(path, name),
        Location::Postgres(options) => {
            let asked = timeout(ATTEMPT, session(options, name)).await;
            asked.map_err(|elapsed| OpenError::Unavailable(elapsed.into()))?
        }
    }
}

/// Locks the file beside the database. This blocks for a moment.
fn file(database: &Path, name: &str) -> Result<Attempt, OpenError> {
    let path = beside(database);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source| file_error(&path, source);
    let mut file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| writeln!(file, "{name}")).map_err(failed)?;
            Ok(Attempt::Taken(Claim::File(file)))
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Without a name the refusal is still correct.
            let _ = file.rewind();
            let _ = file.take(LONGEST).read_to_string(&mut holder);
            let holder = holder.trim();
            Ok(Attempt::Held((!holder.is_empty()).then(|| holder.to_owned())))
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Returns the path of the lock file. All paths that lead to one database lead to one lock file.
fn beside(database: &Path) -> PathBuf {
    let real = std::fs::canonicalize(database).or_else(|error| {
        let directory = database.parent().ok_or(error)?;
        let name = database.file_name().unwrap_or_default();
        std::fs::canonicalize(directory).map(|directory| directory.join(name))
    });
    let mut path = real.unwrap_or_else(|_| database.to_owned()).into_os_string();
    path.push("-daemon");
    path.into()
}

/// Opens a session and takes the lock in it.
async fn session(options: &PgConnectOptions, name: &str) -> Result<Attempt, OpenError> {
    let own = options.clone().application_name(&session_name(name)).disable_statement_logging();
    let failed = |error: sqlx::Error| OpenError::from(StoreError::from(error));
    let mut connection = PgConnection::connect_with(&own).await.map_err(failed)?;
    let taken = sqlx::query_scalar::<_, bool>(TAKE).fetch_one(&mut connection).await.map_err(failed)?;
    if taken {
        let (options, name) = (Box::new(options.clone()), name.to_owned());
        return Ok(Attempt::Taken(Claim::Session { options, name, session: Mutex::new(Some(connection)) }));
    }
    let holder = sqlx::query_scalar::<_, Option<String>>(HOLDER).fetch_optional(&mut connection).await;
    let holder = holder.map_err(failed)?.flatten().filter(|holder| !holder.is_empty());
    // The server ends the session in any case.
    let _ = connection.close().await;
    Ok(Attempt::Held(holder))
}

/// Returns the part of a name that the server keeps.
fn session_name(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(name: &str, may_be_gone: fn(&str) -> bool) -> Claimant {
        Claimant { name: name.to_owned(), may_be_gone }
    }

    #[tokio::test]
    async fn file_is_claimed_by_one_process_at_a_time_under_all_its_names() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("s.db");
        let first =
            Claim::take(&Location::Sqlite(path.clone()), &claimant("pid 1", |_| false)).await.unwrap();
        std::fs::write(&path, "").unwrap();
        let link = root.path().join("link.db");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for name in [path.clone(), root.path().join("./s.db"), link] {
            let refused = Claim::take(&Location::Sqlite(name), &claimant("pid 2", |_| false)).await;
            let Err(OpenError::InUse { holder }) = refused else { panic!("the claim is held") };
            assert_eq!(holder.as_deref(), Some("pid 1"));
        }
        drop(first);
        let second = Claim::take(&Location::Sqlite(path), &claimant("pid 2", |_| false)).await.unwrap();
        second.keep().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn claim_of_a_holder_that_may_be_gone_is_waited_for_and_then_refused() {
        let root = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(root.path().join("s.db"));
        let held = Claim::take(&location, &claimant("pid 1", |_| false)).await.unwrap();
        let begun = Instant::now();
        let refused = Claim::take(&location, &claimant("pid 2", |_| true)).await;
        assert!(matches!(refused, Err(OpenError::InUse { .. })));
        assert!(begun.elapsed() >= PATIENCE);
        let mut held = Some(held);
        let second = claimant("pid 2", |_| true);
        let (taken, ()) = tokio::join!(Claim::take(&location, &second), async {
            tokio::time::sleep(EVERY * 3).await;
            drop(held.take());
        });
        assert!(taken.is_ok());
    }

    #[test]
    fn session_name_is_cut_at_a_character() {
        assert_eq!(session_name("pid 1"), "pid 1");
        assert_eq!(session_name(&"\u{e9}".repeat(40)), "\u{e9}".repeat(31));
    }
}
