//! Moves a login from the directory in which it was made to its destination, so that a failed login never changes the
//! existing one.
//!
//! [`Transfer::prepare`] computes the new content of each of the login's files and backs up the existing files; nothing
//! changes yet. [`Transfer::place`] renames the files into place, one by one; [`Transfer::undo`] restores the old ones.
//! Between the two, a plan on disk lists the files, so that a later process can undo an unfinished transfer.
//!
//! The room uses `registry`, `process` and `proof`. It must not decide whether a login is committed; its caller does.
//! It uses `registry`, `process` and `proof`. It must not decide whether a login is committed; its caller does.

mod files;
mod merge;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::private_directory;
use crate::proof::{Proof, prove};
use crate::registry::{Cli, Format};
use files::{keep, read, rename, sync, write};

/// The name of the plan file.
const PLAN: &str = "plan.json";
/// The directories of the new files and of the old ones. Each file is named by its number.
const NEW: &str = "new";
const OLD: &str = "old";

/// An error while moving a login. The text is for display and contains no secret.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file system returned an error.
    #[error("{path}: {source}")]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A file cannot be parsed or is too large to be stored.
    #[error("{path}: {reason}")]
    Unusable {
        /// The path of the file.
        path: PathBuf,
        /// The problem with the file.
        reason: String,
    },
    /// The moved files do not prove the same login at their destination.
    #[error("the moved files do not prove the login in {0}")]
    Unproven(PathBuf),
}

/// A login that is being moved. Its work directory contains all the data needed to finish or undo the move.
#[derive(Debug)]
pub struct Transfer {
    work: PathBuf,
    plan: Plan,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    /// The CLI's own directory, which is the destination of the files.
    to: PathBuf,
    files: Vec<PlannedFile>,
}

/// One file. Its number is its position in the plan.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlannedFile {
    /// The path below the CLI's own directory.
    path: String,
    /// True if the file existed before.
    #[serde(rename = "was")]
    existed: bool,
}

impl Cli {
    /// Returns whether a login of this CLI can be made in another directory and then moved. It must consist of files,
    /// none of which may be a database that contains more than the login. It must not be in this system's keychain,
    /// where the entry depends on the directory's name.
    #[must_use]
    pub fn can_move(&self) -> bool {
        let files =
            !self.credential.is_empty() && self.credential.iter().all(|file| file.format != Format::Sqlite);
        files && !self.keeps_in_keychain()
    }
}

impl Transfer {
    /// Prepares moving the login from `from` to `to`; both are directories to which the CLI's variable can point.
    /// Members of `to`'s files that do not belong to the login stay: settings, and logins at other services. Blocks.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, parsed or written. In that case `to` is unchanged.
    pub fn prepare(cli: &Cli, from: &Path, to: &Path, work: &Path) -> Result<Self, TransferError> {
        let (from, to) = (cli.config_dir.inside(from), cli.config_dir.inside(to));
        for part in [NEW, OLD] {
            private_directory(&work.join(part)).map_err(io_at(work))?;
        }
        let mut files = Vec::new();
        for (path, bytes) in merge::contents(cli, &from, &to)? {
            let number = files.len().to_string();
            let (new, old, place) =
                (work.join(NEW).join(&number), work.join(OLD).join(&number), to.join(&path));
            write(&new, &bytes).map_err(io_at(&place))?;
            let existed = keep(&place, &old).map_err(io_at(&place))?;
            files.push(PlannedFile { path, existed });
        }
        let transfer = Self { work: work.to_owned(), plan: Plan { to, files } };
        transfer.write_plan().map_err(io_at(work))?;
        Ok(transfer)
    }

    /// Returns the transfer that was prepared in this work directory; `Ok(None)` if there was none or it has been
    /// closed. Blocks.
    ///
    /// # Errors
    /// Returns an error if the plan cannot be read.
    pub fn open(work: &Path) -> Result<Option<Self>, TransferError> {
        let path = work.join(PLAN);
        let unusable = |reason| TransferError::Unusable { path: path.clone(), reason };
        let Some(bytes) = read(&path).map_err(unusable)? else { return Ok(None) };
        let plan = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Self { work: work.to_owned(), plan }))
    }

    /// Returns the destination directory of the login, which is the CLI's own.
    #[must_use]
    pub fn destination(&self) -> &Path {
        &self.plan.to
    }

    /// Moves the files into place and checks that they prove the same login there as in `from`. Blocks.
    ///
    /// # Errors
    /// Returns an error if a file cannot be moved, or if the result is not the login that was made. The caller must
    /// then undo the transfer.
    pub fn place(&self, cli: &Cli, from: &Path, to: &Path) -> Result<(), TransferError> {
        for (number, file) in self.plan.files.iter().enumerate() {
            let place = self.plan.to.join(&file.path);
            self.folder_of(file).map_err(io_at(&place))?;
            rename(&self.work.join(NEW).join(number.to_string()), &place).map_err(io_at(&place))?;
        }
        match prove(cli, to) {
            proof @ Proof::LoggedIn(_) if proof.is_same_login(&prove(cli, from)) => Ok(()),
            _ => Err(TransferError::Unproven(to.to_owned())),
        }
    }

    /// Restores the previous files, in reverse order. Can be repeated. Blocks.
    ///
    /// # Errors
    /// Returns the first error from restoring a file; the other files are still restored.
    pub fn undo(&self) -> Result<(), TransferError> {
        let mut done = Ok(());
        for (number, file) in self.plan.files.iter().enumerate().rev() {
            let place = self.plan.to.join(&file.path);
            let back = self.put_back(&number.to_string(), file, &place).map_err(io_at(&place));
            done = done.and(back);
        }
        done
    }

    /// Closes the transfer, whatever its result, so that a later process finds nothing to undo. Blocks.
    ///
    /// # Errors
    /// Returns an error if the plan cannot be removed.
    pub fn close(work: &Path) -> io::Result<()> {
        match std::fs::remove_file(work.join(PLAN)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => sync(work),
        }
    }

    fn put_back(&self, number: &str, file: &PlannedFile, place: &Path) -> io::Result<()> {
        let (new, old) = (self.work.join(NEW).join(number), self.work.join(OLD).join(number));
        if file.existed {
            return match rename(&old, place) {
                // The file has already been restored.
                Err(error) if error.kind() == ErrorKind::NotFound && !old.exists() => Ok(()),
                done => done,
            };
        }
        if new.exists() {
            return Ok(());
        }
        match std::fs::remove_file(place) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => place.parent().map_or(Ok(()), sync),
        }
    }

    /// Creates the parent directories of a file. A link among them is an error, because it could lead anywhere.
    fn folder_of(&self, file: &PlannedFile) -> io::Result<()> {
        private_directory(&self.plan.to)?;
        let mut folder = self.plan.to.clone();
        let Some((folders, _)) = file.path.rsplit_once('/') else { return Ok(()) };
        for part in folders.split('/') {
            folder.push(part);
            private_directory(&folder)?;
        }
        Ok(())
    }

    fn write_plan(&self) -> io::Result<()> {
        for part in [NEW, OLD] {
            sync(&self.work.join(part))?;
        }
        let text = serde_json::to_vec(&self.plan).map_err(io::Error::other)?;
        let draft = self.work.join("plan.new");
        write(&draft, &text)?;
        rename(&draft, &self.work.join(PLAN))
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> TransferError {
    let path = path.to_owned();
    move |source| TransferError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests;
