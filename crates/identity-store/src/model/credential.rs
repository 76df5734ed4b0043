//! The place where a key is kept, and the credentials that a bundle launches with.

use std::sync::Arc;

use secrecy::SecretString;

use crate::error::StoreError;
use crate::model::account::{Account, CorruptRow, SecretRef};

/// The place of an API key to keep.
#[derive(Debug, Clone)]
pub enum KeyPlace {
    /// The row of the account, where the key is sealed.
    Sealed(SecretString),
    /// The variable of this name in the daemon's environment.
    Env(String),
    /// An external secret manager: the program and its arguments.
    Command(Vec<String>),
}

impl KeyPlace {
    /// Returns the key itself, if it is given.
    pub(crate) fn sealed(&self) -> Option<&SecretString> {
        match self {
            Self::Sealed(key) => Some(key),
            Self::Env(_) | Self::Command(_) => None,
        }
    }

    /// Returns the secret reference for the account's row.
    pub fn reference(&self) -> SecretRef {
        match self {
            Self::Sealed(_) => SecretRef::Sealed,
            Self::Env(var) => SecretRef::Env { var: var.clone() },
            Self::Command(argv) => SecretRef::Command { argv: argv.clone() },
        }
    }
}

/// A bundle's accounts, and the rows that could not be read. Callers who ask at the same time share the accounts and
/// receive copies of the secrets.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The accounts, oldest first.
    pub held: Vec<BoundCredential>,
    /// The rows that were skipped.
    pub corrupt: Vec<CorruptRow>,
}

/// An account, and the secret in its row.
#[derive(Debug, Clone)]
pub struct BoundCredential {
    /// The account without its secret.
    pub account: Arc<Account>,
    /// The opened secret of the row; `None` if the secret is kept elsewhere.
    pub secret: Option<Result<SecretString, Arc<StoreError>>>,
}
