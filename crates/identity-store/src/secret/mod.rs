//! Secrets at rest: the keys, and the boxes that they seal.
//!
//! It uses no other room. It must not know a table or a column; the rooms above bind a box to its place.

mod key;
mod keyring;
mod seal;

pub use key::{InvalidKeyId, Key, KeyError, KeyId};
pub use keyring::Keyring;
pub(crate) use seal::reseal;
pub use seal::{Cell, SecretError, open, seal};
