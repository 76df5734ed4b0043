//! Where a key is kept, and what a bundle launches with.

use std::sync::Arc;

use secrecy::SecretString;

use crate::{Account, CorruptRow, SecretRef, StoreError};

/// Where an API key is that shall be kept.
#[derive(Debug, Clone)]
pub enum KeyPlace {
    /// Here: it is sealed in its account's row.
    Sealed(SecretString),
    /// In this variable of the daemon's environment.
    Env(String),
    /// In an external secret manager: the program and its arguments.
    Command(Vec<String>),
}

impl KeyPlace {
    /// The key itself, where it is given.
    pub(crate) fn sealed(&self) -> Option<&SecretString> {
        match self {
            Self::Sealed(key) => Some(key),
            Self::Env(_) | Self::Command(_) => None,
        }
    }

    /// What the account's row says of it.
    pub fn reference(&self) -> SecretRef {
        match self {
            Self::Sealed(_) => SecretRef::Sealed,
            Self::Env(var) => SecretRef::Env { var: var.clone() },
            Self::Command(argv) => SecretRef::Command { argv: argv.clone() },
        }
    }
}

/// A bundle's accounts, and the rows that could not be read. Those who ask at the same time are given the same accounts,
/// and copies of their secrets.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The accounts, oldest first.
    pub held: Vec<Held>,
    /// The rows that were skipped.
    pub corrupt: Vec<CorruptRow>,
}

/// An account and what its row holds of its secret.
#[derive(Debug, Clone)]
pub struct Held {
    /// The account.
    pub account: Arc<Account>,
    /// The secret that is sealed in the row, opened; `None` where it is somewhere else.
    pub secret: Option<Result<SecretString, Arc<StoreError>>>,
}
