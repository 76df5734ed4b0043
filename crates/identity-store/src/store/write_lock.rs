//! The lock for writers: one use case at a time, with several use cases in one transaction if they arrive close
//! together.
//!
//! A commit costs a disk write, however much is in it. A use case that is done therefore hands its transaction on to
//! the next one at the lock. A task queued behind those that wait commits for all of them. A caller learns that its use
//! case is done only after that commit. A savepoint separates the use cases: one that fails or is cancelled undoes only
//! its own part.
//!
//! ```text
//!            alone, or the first                    the next one joins: SAVEPOINT
//!   lock ------------------------> use case -----> handed over -----> use case --+
//!                                     |                 ^  |                     |
//!                  dropped: ROLLBACK  v       done, or  |  |   its turn, or full |
//!                                   gone      ROLLBACK TO  v                     |
//!                                                 +-----+--COMMIT, announced     |
//!                                                       +------------------------+
//! ```
//!
//! A use case that joins sees rows of others that are not committed yet. All of them are committed or none, so its
//! writes are correct. A refusal that rests on such rows is returned only after the commit
//! ([`super::work::Work::end`]).

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::chain::ChainKey;
use super::ledger::Ledger;
use crate::authentic::census;
use crate::db::{Pools, Tx, uncancelled};
use crate::error::{CommonError, StoreError};
use crate::model::changes::Announce;

/// The maximum number of use cases in one transaction.
const MOST_MEMBERS: usize = 64;

/// The maximum age of a transaction that another use case may join. The first use case waits for its commit that long.
const LONGEST_AGE: Duration = Duration::from_millis(50);

/// The lock that writers pass one at a time, and the transaction that is open between two of them.
pub(crate) struct WriteLock {
    open: Arc<Mutex<Option<Group>>>,
    pools: Pools,
    announce: Announce,
    chain: ChainKey,
    /// The longest time that a writer waits for the lock.
    patience: Duration,
}

/// The right to write, and the transaction that others left open.
type WriteGuard = OwnedMutexGuard<Option<Group>>;

/// A transaction and its finished use cases. If it is dropped, it is rolled back and all of them have failed.
struct Group {
    tx: Tx,
    ledger: Ledger,
    done: usize,
    since: Instant,
    /// True if the transaction has a savepoint at the beginning of the current use case.
    marked: bool,
    /// The number of row changes at that savepoint.
    changes: usize,
    outcome: watch::Sender<Option<Result<(), CommonError>>>,
}

/// The next step of a transaction whose use case is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    HandOver,
    Commit,
}

fn next(done: usize, age: Duration) -> Next {
    if done < MOST_MEMBERS && age < LONGEST_AGE { Next::HandOver } else { Next::Commit }
}

/// One use case's turn in the transaction. If it is dropped, the work of the use case is undone.
pub(crate) struct WriteTurn {
    lock: Arc<WriteLock>,
    // `None` only after the end of the turn.
    open: Option<OpenTurn>,
}

struct OpenTurn {
    group: Group,
    // Declared after the transaction, so that the next writer is admitted after this one has ended.
    guard: WriteGuard,
}

/// The pending outcome of a transaction.
pub(crate) struct CommitOutcome(watch::Receiver<Option<Result<(), CommonError>>>);

impl WriteLock {
    pub(crate) fn new(pools: Pools, announce: Announce, chain: ChainKey, patience: Duration) -> Self {
        Self { open: Arc::default(), pools, announce, chain, patience }
    }

    /// Returns a turn in a new transaction, which holds no uncommitted work of others.
    pub(crate) async fn alone(self: &Arc<Self>) -> Result<WriteTurn, StoreError> {
        let (lock, mut guard) = (Arc::clone(self), self.enter().await?);
        uncancelled(async move {
            if let Some(group) = guard.take() {
                lock.commit(group).await;
            }
            lock.begin(guard).await
        })
        .await
    }

    /// Returns a turn in the open transaction, or in a new one.
    pub(crate) async fn join(self: &Arc<Self>) -> Result<WriteTurn, StoreError> {
        let (lock, mut guard) = (Arc::clone(self), self.enter().await?);
        uncancelled(async move {
            let Some(mut group) = guard.take() else { return lock.begin(guard).await };
            match group.mark().await {
                Ok(()) => Ok(WriteTurn { lock, open: Some(OpenTurn { group, guard }) }),
                Err(error) => {
                    group.fail(error).await;
                    lock.begin(guard).await
                }
            }
        })
        .await
    }

    /// Waits for the current writer, and commits the work that it left. No writer enters until the guard is dropped.
    /// The future must not be dropped before it ends.
    pub(crate) async fn commit_rest(self: Arc<Self>) -> impl Send + 'static {
        let mut guard = Arc::clone(&self.open).lock_owned().await;
        if let Some(group) = guard.take() {
            self.commit(group).await;
        }
        guard
    }

    async fn enter(&self) -> Result<WriteGuard, StoreError> {
        let guard = tokio::time::timeout(self.patience, Arc::clone(&self.open).lock_owned());
        guard.await.map_err(|elapsed| StoreError::Busy(elapsed.into()))
    }

    async fn begin(self: Arc<Self>, guard: WriteGuard) -> Result<WriteTurn, StoreError> {
        let group = Group {
            tx: self.pools.write().await?,
            ledger: Ledger::default(),
            done: 0,
            since: Instant::now(),
            marked: false,
            changes: 0,
            outcome: watch::Sender::new(None),
        };
        Ok(WriteTurn { lock: self, open: Some(OpenTurn { group, guard }) })
    }

    /// Writes what the use cases leave in the ledger, commits, announces the changes and notifies the callers: all or
    /// none of it.
    async fn commit(&self, group: Group) {
        let Group { mut tx, ledger, outcome, .. } = group;
        let written = match census::keep(&mut tx).await {
            Ok(()) => ledger.write(&mut tx, &self.chain).await,
            Err(error) => Err(error),
        };
        let done = match written {
            Ok(()) => self.pools.commit(tx).await,
            Err(error) => {
                tx.abandon().await;
                Err(error)
            }
        };
        if done.is_ok() && !ledger.changes().is_empty() {
            // The commit stands even if the listener panics, so the panic must not look like a failed write.
            let told = catch_unwind(AssertUnwindSafe(|| (self.announce)(ledger.changes())));
            if told.is_err() {
                tracing::error!("the listener for changes panicked");
            }
        }
        outcome.send_replace(Some(done.map_err(CommonError::from)));
    }
}

impl Group {
    /// Sets a savepoint where the next use case begins.
    async fn mark(&mut self) -> Result<(), StoreError> {
        let text =
            if self.marked { "RELEASE SAVEPOINT member; SAVEPOINT member" } else { "SAVEPOINT member" };
        self.tx.batch(text).await?;
        self.marked = true;
        self.changes = self.tx.changes.len();
        Ok(())
    }

    /// Rolls back the transaction and reports the error to the waiting callers.
    async fn fail(self, error: StoreError) {
        self.outcome.send_replace(Some(Err(error.into())));
        self.tx.abandon().await;
    }
}

impl WriteTurn {
    /// Ends the turn of a use case that succeeded. Its work is in the database when the outcome is settled.
    ///
    /// A caller may be dropped at any moment, for example when its client disconnects. The commit therefore runs on a
    /// task of its own, so that it cannot happen without its announcement. The task ends with the database's timeouts.
    /// [`crate::Store::close`] commits an open transaction and waits for the running commit.
    pub(crate) fn finish(mut self, ledger: Ledger) -> CommitOutcome {
        let Some(OpenTurn { mut group, mut guard }) = self.open.take() else {
            unreachable!("a turn ends once")
        };
        let lock = Arc::clone(&self.lock);
        let outcome = CommitOutcome(group.outcome.subscribe());
        group.ledger.extend(ledger);
        group.done += 1;
        match next(group.done, group.since.elapsed()) {
            Next::Commit => {
                tokio::spawn(async move {
                    lock.commit(group).await;
                    drop(guard);
                });
            }
            Next::HandOver => {
                let first = group.done == 1;
                *guard = Some(group);
                drop(guard);
                // This task queues behind the current waiters, which can join the transaction.
                if first {
                    tokio::spawn(async move { drop(lock.commit_rest().await) });
                }
            }
        }
        outcome
    }

    /// Returns the outcome of the other use cases whose work this one sees, if there are any.
    pub(crate) fn others(&self) -> Option<CommitOutcome> {
        let group = &self.open.as_ref()?.group;
        (group.done > 0).then(|| CommitOutcome(group.outcome.subscribe()))
    }
}

impl CommitOutcome {
    /// Waits until the transaction has ended.
    pub(crate) async fn settled(mut self) -> Result<(), StoreError> {
        match self.0.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(error))) => Err(error.to_error()),
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unavailable("the transaction was undone before its commit".into())),
        }
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        let Some(OpenTurn { mut group, mut guard }) = self.open.take() else { return };
        // Without a runtime the rollback of this part cannot run, so the whole group is undone.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            if group.done == 0 {
                group.tx.abandon().await;
            } else {
                match group.tx.batch("ROLLBACK TO SAVEPOINT member").await {
                    Ok(()) => {
                        group.tx.changes.truncate(group.changes);
                        *guard = Some(group);
                    }
                    Err(error) => group.fail(StoreError::Unavailable(error.into())).await,
                }
            }
            drop(guard);
        });
    }
}

impl Deref for WriteTurn {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        let Some(open) = &self.open else { unreachable!("a turn ends once") };
        &open.group.tx
    }
}

impl DerefMut for WriteTurn {
    fn deref_mut(&mut self) -> &mut Tx {
        let Some(open) = &mut self.open else { unreachable!("a turn ends once") };
        &mut open.group.tx
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_commits_when_full_or_old() {
        let young = Duration::ZERO;
        for (done, age, expected) in [
            (1, young, Next::HandOver),
            (MOST_MEMBERS - 1, young, Next::HandOver),
            (MOST_MEMBERS, young, Next::Commit),
            (1, LONGEST_AGE.saturating_sub(Duration::from_nanos(1)), Next::HandOver),
            (1, LONGEST_AGE, Next::Commit),
        ] {
            assert_eq!(next(done, age), expected, "{done} {age:?}");
        }
    }
}
