//! The login that the files of an account show.

use std::path::Path;
use std::sync::Arc;

use auth_spawner::{Cli, Credential, Proof, Provider, Reach};
use identity_store::Account;

use crate::base::person::{Person, Sameness};
use crate::disk::identity_dir::{AccountDir, DirReading, IdentityDirs};
use crate::wire::unfit;

/// The login that the files of an account show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// A login of the account's person.
    Login(Credential),
    /// A login of another person.
    AnotherPerson,
    /// The file is there, but its tokens are missing.
    Emptied,
    /// There is no file.
    Gone,
    /// The CLI keeps the login in the system's keychain, or may do so.
    Keychain,
    /// The files cannot be judged. The text is the reason.
    Unreadable(String),
}

/// Reads the login of an account.
pub(super) async fn look(
    identities: &IdentityDirs,
    account: &Account,
    provider: &Arc<Provider>,
    dir: &AccountDir,
) -> Seen {
    let keychain = provider.cli.as_ref().is_some_and(Cli::keeps_in_keychain);
    match identities.read(provider, dir).await {
        Ok(DirReading::Read { .. }) if keychain => Seen::Keychain,
        Ok(DirReading::Read { proof: Proof::Incomplete { .. }, .. })
            if is_emptied(identities, provider, dir).await =>
        {
            Seen::Emptied
        }
        Ok(DirReading::Read { proof: proof @ Proof::LoggedIn(_), shadow: Some(shadow), .. }) => {
            match of_proof(account, proof) {
                Seen::Login(_) => Seen::Unreadable(unfit::reason(&shadow)),
                other => other,
            }
        }
        Ok(DirReading::Read { proof, .. }) => of_proof(account, proof),
        Ok(DirReading::Forbidden(_)) => {
            Seen::Unreadable("its directory does not belong to the daemon".to_owned())
        }
        Ok(DirReading::NoCli) => Seen::Unreadable("the registry has no CLI that can use it".to_owned()),
        Err(_) => Seen::Unreadable("its directory could not be read".to_owned()),
    }
}

/// Returns whether the file is there and its tokens are empty texts. A CLI that logs out removes them.
async fn is_emptied(identities: &IdentityDirs, provider: &Arc<Provider>, dir: &AccountDir) -> bool {
    let look = |cli: &Cli, dir: &Path, reach: Result<Reach, String>| {
        reach.is_ok_and(|reach| cli.is_emptied(dir, reach))
    };
    identities.visit(provider, dir, look).await.ok().flatten().unwrap_or_default()
}

/// Converts a proof.
fn of_proof(account: &Account, proof: Proof) -> Seen {
    match proof {
        Proof::LoggedIn(found)
            if Person::of(account).compare(Person::in_files(&found)) == Sameness::Another =>
        {
            Seen::AnotherPerson
        }
        Proof::LoggedIn(found) => Seen::Login(found),
        Proof::Absent | Proof::Incomplete { .. } => Seen::Gone,
        Proof::InKeyring { .. } => Seen::Keychain,
        Proof::Unreadable { reason } => Seen::Unreadable(reason),
    }
}

impl Seen {
    /// The login of the account's person.
    pub(super) fn login(&self) -> Option<&Credential> {
        match self {
            Self::Login(found) => Some(found),
            _ => None,
        }
    }
}
