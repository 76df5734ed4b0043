//! Logins that renew an existing one. The CLI runs in a separate directory, and its files are moved into place in the
//! step that commits the account. A login that fails, is cancelled or is interrupted by a crash leaves the old one
//! intact.
//!
//! The directory is `<identities>/.renewals/<session id>/`. The CLI's variable points to `home` in it; the rest belongs
//! to [`Transfer`]. No bundle can have the name `.renewals`.
//!
//! The state of the session's row decides whether the moved files stay or are moved back, either at the end of the
//! session or at the next start. A login in a database or in a keychain cannot be moved, so its CLI renews it in place.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use auth_spawner::{Cli, Transfer, TransferError};
use identity_store::{SessionId, SessionState, Store, StoreError};

use crate::base::blocking::{BlockingTasks, BrokenOff};
use crate::base::private;
use crate::base::private::PrivateError;
use crate::disk::identity_dir::DirError;
use crate::wire::error::with_causes;

/// The directory of all renewals, below the identities' root directory.
const PLACE: &str = ".renewals";
/// The directory, inside a renewal, to which the CLI's variable points.
const HOME: &str = "home";

/// The renewals on disk. Cheap to clone; clones share the same state.
#[derive(Debug, Clone)]
pub(crate) struct Renewals {
    places: RenewalPlaces,
    blocking: BlockingTasks,
}

/// The files left by a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftRenewal {
    /// The session.
    session: SessionId,
    /// The CLI's own directory to which the login was being transferred, if the transfer had started.
    destination: Option<PathBuf>,
}

/// A renewal that is being saved.
#[derive(Debug)]
pub(super) struct Renewal {
    cli: Cli,
    from: PathBuf,
    to: PathBuf,
    transfer: Transfer,
    blocking: BlockingTasks,
}

/// The reason why the files of a renewal could not be moved or removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewalError {
    /// The files could not be moved.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The work on them was interrupted.
    #[error(transparent)]
    BrokenOff(#[from] BrokenOff),
}

impl Renewals {
    /// The renewals below the root of all identities.
    pub(crate) fn new(identities: &Path, blocking: BlockingTasks) -> Self {
        Self { places: RenewalPlaces(identities.join(PLACE)), blocking }
    }

    /// The directory in which a session's CLI runs. It is not created yet.
    pub(super) fn home(&self, session: &SessionId) -> PathBuf {
        self.places.home(session)
    }

    /// Creates the directories of a session, with mode 0700.
    ///
    /// # Errors
    /// A [`DirError`] if a part of the path is a link, is accessible to others, or cannot be created.
    pub(super) async fn make(&self, session: &SessionId) -> Result<(), DirError> {
        let id = session.clone();
        Ok(self.run(move |places| places.make(&id)).await??)
    }

    /// Returns whether a session has left files.
    pub(super) async fn has(&self, session: &SessionId) -> bool {
        let work = self.places.work(session);
        // If it is not known whether there are files, they are looked for when they are removed.
        self.run(move |_| work.try_exists().unwrap_or(true)).await.unwrap_or(true)
    }

    /// Prepares the transfer of a session's login to `to`, without changing anything in `to`.
    ///
    /// # Errors
    /// The errors of [`Transfer::prepare`].
    pub(super) async fn prepare(
        &self,
        session: &SessionId,
        cli: Cli,
        to: PathBuf,
    ) -> Result<Renewal, RenewalError> {
        let (from, work, blocking) = (self.home(session), self.places.work(session), self.blocking.clone());
        let prepare = move |_: &RenewalPlaces| {
            let transfer = Transfer::prepare(&cli, &from, &to, &work)?;
            Ok(Renewal { cli, from, to, transfer, blocking })
        };
        self.run(prepare).await?
    }

    /// Cleans up after a session according to its row. Returns whether nothing of it is left. If the store fails, the
    /// files stay for another attempt.
    pub(super) async fn settle(&self, store: &Store, session: &SessionId) -> bool {
        let committed = match store.session(session).await {
            Ok(row) => row.state == SessionState::Success,
            // The row was pruned because of its age, so its outcome was decided long ago.
            Err(StoreError::NotFound { .. }) => true,
            Err(error) => {
                tracing::error!(error = with_causes(&error), %session, "the result of a login cannot be read");
                return false;
            }
        };
        match self.end(session, committed).await {
            Ok(()) => true,
            Err(RenewalError::Transfer(error)) => {
                tracing::error!(error = with_causes(&error), %session, committed, "the remaining files of a login could not be removed");
                false
            }
            Err(RenewalError::BrokenOff(error)) => {
                tracing::error!(%error, %session, "removing a login's remaining files failed unexpectedly");
                false
            }
        }
    }

    /// Cleans up after all sessions that are not live. Returns the directories that could not be cleaned up.
    pub(crate) async fn settle_all(&self, store: &Store, live: impl Fn(&SessionId) -> bool) -> Vec<PathBuf> {
        let left = match self.left().await {
            Ok(left) => left,
            Err(error) => {
                tracing::error!(%error, "the remaining files of logins cannot be listed");
                return Vec::new();
            }
        };
        let mut unsettled = Vec::new();
        for LeftRenewal { session, destination } in left {
            if !live(&session) && !self.settle(store, &session).await {
                unsettled.extend(destination);
            }
        }
        unsettled
    }

    /// Lists the sessions that have left files.
    ///
    /// # Errors
    /// The directory of the renewals cannot be read. A missing directory is not an error.
    pub(super) async fn left(&self) -> Result<Vec<LeftRenewal>, DirError> {
        Ok(self.run(RenewalPlaces::left).await??)
    }

    /// Undoes a session's transfer unless it was committed, and removes the remaining files. Can be repeated.
    ///
    /// # Errors
    /// The error of the undo or removal. The files then stay for another attempt.
    async fn end(&self, session: &SessionId, committed: bool) -> Result<(), RenewalError> {
        let id = session.clone();
        Ok(self.run(move |places| places.end(&id, committed)).await??)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RenewalPlaces) -> T + Send + 'static,
    ) -> Result<T, BrokenOff> {
        let places = self.places.clone();
        self.blocking.run(move || work(&places)).await
    }
}

impl Renewal {
    /// Moves the login into place.
    ///
    /// # Errors
    /// The errors of [`Transfer::place`]. The caller then ends the renewal as not committed.
    pub(super) async fn place(self) -> Result<(), RenewalError> {
        let Self { cli, from, to, transfer, blocking } = self;
        Ok(blocking.run(move || transfer.place(&cli, &from, &to)).await??)
    }
}

/// The directory of all renewals, and the blocking work on it.
#[derive(Debug, Clone)]
struct RenewalPlaces(PathBuf);

impl RenewalPlaces {
    fn work(&self, session: &SessionId) -> PathBuf {
        self.0.join(session.as_str())
    }

    fn home(&self, session: &SessionId) -> PathBuf {
        self.work(session).join(HOME)
    }

    fn make(&self, session: &SessionId) -> Result<(), PrivateError> {
        for part in [&self.0, &self.work(session), &self.home(session)] {
            private::directory(part)?;
        }
        Ok(())
    }

    fn end(&self, session: &SessionId, committed: bool) -> Result<(), TransferError> {
        let work = self.work(session);
        let io = |source| TransferError::Io { path: work.clone(), source };
        if !committed && let Some(transfer) = Transfer::open(&work)? {
            transfer.undo()?;
        }
        match std::fs::symlink_metadata(&work) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            _ => Transfer::close(&work).map_err(io)?,
        }
        match std::fs::remove_dir_all(&work) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io(error)),
            _ => Ok(()),
        }
    }

    fn left(&self) -> io::Result<Vec<LeftRenewal>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut left = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Some(session) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                let transfer = Transfer::open(&entry.path()).ok().flatten();
                let destination = transfer.map(|transfer| transfer.destination().to_owned());
                left.push(LeftRenewal { session, destination });
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use auth_spawner::Registry;

    use super::*;

    const OLD: &str = r#"{"access_token":"old"}"#;
    const NEW: &str = r#"{"access_token":"new"}"#;

    #[tokio::test]
    async fn renewal_leaves_nothing_behind_and_is_undone_when_not_committed() {
        let root = tempfile::tempdir().unwrap();
        let cli = Registry::builtin().unwrap().provider("kimi-code").unwrap().cli.clone().unwrap();
        let renewals = Renewals::new(root.path(), BlockingTasks::default());
        assert_eq!(renewals.left().await.unwrap(), []);
        let to = root.path().join("work/kimi-code");
        let file = to.join("credentials/kimi-code.json");
        private::directory(file.parent().unwrap()).unwrap();
        for (placed, committed, expected) in
            [(false, false, OLD), (true, false, OLD), (false, true, OLD), (true, true, NEW)]
        {
            std::fs::write(&file, OLD).unwrap();
            let session = SessionId::generate();
            renewals.make(&session).await.unwrap();
            let made = renewals.home(&session).join("credentials/kimi-code.json");
            private::directory(made.parent().unwrap()).unwrap();
            std::fs::write(made, NEW).unwrap();
            let left = |destination| LeftRenewal { session: session.clone(), destination };
            assert_eq!(renewals.left().await.unwrap(), [left(None)]);
            let renewal = renewals.prepare(&session, cli.clone(), to.clone()).await.unwrap();
            if placed {
                renewal.place().await.unwrap();
            }
            assert_eq!(renewals.left().await.unwrap(), [left(Some(to.clone()))]);
            for _ in 0..2 {
                renewals.end(&session, committed).await.unwrap();
            }
            assert_eq!(std::fs::read_to_string(&file).unwrap(), expected, "{placed} {committed}");
            assert_eq!(renewals.left().await.unwrap(), []);
        }
    }
}
