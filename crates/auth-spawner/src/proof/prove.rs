//! Checks whether a CLI's own files prove a login. The files are only read, never written.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::document::Found;
use super::facts::Source;
use super::files::{Root, Trouble};
use super::mark::TokenMark;
use super::{document, files, keyring};
use crate::registry::{Cli, Format, Reach};

/// The state of a login, as shown by the files of a config directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The files contain everything that the registry requires of a login.
    LoggedIn(Credential),
    /// There is no credential file.
    Absent,
    /// There is a credential file, but it contains no login.
    Incomplete {
        /// The part that is missing.
        reason: String,
    },
    /// The state cannot be determined: the file is not regular, too large, not readable or not valid in its format.
    Unreadable {
        /// The reason for the problem.
        reason: String,
    },
    /// The CLI's files show that it stores the login in the system keyring, where only the CLI can read it.
    InKeyring {
        /// The location of the login, as a sentence without a full stop.
        reason: String,
        /// The next step for the user.
        hint: String,
    },
}

impl Proof {
    /// Returns the proof as of a given time (Unix milliseconds). An expired access token no longer counts as a login if
    /// it cannot be refreshed, or if its refresh token has also expired. No login is given up because of an assumed end.
    #[must_use]
    pub fn at(self, now: i64) -> Self {
        let past = |end: Option<i64>| end.is_some_and(|end| end <= now);
        match self {
            Self::LoggedIn(credential)
                if past(credential.expires_at)
                    && (past(credential.login_deadline_at)
                        || !(credential.refreshable || credential.assumed_end)) =>
            {
                Self::Incomplete { reason: "it has expired".to_owned() }
            }
            proof => proof,
        }
    }
}

impl Proof {
    /// Returns whether two proofs are of the same login, wherever its files are. An assumed end depends on when a file was
    /// written, so it is not compared.
    pub(crate) fn is_same_login(&self, other: &Self) -> bool {
        let given = |proof: &Self| match proof {
            Self::LoggedIn(credential) if credential.assumed_end => {
                Self::LoggedIn(Credential { expires_at: None, ..credential.clone() })
            }
            proof => proof.clone(),
        };
        given(self) == given(other)
    }
}

/// The facts from a credential file, without any of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credential {
    /// The email address of the account.
    pub email: Option<String>,
    /// The provider's own id for the account.
    pub subject: Option<String>,
    /// The expiry time of the access token, in Unix milliseconds.
    pub expires_at: Option<i64>,
    /// True if the file gives no end that can be read. `expires_at` is then one hour after the last change of the file.
    pub assumed_end: bool,
    /// The expiry time of the refresh token, in Unix milliseconds. After that, the user must log in again.
    pub login_deadline_at: Option<i64>,
    /// True if the CLI can renew the access token without the user.
    pub refreshable: bool,
    /// The time at which the access token was issued, in Unix milliseconds.
    pub issued_at: Option<i64>,
    /// The mark of the refresh token.
    pub refresh_mark: Option<TokenMark>,
}

/// Reads the state of a login from the directory's files. `dir` is the directory that the CLI's variable points to.
/// Blocks, but not for long: files are at most 1 MiB (64 MiB for a database, or for a settings file that names the
/// account). Symbolic links are not followed. Expiry times are not checked; see [`Proof::at`].
///
/// If there are several credential files, the first one that proves a login is used. If none does, the reason comes
/// from the first existing one.
pub fn prove(cli: &Cli, dir: &Path) -> Proof {
    cli.prove(dir, Reach::Bundle)
}

/// Like [`prove`], but for the user's own directory, which the CLI finds without its variable and some of whose files
/// may be elsewhere. There, symbolic links to files owned by the user or by root are followed. `dir` is the directory
/// to which the variable would point, as in [`ConfigDir::own`](crate::ConfigDir::own).
pub fn prove_own(cli: &Cli, dir: &Path) -> Proof {
    cli.prove(dir, Reach::Usual)
}

/// The login that a proof is about: its position in the registry's list, and the member in the file.
pub(crate) type Slot = Option<(usize, Option<String>)>;

/// Reads the files and returns the proof together with the login that it is about.
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

    /// Returns whether a credential file is there whose tokens are empty texts: the trace of a login that its provider
    /// refused. Blocks.
    #[must_use]
    pub fn is_emptied(&self, dir: &Path, reach: Reach) -> bool {
        let root = Root::reached(&self.config_dir, dir, reach);
        self.credential.iter().any(|file| {
            let found = document::read(file, &root).ok().flatten();
            let empty = |pointer: &String| {
                found.as_ref().and_then(|found| found.value.pointer(pointer))
                    == Some(&serde_json::Value::from(""))
            };
            file.requires.iter().any(empty)
        })
    }

    /// Returns the files that decide whether there is a login and that name its account. The last segment may contain
    /// `*`. `dir` is the directory to which the CLI's variable points, or would point. In the user's own directory, a
    /// file that is a symbolic link is followed in the list by the files to which it leads. Blocks.
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
                let source =
                    Source { file, name: &found.name, path: &found.path, document: &found.value, root };
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

/// The state of a directory's credentials at one point in time. Two fingerprints are equal if no credential has
/// changed, so a login that existed before never confirms a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint(Vec<(PathBuf, u64)>);

/// Takes the fingerprint of the directory's credentials. `dir` is the directory that the CLI's variable points to.
///
/// If a file proves a login, the fingerprint covers only that login: CLIs store counters and settings in the same file,
/// and changes to those do not mean a new login. Otherwise it covers every existing file completely.
pub fn fingerprint(cli: &Cli, dir: &Path) -> Fingerprint {
    let root = Root::named(&cli.config_dir, dir);
    let mut whole = Vec::new();
    for file in &cli.credential {
        let Ok(Some(found)) = document::read_any(file, &root) else { continue };
        let Found { path, name, bytes, value } = found;
        let read = |document| Source { file, name: &name, path: &path, document, root: &root }.read().ok();
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
