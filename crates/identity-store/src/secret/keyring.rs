//! The keys a store works with: one that seals, and older ones that still open.

use std::fmt;
use std::sync::Arc;

use super::{Key, KeyId};

/// The key that seals, and older keys that only open. Cheap to clone; `Debug` shows key ids.
#[derive(Clone)]
pub struct Keyring {
    /// The first key seals.
    keys: Arc<[Key]>,
}

impl Keyring {
    /// A keyring of one key.
    pub fn from_key(key: Key) -> Self {
        Self::with_old(key, Vec::new())
    }

    /// A keyring that seals with `key`, and also opens what one of `old` sealed. A key that occurs twice counts once.
    pub fn with_old(key: Key, old: Vec<Key>) -> Self {
        let mut keys = vec![key];
        for key in old {
            if keys.iter().all(|known| known.id() != key.id()) {
                keys.push(key);
            }
        }
        Self { keys: keys.into() }
    }

    /// The id of the key that seals.
    pub fn key_id(&self) -> KeyId {
        self.current().id()
    }

    /// The ids of the keys that only open.
    pub fn old_key_ids(&self) -> Vec<KeyId> {
        self.keys[1..].iter().map(Key::id).collect()
    }

    /// The key that seals.
    pub(crate) fn current(&self) -> &Key {
        &self.keys[0]
    }

    /// The key of that id.
    pub(crate) fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter()).finish()
    }
}
