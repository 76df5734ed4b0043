//! Keys that come at the same time: they wait together, are written by the same statements, and have outcomes of their own.
//!
//! Whoever finds nobody waiting sends a writer to the gate. When it has its turn it takes along all who have come until
//! then. The writer is a task of its own, so a caller that goes away takes nothing from the others; its key is left out
//! if it has not been taken yet.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::Store;
use super::key_saves::KeySave;
use crate::error::Shared;
use crate::{Profile, StoreError};

/// The most keys of one turn.
const KEYS: usize = 64;

/// The keys that no writer has taken yet, in the order in which they came. While there are any, one writer is on its way.
#[derive(Default)]
pub(super) struct KeyQueue(Mutex<Vec<Waiting>>);

struct Waiting {
    save: KeySave,
    outcome: oneshot::Sender<Result<Profile, StoreError>>,
}

impl Waiting {
    fn tell(self, outcome: Result<Profile, StoreError>) {
        // Nobody may be there any more.
        let _ = self.outcome.send(outcome);
    }
}

impl KeyQueue {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Waiting>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a key; `true` when a writer is to be sent.
    fn push(&self, waiting: Waiting) -> bool {
        self.with(|queue| {
            queue.push(waiting);
            queue.len() == 1
        })
    }

    /// Takes what can be written in one turn; `true` when another writer is to be sent.
    fn take(&self) -> (Vec<Waiting>, bool) {
        self.with(|queue| {
            let (mut taken, mut left): (Vec<Waiting>, _) = (Vec::new(), Vec::new());
            for waiting in queue.drain(..).filter(|waiting| !waiting.outcome.is_closed()) {
                // Keys beside each other have an order, and the later one must see the earlier.
                let beside = |other: &Waiting| other.save.is_beside(&waiting.save);
                if taken.len() == KEYS || taken.iter().any(beside) {
                    left.push(waiting);
                } else {
                    taken.push(waiting);
                }
            }
            *queue = left;
            (taken, !queue.is_empty())
        })
    }
}

impl Store {
    /// Has a key written with those that come at the same time.
    pub(super) async fn queue_key(&self, save: KeySave) -> Result<Profile, StoreError> {
        let (outcome, told) = oneshot::channel();
        if self.inner.keys.push(Waiting { save, outcome }) {
            self.send_key_writer();
        }
        told.await.map_err(|gone| StoreError::Unavailable(gone.into()))?
    }

    fn send_key_writer(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            let turn = store.inner.gate.join().await;
            let (batch, more) = store.inner.keys.take();
            if more {
                store.send_key_writer();
            }
            match turn {
                Ok(_) if batch.is_empty() => {}
                Ok(turn) => {
                    let saves: Vec<_> = batch.iter().map(|waiting| &waiting.save).collect();
                    let done = store.write_keys(turn, &saves).await;
                    store.tell(batch, done);
                }
                Err(error) => store.tell(batch, Err(error)),
            }
        });
    }

    fn tell(&self, mut batch: Vec<Waiting>, done: Result<Vec<Profile>, StoreError>) {
        match done {
            Ok(profiles) => batch.into_iter().zip(profiles).for_each(|(one, profile)| one.tell(Ok(profile))),
            Err(error) if batch.len() == 1 => {
                if let Some(one) = batch.pop() {
                    one.tell(Err(error));
                }
            }
            Err(error @ (StoreError::Busy(_) | StoreError::Locked(_) | StoreError::Unavailable(_))) => {
                let error = Shared::from(error);
                for one in batch {
                    one.tell(Err(error.to_error()));
                }
            }
            // It may be the fault of one of them: each is written for itself.
            Err(_) => batch.into_iter().for_each(|one| self.send_key_alone(one)),
        }
    }

    fn send_key_alone(&self, one: Waiting) {
        let store = self.clone();
        tokio::spawn(async move {
            let done = match store.inner.gate.join().await {
                Ok(turn) => store.write_keys(turn, &[&one.save]).await,
                Err(error) => Err(error),
            };
            store.tell(vec![one], done);
        });
    }
}
