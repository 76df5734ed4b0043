//! Moving a login from the directory that it was made in to the one that it is for, so that a login which fails never
//! touches the one that is there.
//!
//! [`Transfer::prepare`] works out what each of the login's files shall be and keeps what stands there; nothing changes.
//! [`Transfer::place`] renames the files into place, one by one; [`Transfer::undo`] puts the old ones back. Between the
//! two a plan on disk says which files are concerned, so that a later process can undo what an earlier one began.

mod files;
mod merge;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::credential::Format;
use crate::directory::private_directory;
use crate::proof::{Proof, prove};
use crate::provider::Cli;
use files::{keep, read, rename, sync, write};

/// The file that says what is to be moved.
const PLAN: &str = "plan.json";
/// Where what shall stand there waits, by number, and where what stood there is kept.
const NEW: &str = "new";
const OLD: &str = "old";

/// Why a login could not be moved; the text is for people and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be understood, or is too large to be kept.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What was moved does not say in its new place what it said in the old one.
    #[error("the login does not hold in {0}")]
    Unproven(PathBuf),
}

/// A login on its way. Its work directory holds all that is needed to finish or to undo it.
#[derive(Debug)]
pub struct Transfer {
    work: PathBuf,
    plan: Plan,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    /// The CLI's own directory that the files go to.
    to: PathBuf,
    files: Vec<Step>,
}

/// One file. Its number is its place in the plan.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    /// Path below the CLI's own directory.
    path: String,
    /// Whether something stood there before.
    was: bool,
}

impl Cli {
    /// Whether a login of this CLI can be made in another directory and moved: it is made of files, none of them a
    /// database that holds more than the login, and not of this system's keychain, which goes by the directory's name.
    #[must_use]
    pub fn can_move(&self) -> bool {
        let files =
            !self.credential.is_empty() && self.credential.iter().all(|file| file.format != Format::Sqlite);
        files && !self.keeps_in_keychain()
    }
}

impl Transfer {
    /// Works out how the login in `from` is to be put into `to`; both are what the CLI's variable names. Members of `to`'s
    /// files that are not the login's stay: settings, and logins at other services. Blocking.
    ///
    /// # Errors
    /// A file that cannot be read, understood or written; `to` is as it was.
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
            let was = keep(&place, &old).map_err(io_at(&place))?;
            files.push(Step { path, was });
        }
        let transfer = Self { work: work.to_owned(), plan: Plan { to, files } };
        transfer.write_plan().map_err(io_at(work))?;
        Ok(transfer)
    }

    /// The one that was prepared in this work directory; `Ok(None)` when none was, or it is over. Blocking.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub fn open(work: &Path) -> Result<Option<Self>, TransferError> {
        let path = work.join(PLAN);
        let unusable = |reason| TransferError::Unusable { path: path.clone(), reason };
        let Some(bytes) = read(&path).map_err(unusable)? else { return Ok(None) };
        let plan = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Self { work: work.to_owned(), plan }))
    }

    /// The directory that it goes to: the CLI's own.
    #[must_use]
    pub fn destination(&self) -> &Path {
        &self.plan.to
    }

    /// Puts the files into place and asks whether they prove there what they proved in `from`. Blocking.
    ///
    /// # Errors
    /// A file that cannot be put there, or another login than the one that was made; then the caller undoes it.
    pub fn place(&self, cli: &Cli, from: &Path, to: &Path) -> Result<(), TransferError> {
        for (number, step) in self.plan.files.iter().enumerate() {
            let place = self.plan.to.join(&step.path);
            self.folder_of(step).map_err(io_at(&place))?;
            rename(&self.work.join(NEW).join(number.to_string()), &place).map_err(io_at(&place))?;
        }
        match prove(cli, to) {
            proof @ Proof::LoggedIn(_) if proof == prove(cli, from) => Ok(()),
            _ => Err(TransferError::Unproven(to.to_owned())),
        }
    }

    /// Puts back what stood there before, the last one first. It can be repeated. Blocking.
    ///
    /// # Errors
    /// The first file that could not be put back; the others are.
    pub fn undo(&self) -> Result<(), TransferError> {
        let mut done = Ok(());
        for (number, step) in self.plan.files.iter().enumerate().rev() {
            let place = self.plan.to.join(&step.path);
            let back = self.put_back(&number.to_string(), step, &place).map_err(io_at(&place));
            done = done.and(back);
        }
        done
    }

    /// It is over, whatever became of it: a later process finds nothing to undo. Blocking.
    ///
    /// # Errors
    /// The plan cannot be removed.
    pub fn close(work: &Path) -> io::Result<()> {
        match std::fs::remove_file(work.join(PLAN)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => sync(work),
        }
    }

    fn put_back(&self, number: &str, step: &Step, place: &Path) -> io::Result<()> {
        let (new, old) = (self.work.join(NEW).join(number), self.work.join(OLD).join(number));
        if step.was {
            return match rename(&old, place) {
                // It is back already.
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

    /// Makes the folders on the way to a file; a link among them is an error, because it could lead anywhere.
    fn folder_of(&self, step: &Step) -> io::Result<()> {
        private_directory(&self.plan.to)?;
        let mut folder = self.plan.to.clone();
        let Some((folders, _)) = step.path.rsplit_once('/') else { return Ok(()) };
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
