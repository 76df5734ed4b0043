//! The open store below all use cases: opening a database, reading from it, and writing to it through one lock.
//!
//! [`Store`] is the handle that every use case is a method of. A use case that writes begins a [`work::Work`], which holds
//! its turn in a transaction ([`write_lock`]) and collects its audit rows and changes ([`ledger`]). The room may use the
//! database, the model, errors, ids and secrets. A statement about bundles, accounts, tokens or profiles must not be here,
//! except for the rows that every database begins with ([`check`]).

pub(crate) mod chain;
pub(crate) mod check;
pub(crate) mod claim;
pub(crate) mod credential_queue;
pub(crate) mod ledger;
mod objects;
mod sqlite_file;
pub(crate) mod upgrade;
pub(crate) mod work;
mod write_lock;

use std::sync::Arc;
use std::time::Duration;

use self::chain::ChainKey;
use self::check::Prepared;
use self::claim::{Claim, Claimant};
use self::credential_queue::CredentialQueue;
use self::work::Work;
use self::write_lock::WriteLock;
use crate::authentic::{TABLES, census};
use crate::db::{Pools, Tx, uncancelled};
use crate::error::{OpenError, StoreError};
use crate::model::account::Account;
use crate::model::changes::Announce;
use crate::model::roots::Roots;
use crate::secret::Keyring;
use crate::url::{DatabaseKind, DatabaseUrl, Location};

/// The options for opening a store.
#[derive(Clone)]
pub struct StoreOptions {
    /// The URL of the database.
    pub url: DatabaseUrl,
    /// The listener for the changes of each transaction.
    pub announce: Announce,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
    /// The longest time that a writer waits for another process that holds the database; 5 seconds by default.
    pub busy_timeout: Duration,
    /// The process that must be the only one that serves the database; `None` to share it with others.
    pub claimant: Option<Claimant>,
    /// The caller's knowledge of the database from an earlier start. A database that does not agree with it is not
    /// opened, and none is created in its place.
    pub known: Option<KnownDatabase>,
    /// The directories that references to logins are stored relative to. Without them, absolute paths are stored and
    /// returned as they are.
    pub roots: Option<Roots>,
}

/// The identity of a database, and whether its rows are authenticated. The caller keeps it outside of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDatabase {
    /// The identity, which a copy of the database shares.
    pub id: String,
    /// True once all rows are authenticated. From then on a row without authentication is corrupt.
    pub authenticated: bool,
    /// True once the rows were counted. From then on a row that is missing is reported.
    pub counted: bool,
}

impl StoreOptions {
    /// Creates options with the default busy timeout of 5 seconds.
    pub fn new(url: DatabaseUrl, announce: Announce, now: i64) -> Self {
        Self {
            url,
            announce,
            now,
            busy_timeout: Duration::from_secs(5),
            known: None,
            roots: None,
            claimant: None,
        }
    }

    /// Sets the directories that references to logins are stored relative to.
    #[must_use]
    pub fn rooted(self, roots: Roots) -> Self {
        Self { roots: Some(roots), ..self }
    }
}

/// Identity bundles, accounts, bindings and login sessions. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// The actor of this handle, for the audit log.
    actor: Arc<str>,
}

struct Inner {
    pools: Pools,
    kind: DatabaseKind,
    keyring: Keyring,
    chain: ChainKey,
    database: KnownDatabase,
    /// Held from the beginning of a write until its changes are announced, so that they are announced in order.
    lock: Arc<WriteLock>,
    credentials: CredentialQueue,
    /// The longest time that a writer waits for the lock, and that closing waits for a writer.
    patience: Duration,
    roots: Option<Roots>,
    /// Held until the store is closed.
    claim: tokio::sync::RwLock<Option<Claim>>,
}

impl Store {
    /// Opens the database, creates it if it is missing, and migrates its schema to the newest version.
    ///
    /// Nothing is written before the schema and the key are checked. A file that is not a database, a newer schema and
    /// a wrong key leave everything as it was.
    ///
    /// # Errors
    /// [`OpenError`] with the reason. The database is as it was before.
    pub async fn open(options: StoreOptions, keyring: Keyring) -> Result<Self, OpenError> {
        let claim = match &options.claimant {
            Some(claimant) => {
                if let Location::Sqlite(path) = options.url.location() {
                    sqlite_file::check_known(path, &options)?;
                    sqlite_file::make_directory(path)?;
                }
                Some(Claim::take(options.url.location(), claimant).await?)
            }
            None => None,
        };
        let (pools, prepared) = match options.url.location() {
            Location::Sqlite(path) => sqlite_file::open(path, &options, &keyring).await?,
            Location::Postgres(connect) => {
                let pools = Pools::postgres(connect, options.busy_timeout, &keyring);
                let prepared = open_postgres(&pools, &options, &keyring).await;
                (pools.clone(), close_if_failed(&pools, prepared).await?)
            }
        };
        Ok(Self::over(options, keyring, pools, prepared, claim))
    }

    /// Checks that this process still is the only one that serves the database, after a restart of the server for
    /// example. It does nothing without a claimant.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process serves the database now; another error if the server does not answer.
    pub async fn keep_claim(&self) -> Result<(), OpenError> {
        match &*self.inner.claim.read().await {
            Some(claim) => claim.keep().await,
            None => Ok(()),
        }
    }

    /// Opens a database that exists and is up to date, such as one that a daemon is serving. Opening writes nothing.
    ///
    /// # Errors
    /// As for [`Store::open`], and [`OpenError::SchemaOlder`] if the schema is not up to date. A file that does not
    /// exist is [`OpenError::CannotCreate`].
    pub async fn attach(options: StoreOptions, keyring: Keyring) -> Result<Self, OpenError> {
        let pools = match options.url.location() {
            Location::Sqlite(path) => sqlite_file::attach(path, &options, &keyring).await?,
            Location::Postgres(connect) => Pools::postgres(connect, options.busy_timeout, &keyring),
        };
        let prepared = check::attach(&pools, &keyring, options.known.as_ref()).await;
        let prepared = close_if_failed(&pools, prepared).await?;
        Ok(Self::over(options, keyring, pools, prepared, None))
    }

    fn over(
        options: StoreOptions,
        keyring: Keyring,
        pools: Pools,
        prepared: Prepared,
        claim: Option<Claim>,
    ) -> Self {
        let Prepared { chain, database } = prepared;
        let patience = options.busy_timeout * 2;
        let lock = Arc::new(WriteLock::new(pools.clone(), options.announce, chain.clone(), patience));
        let inner = Inner {
            pools,
            kind: options.url.kind(),
            keyring,
            chain,
            database,
            lock,
            credentials: CredentialQueue::default(),
            patience,
            roots: options.roots,
            claim: tokio::sync::RwLock::new(claim),
        };
        Self { inner: Arc::new(inner), actor: chain::STORE.into() }
    }

    /// Returns a handle to the same store for another actor than the daemon itself. The actor is one or two words,
    /// which the audit log records with each write through the handle.
    #[must_use]
    pub fn acting_as(&self, actor: impl Into<Arc<str>>) -> Self {
        Self { inner: Arc::clone(&self.inner), actor: actor.into() }
    }

    /// Returns the kind of the database.
    pub fn kind(&self) -> DatabaseKind {
        self.inner.kind
    }

    /// Returns the identity of the database, for [`StoreOptions::known`] of a later start.
    pub fn database(&self) -> &KnownDatabase {
        &self.inner.database
    }

    /// Finishes the running writes, then closes every connection. Later calls fail with `Unavailable`.
    pub async fn close(&self) {
        // A holder of the lock ends with the timeouts of its statements. A stuck holder must not prevent the daemon
        // from ending.
        let guard = tokio::spawn(Arc::clone(&self.inner.lock).commit_rest());
        let guard = tokio::time::timeout(self.inner.patience, guard).await;
        self.inner.pools.close().await;
        drop(guard);
        *self.inner.claim.write().await = None;
    }

    /// Acquires a connection for one read.
    pub(crate) async fn read(&self) -> Result<Tx, StoreError> {
        self.inner.pools.read().await
    }

    /// Returns the error for a row that was not found: `Corrupt` if another program deleted it.
    pub(crate) async fn absent(&self, table: usize, id: &str, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::NotFound { .. }) {
            return error;
        }
        let Ok(mut tx) = self.snapshot().await else { return error };
        match census::is_deleted(&mut tx, table, [id, ""]).await {
            Ok(true) => StoreError::corrupt(
                TABLES[table].what,
                id,
                &"it was deleted by a program without the encryption key",
            ),
            _ => error,
        }
    }

    /// Begins a transaction for several reads that must agree.
    pub(crate) async fn snapshot(&self) -> Result<Tx, StoreError> {
        let inner = Arc::clone(&self.inner);
        uncancelled(async move { inner.pools.snapshot().await }).await
    }

    /// Begins a use case that writes, in a transaction of its own. If it is dropped without `Work::commit`, it
    /// changes nothing.
    pub(crate) async fn write(&self, now: i64) -> Result<Work, StoreError> {
        Ok(Work::new(self.inner.lock.alone().await?, now, Arc::clone(&self.actor)))
    }

    /// Begins a use case that may share its transaction with earlier ones. It sees their uncommitted writes, so no
    /// answer of it may be returned before [`Work::end`] or [`Work::commit`].
    pub(crate) async fn join(&self, now: i64) -> Result<Work, StoreError> {
        Ok(Work::new(self.inner.lock.join().await?, now, Arc::clone(&self.actor)))
    }

    /// Returns the pools of the database, for work on the database as a whole.
    pub(crate) fn pools(&self) -> &Pools {
        &self.inner.pools
    }

    /// Returns the callers who wait for credentials.
    pub(crate) fn credential_queue(&self) -> &CredentialQueue {
        &self.inner.credentials
    }

    /// Returns the key of the audit log's chain.
    pub(crate) fn chain(&self) -> &ChainKey {
        &self.inner.chain
    }

    /// Returns the directories that references to logins are stored relative to.
    pub(crate) fn roots(&self) -> Option<&Roots> {
        self.inner.roots.as_ref()
    }

    /// Returns an account with the present path of its directory. Inside the store, an account has the stored form.
    pub(crate) fn located(&self, account: Account) -> Account {
        match self.roots() {
            Some(roots) => Account { secret_ref: roots.located(account.secret_ref), ..account },
            None => account,
        }
    }

    /// Returns the keys that seal and open secrets.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.inner.keyring
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("kind", &self.inner.kind).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

async fn open_postgres(
    pools: &Pools,
    options: &StoreOptions,
    keyring: &Keyring,
) -> Result<Prepared, OpenError> {
    let mut tx = pools.read().await?;
    check::verify(&mut tx, pools.newest_schema(), keyring, options.known.as_ref()).await?;
    drop(tx);
    check::prepare(pools, keyring, options.now).await
}

async fn close_if_failed<T>(pools: &Pools, opened: Result<T, OpenError>) -> Result<T, OpenError> {
    if opened.is_err() {
        pools.close().await;
    }
    opened
}
