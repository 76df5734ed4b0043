//! The store: opening it, reading from it, and the one way to write to it.

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
mod key_queue;
mod key_saves;
mod lease;
mod ledger;
mod leftovers;
mod links;
mod login_texts;
mod logins;
mod operators;
mod pending;
mod profile_puts;
mod profile_rows;
mod profiles;
mod queue;
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
use self::key_queue::KeyQueue;
pub use self::logins::PendingLogin;
pub use self::rotate::{Rotation, StoredKey, Unopened};
pub use self::service::Counts;
use self::work::Work;
use crate::db::{Pools, Tx};
use crate::{Announce, DatabaseKind, DatabaseUrl, Keyring, OpenError, StoreError};

/// What a store needs to open.
#[derive(Clone)]
pub struct StoreOptions {
    /// Where the database is.
    pub url: DatabaseUrl,
    /// Told what each transaction changed.
    pub announce: Announce,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
    /// How long a writer waits for another process that holds the database; 5 seconds unless set.
    pub busy_timeout: Duration,
}

impl StoreOptions {
    /// Options with the usual busy timeout of 5 seconds.
    pub fn new(url: DatabaseUrl, announce: Announce, now: i64) -> Self {
        Self { url, announce, now, busy_timeout: Duration::from_secs(5) }
    }
}

/// Identity bundles, accounts, bindings and login sessions. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// For whom this handle works; it stands in the audit log.
    actor: Arc<str>,
}

struct Inner {
    pools: Pools,
    kind: DatabaseKind,
    keyring: Keyring,
    chain: ChainKey,
    /// Held from the beginning of a write until its changes were announced, so that they are announced in order.
    gate: Arc<Gate>,
    keys: KeyQueue,
    credentials: CredentialQueue,
    /// How long a writer waits at the gate, and the end for a writer.
    patience: Duration,
}

impl Store {
    /// Opens the database, makes it when it is missing, and brings its schema up to date.
    ///
    /// Nothing is written before the schema is known to be ours and the key to be the database's: a file that is no
    /// database, a newer schema and a wrong key leave everything as it was.
    pub async fn open(options: StoreOptions, keyring: Keyring) -> Result<Self, OpenError> {
        let (pools, chain) = match options.url.path() {
            Some(path) => sqlite_file::open(path, &options, &keyring).await?,
            None => open_postgres(&options, &keyring).await?,
        };
        Ok(Self::over(options, keyring, pools, chain))
    }

    /// Opens a database that is there and up to date, such as one that a daemon is serving: opening writes nothing.
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
            keys: KeyQueue::default(),
            credentials: CredentialQueue::default(),
            patience,
        };
        Self { inner: Arc::new(inner), actor: chain::STORE.into() }
    }

    /// A handle to the same store that works for somebody else than the daemon itself: one or two words that stand
    /// in the audit log beside what is written through it.
    #[must_use]
    pub fn acting_as(&self, actor: impl Into<Arc<str>>) -> Self {
        Self { inner: Arc::clone(&self.inner), actor: actor.into() }
    }

    /// Which database this is.
    pub fn kind(&self) -> DatabaseKind {
        self.inner.kind
    }

    /// Finishes the writes that are under way, then ends every connection. Later calls fail with `Unavailable`.
    pub async fn close(&self) {
        // A holder of the gate ends by the timeouts of its statements; a stuck one must not keep the daemon from ending.
        let gate = tokio::spawn(Arc::clone(&self.inner.gate).shut());
        let gate = tokio::time::timeout(self.inner.patience, gate).await;
        self.inner.pools.close().await;
        drop(gate);
    }

    /// A connection for one read.
    async fn read(&self) -> Result<Tx, StoreError> {
        self.inner.pools.read().await
    }

    /// A transaction for several reads that must agree.
    async fn snapshot(&self) -> Result<Tx, StoreError> {
        let inner = Arc::clone(&self.inner);
        uncancelled(async move { inner.pools.snapshot().await }).await
    }

    /// Begins a use case that writes, in a transaction of its own; dropped without [`Work::commit`], it changes nothing.
    async fn write(&self, now: i64) -> Result<Work, StoreError> {
        Ok(Work::new(self.inner.gate.alone().await?, now, Arc::clone(&self.actor)))
    }

    /// Begins a use case that may share its transaction with those before it. It sees what they wrote although that is
    /// not committed yet, so nothing that it answers may leave before [`Work::end`] or [`Work::commit`].
    async fn join(&self, now: i64) -> Result<Work, StoreError> {
        Ok(Work::new(self.inner.gate.join().await?, now, Arc::clone(&self.actor)))
    }

    /// What chains the audit log.
    fn chain(&self) -> &ChainKey {
        &self.inner.chain
    }

    /// The keys that seal and open secrets.
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

/// Begins a transaction on a task of its own, which ends with the pool's and the statement's timeouts.
///
/// The database library forgets a transaction whose `BEGIN` was sent when its caller was dropped: the connection would go
/// back to the pool inside that transaction, with its locks. Finished here, an unwanted one is undone like any other.
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
