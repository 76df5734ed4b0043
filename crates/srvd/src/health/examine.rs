//! Check of one account: its credential is read and judged, and a new result is stored.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auth_spawner::{Cli, Proof, Provider, Reach, Registry, Shadow};
use identity_store::{
    Account, AccountId, DestinationBundle, Evidence, LoginCredential, PersonRule, SaveLogin, Status, Store,
    StoreError,
};
use tokio::sync::Semaphore;

use super::judge::{self, CredentialReading};
use super::reports::HealthReports;
use super::watch::{self, Watches};
use crate::base::clock::now;
use crate::base::host;
use crate::base::person::{Person, Sameness};
use crate::disk::identity_dir::{AccountDir, DirReading, IdentityDirs};

/// Maximum number of files that are read at once. The runtime has few threads for blocking work, and others need them
/// too.
const READERS: usize = 2;

/// Pauses before a file that could not be parsed is read again. Another process may be writing it.
const UNREADABLE: [Duration; 4] = [
    Duration::from_millis(30),
    Duration::from_millis(70),
    Duration::from_millis(200),
    Duration::from_millis(400),
];
/// Pauses before a file that is missing or holds no login is read again. It may be about to be replaced.
const GONE: [Duration; 1] = [Duration::from_millis(30)];

/// Checks accounts. A clone is a handle to the same examiner.
#[derive(Clone)]
pub(crate) struct Examiner(Arc<ExaminerState>);

struct ExaminerState {
    store: Store,
    registry: Registry,
    identities: IdentityDirs,
    watches: Mutex<Watches>,
    readers: Semaphore,
}

/// Maximum number of attempts to check an account that is written during the check.
const ATTEMPTS: u32 = 4;

/// The rule for storing a result that is not new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WritePolicy {
    /// Stores every result. A caller asked for the check, so the time of the check is news.
    Always,
    /// Stores changes only.
    News,
}

/// The result of a check.
#[derive(Debug)]
pub(crate) struct Examined {
    /// The account with its current status.
    pub account: Account,
    /// The time at which the status changes without any other event, in unix milliseconds.
    pub next: Option<i64>,
    /// True if changes of its files will be reported.
    pub heard: bool,
}

/// The result of reading the files of an account.
struct FilesRead {
    /// The proof of the login and a setting that takes its place, or the reason why the account may not use the directory.
    found: Result<(Proof, Option<Shadow>), String>,
    /// True if changes of the files will be reported.
    heard: bool,
}

impl Examiner {
    /// Creates an examiner. File system events about the accounts that it has checked are reported to this reports.
    pub(crate) fn new(
        store: Store,
        registry: Registry,
        identities: IdentityDirs,
        reports: HealthReports,
    ) -> Self {
        Self(Arc::new(ExaminerState {
            store,
            registry,
            identities,
            watches: Mutex::new(Watches::new(reports, watch::MOST)),
            readers: Semaphore::new(READERS),
        }))
    }

    /// Checks an account.
    ///
    /// # Errors
    /// The errors of the store.
    pub(crate) async fn examine(&self, id: &AccountId, write: WritePolicy) -> Result<Examined, StoreError> {
        let mut attempts = ATTEMPTS;
        loop {
            let account = self.0.store.account(id).await?;
            let (found, heard) = self.read(&account).await;
            let judged = judge::judge(&account, found, now());
            if write == WritePolicy::News && !judge::differs(&account, &judged.report) {
                return Ok(Examined { account, next: judged.next, heard });
            }
            match self.0.store.confirm_status(&account, judged.report, now()).await? {
                Some(account) => return Ok(Examined { account, next: judged.next, heard }),
                // The account was written during the check. The newer row takes precedence and is checked in turn.
                None if attempts > 1 => attempts -= 1,
                None => {
                    let account = self.0.store.account(id).await?;
                    return Ok(Examined { account, next: Some(now()), heard });
                }
            }
        }
    }

    /// Gives an adopted account the person whose login the user's own directory holds now. Any other account, and one
    /// whose directory holds no login, stays as it is.
    ///
    /// # Errors
    /// The errors of the store.
    pub(crate) async fn accept_person(&self, store: &Store, id: &AccountId) -> Result<(), StoreError> {
        let account = store.account(id).await?;
        let dir = AccountDir::of(&account).filter(|dir| dir.adopted);
        let provider = self.0.registry.provider(account.provider.as_str());
        let (Some(dir), Some(provider), Some(bundle)) = (dir, provider, account.bound_to.first()) else {
            return Ok(());
        };
        let read = self.0.identities.read(provider, &dir).await;
        let Ok(DirReading::Read { proof: Proof::LoggedIn(found), .. }) = read else { return Ok(()) };
        if Person::of(&account).compare(Person::in_files(&found)) != Sameness::Another {
            return Ok(());
        }
        let login = SaveLogin {
            session: None,
            target: DestinationBundle::Existing(bundle.clone()),
            provider: account.provider.clone(),
            provider_name: provider.display_name.clone(),
            credential: LoginCredential::Directory(dir.path),
            email: found.email,
            subject: found.subject,
            base_url: account.base_url.clone(),
            expires_at: found.expires_at,
            login_deadline_at: found.login_deadline_at,
            evidence: Evidence::File,
            person: PersonRule::Anyone,
            now: now(),
        };
        store.save_login(login).await.map(|_| ())
    }

    /// Stores an unknown status for an account whose check failed because of a bug in the daemon.
    ///
    /// # Errors
    /// The errors of the store.
    pub(super) async fn give_up(&self, id: &AccountId) -> Result<Account, StoreError> {
        let account = self.0.store.account(id).await?;
        self.0.store.set_status(id, judge::not_looked_at(&account, now()), now()).await
    }

    /// The store of the accounts.
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Locks the set of watched directories.
    pub(super) fn watches(&self) -> MutexGuard<'_, Watches> {
        self.0.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, account: &Account) -> (CredentialReading, bool) {
        let Some(dir) = AccountDir::of(account) else { return (CredentialReading::Row, true) };
        let known = self.0.registry.provider(account.provider.as_str());
        let Some(provider) = known.filter(|known| known.cli.is_some()) else {
            return (CredentialReading::NoCli, true);
        };
        let provider = host::provider_of(provider, account);
        let mut attempt = 0;
        loop {
            let FilesRead { found, heard } = self.prove(&account.id, &provider, &dir).await;
            let (proof, shadow) = match found {
                Ok(found) => found,
                Err(reason) => return (CredentialReading::Forbidden(reason), heard),
            };
            let Some(pause) = pauses(account.status, &proof).get(attempt) else {
                let keychain = has_keychain(&provider);
                return (CredentialReading::Directory { proof, shadow, keychain }, heard);
            };
            attempt += 1;
            tokio::time::sleep(*pause).await;
        }
    }

    /// Reads the files of an account. They are watched before they are read, so that no change in between is missed.
    async fn prove(&self, id: &AccountId, provider: &Arc<Provider>, dir: &AccountDir) -> FilesRead {
        // The semaphore is never closed.
        let _reader = self.0.readers.acquire().await;
        let (state, id) = (self.0.clone(), id.clone());
        let read = move |cli: &Cli, dir: &Path, reach: Result<Reach, String>| {
            let watched = reach.as_ref().map_or(Reach::Bundle, |reach| *reach);
            let files = || {
                let mut files = cli.login_files(dir, watched);
                files.extend(cli.settings_files(dir, watched));
                files
            };
            let heard = watch::arm(&state.watches, &id, files);
            FilesRead { found: reach.map(|reach| (cli.prove(dir, reach), cli.shadow(dir, reach))), heard }
        };
        let unread = || {
            let proof = Proof::Unreadable { reason: "its files could not be read".to_owned() };
            FilesRead { found: Ok((proof, None)), heard: false }
        };
        self.0.identities.visit(provider, dir, read).await.ok().flatten().unwrap_or_else(unread)
    }
}

/// Returns the pauses before a doubtful read is repeated. A read that is no worse than the known status is not
/// repeated.
fn pauses(known: Status, proof: &Proof) -> &'static [Duration] {
    let good = matches!(known, Status::Valid | Status::Expired);
    match proof {
        Proof::Unreadable { .. } if known != Status::Unknown => &UNREADABLE,
        Proof::Absent | Proof::Incomplete { .. } | Proof::InKeyring { .. } if good => &GONE,
        _ => &[],
    }
}

fn has_keychain(provider: &Provider) -> bool {
    provider.cli.as_ref().is_some_and(Cli::keeps_in_keychain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_is_read_again_only_when_it_would_worsen_the_status() {
        let unreadable = Proof::Unreadable { reason: "cred.json cannot be read".to_owned() };
        let incomplete = Proof::Incomplete { reason: "cred.json holds no login".to_owned() };
        for (known, proof, expected) in [
            (Status::Valid, &unreadable, 4),
            (Status::NeedsReauth, &unreadable, 4),
            (Status::Unknown, &unreadable, 0),
            (Status::Valid, &Proof::Absent, 1),
            (Status::Expired, &incomplete, 1),
            (Status::NeedsReauth, &Proof::Absent, 0),
            (Status::Valid, &Proof::LoggedIn(auth_spawner::Credential::default()), 0),
        ] {
            assert_eq!(pauses(known, proof).len(), expected, "{known} {proof:?}");
        }
        assert!(UNREADABLE.iter().sum::<Duration>() < Duration::from_secs(1));
    }
}
