//! Logins that renew an existing one. The CLI runs in a separate directory. Its files are moved into place in the step
//! that commits the account. A login that fails, is cancelled or is cut off by a crash leaves the old one intact.
//!
//! The directory is `<identities>/.renewals/<session id>/`. The CLI's variable names `home` in it; the rest belongs to
//! [`Transfer`]. No bundle can have the name `.renewals`.
//!
//! The state of the session's row decides whether the moved files stay or go back: at the end of the session, or at the
//! next start. A login in a database or in a keychain cannot be moved, so its CLI renews it in place.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use auth_spawner::{Cli, Transfer, TransferError};
use identity_store::{SessionId, SessionState, Store, StoreError};
use tokio_util::task::TaskTracker;

use crate::base::private;
use crate::base::private::PrivateError;
use crate::wire::error::with_causes;

/// The directory of all renewals, below the root of the identities.
const PLACE: &str = ".renewals";
/// The directory that the CLI's variable names, inside a renewal.
const HOME: &str = "home";

/// The renewals on disk.
#[derive(Debug, Clone)]
pub struct Renewals {
    place: PathBuf,
    /// The blocking work on the files. The daemon waits for it at its shutdown.
    tasks: TaskTracker,
}

/// The files that a session has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRenewal {
    /// The session.
    pub session: SessionId,
    /// The CLI's own directory that the login was transferred to, if the transfer had begun.
    pub destination: Option<PathBuf>,
}

/// A renewal that is being saved.
#[derive(Debug)]
pub struct Renewal {
    cli: Cli,
    from: PathBuf,
    to: PathBuf,
    transfer: Transfer,
}

impl Renewals {
    /// The renewals below the root of all identities.
    pub fn new(identities: &Path, tasks: TaskTracker) -> Self {
        Self { place: identities.join(PLACE), tasks }
    }

    /// The directory in which the CLI of a session runs. It is not created yet.
    pub fn home(&self, session: &SessionId) -> PathBuf {
        self.work(session).join(HOME)
    }

    /// Makes the directories of a session, 0700. Blocking.
    ///
    /// # Errors
    /// [`PrivateError`] when a part of the path is a link, open to others, or cannot be made.
    pub fn make(&self, session: &SessionId) -> Result<(), PrivateError> {
        for part in [&self.place, &self.work(session), &self.home(session)] {
            private::directory(part)?;
        }
        Ok(())
    }

    /// Returns whether a session has left files.
    pub async fn has(&self, session: &SessionId) -> bool {
        let work = self.work(session);
        // Where it is not known whether there are files, they are looked for when they are removed.
        self.tasks.spawn_blocking(move || work.try_exists().unwrap_or(true)).await.unwrap_or(true)
    }

    /// Prepares the transfer of a session's login to `to`. Nothing in `to` changes. Blocking.
    ///
    /// # Errors
    /// The errors of [`Transfer::prepare`].
    pub fn prepare(&self, session: &SessionId, cli: Cli, to: PathBuf) -> Result<Renewal, TransferError> {
        let from = self.home(session);
        let transfer = Transfer::prepare(&cli, &from, &to, &self.work(session))?;
        Ok(Renewal { cli, from, to, transfer })
    }

    /// Cleans up after a session: undoes the transfer unless it was committed, and removes the rest. The call can be
    /// repeated. Blocking.
    ///
    /// # Errors
    /// The error of the undo or the removal. The files then stay for another attempt.
    pub fn end(&self, session: &SessionId, committed: bool) -> Result<(), TransferError> {
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

    /// Lists the sessions that have left files. Blocking.
    ///
    /// # Errors
    /// The directory of the renewals cannot be read. A missing directory is not an error.
    pub fn left(&self) -> io::Result<Vec<LeftRenewal>> {
        let entries = match std::fs::read_dir(&self.place) {
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

    /// Cleans up after a session according to its row. Returns whether nothing of it is left. When the store fails, the
    /// files stay for another attempt.
    pub async fn settle(&self, store: &Store, session: &SessionId) -> bool {
        let committed = match store.session(session).await {
            Ok(row) => row.state == SessionState::Success,
            // The row was pruned because of its age, so its outcome was decided long ago.
            Err(StoreError::NotFound { .. }) => true,
            Err(error) => {
                tracing::error!(error = with_causes(&error), %session, "what became of a login cannot be read");
                return false;
            }
        };
        let (renewals, id) = (self.clone(), session.clone());
        match self.tasks.spawn_blocking(move || renewals.end(&id, committed)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(error = with_causes(&error), %session, committed, "what a login has left could not be cleared");
                false
            }
            Err(error) => {
                tracing::error!(%error, %session, "clearing what a login has left broke off");
                false
            }
        }
    }

    /// Cleans up after all sessions that are not live. Returns the directories that could not be settled.
    pub async fn settle_all(&self, store: &Store, live: impl Fn(&SessionId) -> bool) -> Vec<PathBuf> {
        let here = self.clone();
        let left = match self.tasks.spawn_blocking(move || here.left()).await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => {
                tracing::error!(%error, "what logins have left cannot be read");
                return Vec::new();
            }
            Err(error) => {
                tracing::error!(%error, "reading what logins have left broke off");
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

    fn work(&self, session: &SessionId) -> PathBuf {
        self.place.join(session.as_str())
    }
}

impl Renewal {
    /// Moves the login into place. Blocking.
    ///
    /// # Errors
    /// The errors of [`Transfer::place`]. The caller then ends the renewal as not committed.
    pub fn place(&self) -> Result<(), TransferError> {
        self.transfer.place(&self.cli, &self.from, &self.to)
    }
}

#[cfg(test)]
mod tests {
    use auth_spawner::Registry;

    use super::*;

    const OLD: &str = r#"{"access_token":"old"}"#;
    const NEW: &str = r#"{"access_token":"new"}"#;

    #[test]
    fn renewal_leaves_nothing_and_is_undone_when_not_committed() {
        let root = tempfile::tempdir().unwrap();
        let cli = Registry::builtin().unwrap().provider("kimi-code").unwrap().cli.clone().unwrap();
        let renewals = Renewals::new(root.path(), TaskTracker::new());
        assert_eq!(renewals.left().unwrap(), []);
        let to = root.path().join("work/kimi-code");
        let file = to.join("credentials/kimi-code.json");
        private::directory(file.parent().unwrap()).unwrap();
        for (placed, committed, expected) in
            [(false, false, OLD), (true, false, OLD), (false, true, OLD), (true, true, NEW)]
        {
            std::fs::write(&file, OLD).unwrap();
            let session = SessionId::generate();
            renewals.make(&session).unwrap();
            let made = renewals.home(&session).join("credentials/kimi-code.json");
            private::directory(made.parent().unwrap()).unwrap();
            std::fs::write(made, NEW).unwrap();
            let left = |destination| LeftRenewal { session: session.clone(), destination };
            assert_eq!(renewals.left().unwrap(), [left(None)]);
            let renewal = renewals.prepare(&session, cli.clone(), to.clone()).unwrap();
            if placed {
                renewal.place().unwrap();
            }
            assert_eq!(renewals.left().unwrap(), [left(Some(to.clone()))]);
            for _ in 0..2 {
                renewals.end(&session, committed).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&file).unwrap(), expected, "{placed} {committed}");
            assert_eq!(renewals.left().unwrap(), []);
        }
    }
}
