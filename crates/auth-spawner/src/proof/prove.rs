//! Checks whether a CLI's own files prove a login. They are only read, never written.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::document::Found;
use super::facts::Source;
use super::files::{Root, Trouble};
use super::{document, files, keyring};
use crate::registry::{Cli, Format, Reach};

/// The state of a login, as shown by a config directory's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The files hold everything that the registry requires of a login.
    LoggedIn(Credential),
    /// There is no credential file.
    Absent,
    /// There is a credential file, but it is no login.
    Incomplete {
        /// The part that is missing.
        reason: String,
    },
    /// The state cannot be determined: not a regular file, too large, no permission, or not valid in its format.
    Unreadable {
        /// The reason of the problem.
        reason: String,
    },
    /// The CLI's files show that it keeps the login in the system's keyring, where only the CLI can read it.
    InKeyring {
        /// The place of the login, as a sentence without a full stop.
        reason: String,
        /// The next step for the user.
        hint: String,
    },
}

impl Proof {
    /// Returns the proof as it is at a moment (unix milliseconds). An access token that has ended is no longer a login
    /// if it cannot be refreshed, or if its refresh token has ended too.
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

/// The facts of a credential file, without any of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credential {
    /// Email address of the account.
    pub email: Option<String>,
    /// The provider's own id of the account.
    pub subject: Option<String>,
    /// End of the access token, unix milliseconds.
    pub expires_at: Option<i64>,
    /// End of the refresh token, unix milliseconds. After it only a person can renew the login.
    pub login_deadline_at: Option<i64>,
    /// True if the CLI can renew the access token without the user.
    pub refreshable: bool,
}

/// Reads the state of a login from the directory's files. `dir` is the directory that the CLI's variable names. Blocks,
/// but not for long: files have at most 1 MiB (a database, and a settings file that names the account, 64 MiB).
/// Symbolic links are not followed. End times are not checked; see [`Proof::at`].
///
/// Of several credential files the first that proves a login is used. If none does, the first existing one gives the
/// reason.
pub fn prove(cli: &Cli, dir: &Path) -> Proof {
    cli.prove(dir, Reach::Bundle)
}

/// Reads the state of a login like [`prove`], but in the user's own directory, which the CLI finds without its variable
/// and which keeps some of its files elsewhere. Symbolic links are followed there, to files of the user or of root.
/// `dir` is the directory that the variable would name, as in [`ConfigDir::own`](crate::ConfigDir::own).
pub fn prove_own(cli: &Cli, dir: &Path) -> Proof {
    cli.prove(dir, Reach::Usual)
}

/// The login that a proof is about: its place in the registry's list, and the member of the file.
pub(crate) type Slot = Option<(usize, Option<String>)>;

/// Reads the files, and returns the proof with the login that it is about.
pub(crate) fn prove_slot(cli: &Cli, dir: &Path, reach: Reach) -> (Proof, Slot) {
    prove_at(cli, &Root::reached(&cli.config_dir, dir, reach))
}

impl Cli {
    /// Reads the state of a login in `dir`; see [`prove`] and [`prove_own`]. Blocks.
    #[must_use]
    pub fn prove(&self, dir: &Path, reach: Reach) -> Proof {
        prove_slot(self, dir, reach).0
    }

    /// Returns the text of the file that proves the login in `dir`, for a CLI that takes it in a variable; `None` if no
    /// file proves a login. Blocks.
    #[must_use]
    pub fn credential_text(&self, dir: &Path, reach: Reach) -> Option<SecretString> {
        let root = Root::reached(&self.config_dir, dir, reach);
        let (position, _) = prove_at(self, &root).1?;
        let found = document::read_any(self.credential.get(position)?, &root).ok()??;
        Some(SecretString::from(String::from_utf8(found.bytes).ok()?))
    }

    /// Returns the files that decide whether there is a login and name its account. The last segment may have a `*`.
    /// `dir` is the directory that the CLI's variable names, or would name. In the user's own directory, a file that is
    /// a symbolic link is followed by the files that it leads to. Blocks.
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
    (keyring::or_in_keyring(why, cli, root), None)
}

/// The state of a directory's credentials at one moment. Two fingerprints are equal when no credential changed, so a
/// login that existed before never confirms a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint(Vec<(PathBuf, u64)>);

/// Takes the fingerprint of the directory's credentials. `dir` is the directory that the CLI's variable names.
///
/// If a file proves a login, the fingerprint covers that login only: CLIs keep counters and settings in the same file,
/// and a change of those is no new login. Otherwise it covers every existing file as a whole.
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
