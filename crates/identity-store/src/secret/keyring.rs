//! The keys of a store: the current key that seals, and older keys that only open.

use std::fmt;
use std::sync::Arc;

use super::key::{Key, KeyId};
use super::mac::MacKey;

/// The current key that seals, and older keys that only open. Cheap to clone; `Debug` shows key ids.
#[derive(Clone)]
pub struct Keyring {
    /// The first key seals; the others only open.
    keys: Arc<[Key]>,
    /// The keys that authenticate rows, derived from `keys`, in the same order.
    macs: Arc<[MacKey]>,
}

impl Keyring {
    /// Creates a keyring of one key.
    pub fn from_key(key: Key) -> Self {
        Self::with_old(key, Vec::new())
    }

    /// Creates a keyring that seals with `key`, and opens secrets sealed with `key` or with one of `old`. Duplicate
    /// keys are dropped.
    pub fn with_old(key: Key, old: Vec<Key>) -> Self {
        let mut keys = vec![key];
        for key in old {
            if keys.iter().all(|known| known.id() != key.id()) {
                keys.push(key);
            }
        }
        let macs = keys.iter().map(MacKey::of).collect();
        Self { keys: keys.into(), macs }
    }

    /// Returns the id of the key that seals.
    pub fn key_id(&self) -> KeyId {
        self.current().id()
    }

    /// Returns the ids of the keys that only open.
    pub fn old_key_ids(&self) -> Vec<KeyId> {
        self.keys[1..].iter().map(Key::id).collect()
    }

    /// Returns the key that seals.
    pub(crate) fn current(&self) -> &Key {
        &self.keys[0]
    }

    /// Returns the place of the key with that id. The key that seals has the place 0.
    pub(crate) fn position(&self, id: KeyId) -> Option<usize> {
        self.keys.iter().position(|key| key.id() == id)
    }

    /// Returns the key in that place that authenticates rows.
    pub(crate) fn mac_key(&self, place: usize) -> &MacKey {
        &self.macs[place]
    }

    /// Returns the key with that id.
    pub(crate) fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter()).finish()
    }
}
