//! The store: opening it, reading from it, and writing to it through one gate.

mod accounts;
mod adopt;
mod audit;
mod backup;
mod bundles;
mod chain;
mod check;
mod credentials;
mod group;
mod inspect;
mod instances;
mod keep;
mod key_saves;
mod lease;
mod ledger;
mod leftovers;
mod links;
mod login_texts;
mod logins;
mod operators;
mod pending;
mod profile_writes;
mod profile_rows;
mod profiles;
mod refresh;
mod removal;
mod rotate;
mod sealed;
mod service;
mod sessions;
mod sqlite_file;
mod status;
mod token_row;
mod tokens;
mod transfer;
mod work;

use std::sync::Arc;
use std::time::Duration;

pub use self::backup::fold_log;
use self::chain::ChainKey;
use self::credentials::CredentialQueue;
use self::group::Gate;
pub use self::inspect::{Contents, Inspection, KeyFit, inspect};
pub use self::logins::PendingLogin;
pub use self::rotate::{Rotation, StoredKey, Unopened};
pub use self::service::Counts;
use self::work::Work;
use crate::db::{Pools, Tx};
use crate::{Announce, DatabaseKind, DatabaseUrl, Keyring, OpenError, StoreError};

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
}

impl StoreOptions {
    /// Creates options with the default busy timeout of 5 seconds.
    pub fn new(url: DatabaseUrl, announce: Announce, now: i64) -> Self {
        Self { url, announce, now, busy_timeout: Duration::from_secs(5) }
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
    /// Held from the beginning of a write until its changes are announced, so that they are announced in order.
    gate: Arc<Gate>,
    credentials: CredentialQueue,
    /// The longest time that a writer waits at the gate, and that closing waits for a writer.
    patience: Duration,
}

impl Store {
    /// Opens the database, creates it if it is missing, and migrates its schema to the newest version.
    ///
    /// Nothing is written before the schema and the key are checked. A file that is not a database, a newer schema and
    /// a wrong key leave everything as it was.
    pub async fn open(options: StoreOptions, keyring: Keyring) -> Result<Self, OpenError> {
        let (pools, chain) = match options.url.path() {
            Some(path) => sqlite_file::open(path, &options, &keyring).await?,
            None => open_postgres(&options, &keyring).await?,
        };
        Ok(Self::over(options, keyring, pools, chain))
    }

    /// Opens a database that exists and is up to date, such as one that a daemon is serving. Opening writes nothing.
    pub async fn attach(options: StoreOptions, keyring: Keyring) -> Result<Self, OpenError> {
        let pools = match (options.url.path(), options.url.postgres()) {
            (Some(path), _) => sqlite_file::attach(path, &options, &keyring).await?,
            (None, Some(connect)) => Pools::postgres(connect, options.busy_timeout),
            (None, None) => unreachable!("a URL is a path or a server"),
        };
        match check::attach(&pools, &keyring).await {
            Ok(chain) => Ok(Self::over(options, keyring, pools, chain)),
            Err(error) => {
                pools.close().await;
                Err(error)
            }
        }
    }

    fn over(options: StoreOptions, keyring: Keyring, pools: Pools, chain: ChainKey) -> Self {
        let patience = options.busy_timeout * 2;
        let gate = Arc::new(Gate::new(pools.clone(), options.announce, chain.clone(), patience));
        let inner = Inner {
            pools,
            kind: options.url.kind(),
            keyring,
            chain,
            gate,
            credentials: CredentialQueue::default(),
            patience,
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

    /// Finishes the running writes, then closes every connection. Later calls fail with `Unavailable`.
    pub async fn close(&self) {
        // A holder of the gate ends with the timeouts of its statements. A stuck holder must not prevent the daemon
        // from ending.
        let gate = tokio::spawn(Arc::clone(&self.inner.gate).shut());
        let gate = tokio::time::timeout(self.inner.patience, gate).await;
        self.inner.pools.close().await;
        drop(gate);
    }

    /// Acquires a connection for one read.
    async fn read(&self) -> Result<Tx, StoreError> {
        self.inner.pools.read().await
    }

    /// Begins a transaction for several reads that must agree.
    async fn snapshot(&self) -> Result<Tx, StoreError> {
        let inner = Arc::clone(&self.inner);
        uncancelled(async move { inner.pools.snapshot().await }).await
    }

    /// Begins a use case that writes, in a transaction of its own. If it is dropped without [`Work::commit`], it
    /// changes nothing.
    async fn write(&self, now: i64) -> Result<Work, StoreError> {
        Ok(Work::new(self.inner.gate.alone().await?, now, Arc::clone(&self.actor)))
    }

    /// Begins a use case that may share its transaction with earlier ones. It sees their uncommitted writes, so no
    /// answer of it may be returned before [`Work::end`] or [`Work::commit`].
    async fn join(&self, now: i64) -> Result<Work, StoreError> {
        Ok(Work::new(self.inner.gate.join().await?, now, Arc::clone(&self.actor)))
    }

    /// Returns the key of the audit log's chain.
    fn chain(&self) -> &ChainKey {
        &self.inner.chain
    }

    /// Returns the keys that seal and open secrets.
    fn keyring(&self) -> &Keyring {
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

/// Begins a transaction on a task of its own, which ends with the timeouts of the pool and of the statement.
///
/// The database library forgets a transaction if its caller is dropped after `BEGIN` was sent. The connection would
/// return to the pool inside that transaction, with its locks. Here the `BEGIN` is completed, and an unwanted
/// transaction is rolled back like any other.
async fn uncancelled<T: Send + 'static>(
    begin: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(begin).await.map_err(|error| StoreError::Unavailable(error.into()))?
}

async fn open_postgres(options: &StoreOptions, keyring: &Keyring) -> Result<(Pools, ChainKey), OpenError> {
    let Some(connect) = options.url.postgres() else { unreachable!("a URL is a path or a server") };
    let pools = Pools::postgres(connect, options.busy_timeout);
    let mut tx = pools.read().await?;
    check::verify(&mut tx, pools.newest_schema(), keyring).await?;
    drop(tx);
    let chain = check::prepare(&pools, keyring, options.now).await?;
    Ok((pools, chain))
}
