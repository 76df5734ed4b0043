//! One use case that writes: its transaction, what it changed, and the one place from which changes are announced.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::chain::ChainKey;
use super::ledger::Ledger;
use crate::db::Tx;
use crate::{Announce, Change, StoreError};

/// For whom a use case works, and whom it tells.
#[derive(Clone)]
pub(crate) struct Context {
    /// Told of the changes.
    pub(crate) announce: Announce,
    /// Stands in the audit log.
    pub(crate) actor: Arc<str>,
    /// What chains the audit log.
    pub(crate) chain: ChainKey,
}

/// A transaction under way. Dropped, it is undone.
pub(crate) struct Work {
    pub(crate) tx: Tx,
    pub(crate) now: i64,
    pub(crate) context: Context,
    pub(crate) ledger: Ledger,
    // Declared after the transaction, so that the next writer is let in after this one has ended.
    gate: OwnedMutexGuard<()>,
}

impl Work {
    pub(crate) fn new(tx: Tx, now: i64, context: Context, gate: OwnedMutexGuard<()>) -> Self {
        Self { tx, now, context, ledger: Ledger::default(), gate }
    }

    /// Remembers a change for after the commit.
    pub(crate) fn changed(&mut self, change: Change) {
        self.ledger.changed(change);
    }

    /// Commits, then announces.
    ///
    /// A caller may be dropped at any moment, such as when its client hangs up. The commit therefore runs on a task of
    /// its own: it cannot happen without its announcement. The task ends with the database's timeouts, and
    /// [`crate::Store::close`] waits for it at the gate that it holds.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.ledger.write(&mut self.tx, &self.context.chain, self.now).await?;
        let Self { tx, ledger, context: Context { announce, .. }, gate, .. } = self;
        let finish = tokio::spawn(async move {
            let _gate = gate;
            tx.commit().await?;
            if !ledger.changes().is_empty() {
                // The commit stands whatever the listener does, so its panic must not look like a failed write.
                let told = catch_unwind(AssertUnwindSafe(|| announce(ledger.changes())));
                if told.is_err() {
                    tracing::error!("the listener for changes panicked");
                }
            }
            Ok(())
        });
        finish.await.map_err(|error| StoreError::Unavailable(error.into()))?
    }
}
