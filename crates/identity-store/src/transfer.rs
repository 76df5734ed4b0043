//! A bundle on its way from one database to another.

use secrecy::SecretString;

use crate::{AccountId, AccountKind, BundleId, ProviderId};

/// A bundle with the secrets of its accounts in the open. `Debug` shows none of them.
#[derive(Debug, Clone)]
pub struct PortableBundle {
    /// The id that it had. It is kept where it is free.
    pub id: BundleId,
    /// Its name, which is numbered where another bundle has it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The accounts, at most one of a provider.
    pub accounts: Vec<PortableAccount>,
}

/// An account whose secret lies in the database: an API key, or a token that does not change by being used.
#[derive(Debug, Clone)]
pub struct PortableAccount {
    /// The id that it had. It is kept where it is free.
    pub id: AccountId,
    /// The provider.
    pub provider: ProviderId,
    /// Whether it is a login or an API key.
    pub kind: AccountKind,
    /// Its name.
    pub name: String,
    /// Its second name.
    pub display_name: Option<String>,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// When the credential runs out, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// The secret itself.
    pub secret: SecretString,
}

/// An account that stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The provider.
    pub provider: ProviderId,
    /// Its name.
    pub name: String,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// Whether a new login is what the other side needs; otherwise it refers to a variable or a program of this machine.
    pub is_login: bool,
}

/// What an imported bundle became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its id.
    pub bundle: BundleId,
    /// Its name.
    pub name: String,
    /// Its accounts, in the order in which they were given.
    pub accounts: Vec<AccountId>,
}
