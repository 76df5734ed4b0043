//! Secrets at rest: the keys, and the boxes they seal.

mod key;
mod keyring;
mod seal;

pub use key::{InvalidKeyId, Key, KeyError, KeyId};
pub use keyring::Keyring;
pub use seal::SecretError;
pub(crate) use seal::{Cell, open, reseal, seal};
