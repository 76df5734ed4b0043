//! One use case that writes: its transaction, what it changed, and the one place from which changes are announced.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::OwnedMutexGuard;

use super::chain::{self, ChainKey, End, Link};
use crate::changes::Changes;
use crate::db::{Tx, sql};
use crate::{Actor, Announce, Change, StoreError};

/// How many rows the `events` table keeps; older ones go.
const EVENTS_KEPT: i64 = 10_000;

/// Old events are looked for once in so many.
const PRUNE_EVERY: i64 = 256;

/// For whom a use case works, and whom it tells.
#[derive(Clone)]
pub(crate) struct Context {
    /// Told of the changes.
    pub(crate) announce: Announce,
    /// Stands in the audit log.
    pub(crate) actor: Actor,
    /// What chains the audit log.
    pub(crate) chain: ChainKey,
}

/// A transaction under way. Dropped, it is undone.
pub(crate) struct Work {
    pub(crate) tx: Tx,
    pub(crate) now: i64,
    pub(crate) context: Context,
    /// The end of the audit log as this transaction has made it; none before its first row.
    pub(crate) head: Option<Link>,
    changes: Changes,
    // Declared after the transaction, so that the next writer is let in after this one has ended.
    gate: OwnedMutexGuard<()>,
}

impl Work {
    pub(crate) fn new(tx: Tx, now: i64, context: Context, gate: OwnedMutexGuard<()>) -> Self {
        Self { tx, now, context, head: None, changes: Changes::default(), gate }
    }

    /// Remembers a change for after the commit.
    pub(crate) fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Commits, then announces.
    ///
    /// A caller may be dropped at any moment, such as when its client hangs up. The commit therefore runs on a task of
    /// its own: it cannot happen without its announcement. The task ends with the database's timeouts, and
    /// [`crate::Store::close`] waits for it at the gate that it holds.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.write_events().await?;
        if let Some(head) = &self.head {
            chain::sign(&mut self.tx, &self.context.chain, End::Head, head).await?;
        }
        let Self { tx, changes, context: Context { announce, .. }, gate, .. } = self;
        let finish = tokio::spawn(async move {
            let _gate = gate;
            tx.commit().await?;
            if !changes.as_slice().is_empty() {
                // The commit stands whatever the listener does, so its panic must not look like a failed write.
                let told = catch_unwind(AssertUnwindSafe(|| announce(changes.as_slice())));
                if told.is_err() {
                    tracing::error!("the listener for changes panicked");
                }
            }
            Ok(())
        });
        finish.await.map_err(|error| StoreError::Unavailable(error.into()))?
    }

    /// Writes the changes into the `events` table, which numbers them for readers in other processes.
    async fn write_events(&mut self) -> Result<(), StoreError> {
        for change in self.changes.as_slice() {
            let json = change.to_json().map_err(|error| StoreError::Database(error.into()))?;
            let (seq,) = sql!(
                one,
                (i64,),
                &mut self.tx,
                "INSERT INTO events (at, change) VALUES ($1, $2) RETURNING seq",
                self.now,
                json.as_str(),
            )?;
            if seq % PRUNE_EVERY == 0 {
                sql!(run, &mut self.tx, "DELETE FROM events WHERE seq <= $1", seq - EVENTS_KEPT)?;
            }
        }
        Ok(())
    }
}
