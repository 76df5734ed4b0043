//! Whether a CLI's own files prove a login. They are only ever read, never written.

mod document;
mod elsewhere;
mod facts;
mod files;
mod jsonc;
mod sqlite;
mod time;
mod wal;

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use document::Found;
use facts::Source;
use files::{Root, Trouble};

pub(crate) use document::parse;
pub(crate) use files::{find, read};

use crate::credential::Format;
use crate::provider::Cli;
use crate::reach::Reach;

/// What a config directory's files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The least that the registry asks of a login is there.
    LoggedIn(Credential),
    /// There is no credential file.
    Absent,
    /// There is one, but it is no login.
    Incomplete {
        /// What is missing.
        reason: String,
    },
    /// It cannot be told: not a regular file, too large, no permission, not what its format says.
    Unreadable {
        /// Why not.
        reason: String,
    },
    /// The CLI's files say that it keeps the login in the system's keyring, where only the CLI can look.
    Elsewhere {
        /// The place of the login, as a sentence without a full stop.
        reason: String,
        /// The next step for the person.
        hint: String,
    },
}

impl Proof {
    /// The proof as it counts at a moment (unix milliseconds): an access token that has ended and cannot be
    /// refreshed, or whose refresh token has ended too, is no login any more.
    #[must_use]
    pub fn at(self, now: i64) -> Self {
        let past = |end: Option<i64>| end.is_some_and(|end| end <= now);
        match self {
            Self::LoggedIn(credential)
                if past(credential.expires_at)
                    && (!credential.refreshable || past(credential.login_deadline_at)) =>
            {
                Self::Incomplete { reason: "it has expired".to_owned() }
            }
            proof => proof,
        }
    }
}

/// What a credential file says, without any of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credential {
    /// Email address of the account.
    pub email: Option<String>,
    /// The provider's own id of the account.
    pub subject: Option<String>,
    /// End of the access token, unix milliseconds.
    pub expires_at: Option<i64>,
    /// End of the refresh token, unix milliseconds: after it only a person can renew the login.
    pub login_deadline_at: Option<i64>,
    /// Whether the CLI can renew the access token by itself.
    pub refreshable: bool,
}

/// Reads what the directory's files say; `dir` is the one that the CLI's variable names. It blocks, but not for long:
/// files have at most 1 MiB (a database, and a file of settings that names the account, 64 MiB). A symbolic link is not
/// followed. End times are not judged; see [`Proof::at`].
///
/// Of several credential files the first that proves a login counts; when none does, the first that is there says why.
pub fn prove(cli: &Cli, dir: &Path) -> Proof {
    cli.prove(dir, Reach::Bundle)
}

/// The same for the user's own directory, which the CLI finds without its variable and where some of its files lie
/// elsewhere. Symbolic links are followed there, to files of the user or of root. `dir` is what the variable would
/// name, as in [`ConfigDir::own`](crate::ConfigDir::own).
pub fn prove_own(cli: &Cli, dir: &Path) -> Proof {
    cli.prove(dir, Reach::Usual)
}

/// The login of a CLI that a proof is about: its place in the registry's list, and the member of the file.
pub(crate) type Slot = Option<(usize, Option<String>)>;

/// Reads the files, and returns the proof with the login in them that it is about.
pub(crate) fn prove_slot(cli: &Cli, dir: &Path, reach: Reach) -> (Proof, Slot) {
    prove_at(cli, &Root::reached(&cli.config_dir, dir, reach))
}

impl Cli {
    /// Reads what the files say of a login in `dir`; see [`prove`] and [`prove_own`]. Blocking.
    #[must_use]
    pub fn prove(&self, dir: &Path, reach: Reach) -> Proof {
        prove_slot(self, dir, reach).0
    }

    /// The files that say whether there is a login, and whose; the last segment may have a `*`. `dir` is the directory
    /// that the CLI's variable names, or would name. In the user's own directory a file that is a symbolic link is
    /// followed by the files that it leads to. Blocking.
    #[must_use]
    pub fn login_files(&self, dir: &Path, reach: Reach) -> Vec<(PathBuf, Format)> {
        let root = Root::reached(&self.config_dir, dir, reach);
        let mut files = Vec::new();
        for file in &self.credential {
            files.push((root.place(&file.path), file.format));
            files.extend(file.other_files().map(|other| (root.place(other), Format::Json)));
        }
        if reach == Reach::Bundle {
            return files;
        }
        let with_links = |(path, format)| files::hops(path).into_iter().map(move |path| (path, format));
        files.into_iter().flat_map(with_links).collect()
    }
}

fn prove_at(cli: &Cli, root: &Root<'_>) -> (Proof, Slot) {
    let mut why = Proof::Absent;
    for (position, file) in cli.credential.iter().enumerate() {
        let proof = match document::read(file, root) {
            Ok(None) => Proof::Absent,
            Ok(Some(found)) => {
                let source = Source { file, name: &found.name, document: &found.value, root };
                match source.read() {
                    Ok(facts) => return (Proof::LoggedIn(facts.credential), Some((position, facts.member))),
                    Err(reason) => Proof::Incomplete { reason },
                }
            }
            Err(Trouble::NoLogin(reason)) => Proof::Incomplete { reason },
            Err(Trouble::Unreadable(reason)) => Proof::Unreadable { reason },
        };
        if why == Proof::Absent {
            why = proof;
        }
    }
    (elsewhere::or_elsewhere(why, cli, root), None)
}

/// What a directory's credentials were at one moment. Two are equal when nothing of them changed, so a login that was
/// there before never confirms a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint(Vec<(PathBuf, u64)>);

/// Takes the fingerprint of the directory's credentials; `dir` is the one that the CLI's variable names.
///
/// Where a file proves a login it is the login's own: CLIs keep counters and settings in the same file, and a change of
/// those is no new login. Where none does, it is that of every file that is there, each as a whole.
pub fn fingerprint(cli: &Cli, dir: &Path) -> Fingerprint {
    let root = Root::named(&cli.config_dir, dir);
    let mut whole = Vec::new();
    for file in &cli.credential {
        let Ok(Some(found)) = document::read_any(file, &root) else { continue };
        let Found { path, name, bytes, value } = found;
        let read = |document| Source { file, name: &name, document, root: &root }.read().ok();
        let facts = value.as_ref().ok().and_then(read);
        match facts {
            Some(facts) => return Fingerprint(vec![(path, facts.mark)]),
            None => whole.push((path, hash(&bytes))),
        }
    }
    Fingerprint(whole)
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
