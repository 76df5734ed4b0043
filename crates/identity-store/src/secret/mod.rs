//! Secrets at rest: the keys, and the boxes that they seal.
//!
//! It uses no other room. It must not know a table or a column; the rooms above bind a box to its place.

mod key;
mod keyring;
mod mac;
mod seal;

pub use key::{InvalidKeyId, Key, KeyError, KeyId};
pub use keyring::Keyring;
pub(crate) use mac::is_current;
pub use mac::{authenticate, check_code};
pub(crate) use seal::reseal;
pub use seal::{Cell, SecretError, open, seal};
