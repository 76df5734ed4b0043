//! A queue for keys that arrive at the same time. They are written by the same statements, and each has an outcome of
//! its own.
//!
//! The first caller in an empty queue sends a writer to the gate. When the writer has its turn, it takes all keys
//! queued until then. The writer is a task of its own, so a cancelled caller does not affect the others. The key of a
//! cancelled caller is left out if it has not been taken yet.

use super::Store;
use super::key_saves::KeySave;
use super::queue::{Queue, Waiting};
use crate::error::Shared;
use crate::{Profile, StoreError};

/// The maximum number of keys in one turn.
const KEYS: usize = 64;

pub(super) type KeyQueue = Queue<KeySave, Profile>;
type Key = Waiting<KeySave, Profile>;

impl Store {
    /// Queues a key, to be written together with those that arrive at the same time.
    pub(super) async fn queue_key(&self, save: KeySave) -> Result<Profile, StoreError> {
        self.inner.keys.ask(save, || self.send_key_writer()).await
    }

    fn send_key_writer(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            let turn = store.inner.gate.join().await;
            // Keys of one user, agent and provider have an order, and the later one must see the earlier.
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
            // One of the keys may be the cause, so each is written in a turn of its own.
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
