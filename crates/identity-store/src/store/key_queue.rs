//! Keys that come at the same time: they wait together, are written by the same statements, and have outcomes of their own.
//!
//! Whoever finds nobody waiting sends a writer to the gate. When it has its turn it takes along all who have come until
//! then. The writer is a task of its own, so a caller that goes away takes nothing from the others; its key is left out
//! if it has not been taken yet.

use super::Store;
use super::key_saves::KeySave;
use super::queue::{Queue, Waiting};
use crate::error::Shared;
use crate::{Profile, StoreError};

/// The most keys of one turn.
const KEYS: usize = 64;

pub(super) type KeyQueue = Queue<KeySave, Profile>;
type Key = Waiting<KeySave, Profile>;

impl Store {
    /// Has a key written with those that come at the same time.
    pub(super) async fn queue_key(&self, save: KeySave) -> Result<Profile, StoreError> {
        self.inner.keys.ask(save, || self.send_key_writer()).await
    }

    fn send_key_writer(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            let turn = store.inner.gate.join().await;
            // Keys beside each other have an order, and the later one must see the earlier.
            let (batch, more) = store.inner.keys.take(KEYS, KeySave::is_beside);
            if more {
                store.send_key_writer();
            }
            match turn {
                Ok(_) if batch.is_empty() => {}
                Ok(turn) => {
                    let saves: Vec<_> = batch.iter().map(|waiting| &waiting.asked).collect();
                    let done = store.write_keys(turn, &saves).await;
                    store.tell(batch, done);
                }
                Err(error) => store.tell(batch, Err(error)),
            }
        });
    }

    fn tell(&self, mut batch: Vec<Key>, done: Result<Vec<Profile>, StoreError>) {
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

    fn send_key_alone(&self, one: Key) {
        let store = self.clone();
        tokio::spawn(async move {
            let done = match store.inner.gate.join().await {
                Ok(turn) => store.write_keys(turn, &[&one.asked]).await,
                Err(error) => Err(error),
            };
            store.tell(vec![one], done);
        });
    }
}
