//! A bundle in transfer from one database to another.

use secrecy::SecretString;

use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::AccountKind;

/// A bundle with the unsealed secrets of its accounts. `Debug` shows none of them.
#[derive(Debug, Clone)]
pub struct PortableBundle {
    /// The id in the source database. It is kept if it is free.
    pub id: BundleId,
    /// The bundle's name. A number is added if another bundle has the same name.
    pub name: String,
    /// The bundle's description.
    pub description: String,
    /// The accounts, at most one per provider.
    pub accounts: Vec<PortableAccount>,
}

/// An account whose secret is in the database: an API key, or a token that does not change when it is used.
#[derive(Debug, Clone)]
pub struct PortableAccount {
    /// The id in the source database. It is kept if it is free.
    pub id: AccountId,
    /// The provider that accepts the credential.
    pub provider: ProviderId,
    /// The kind of the account: a login or an API key.
    pub kind: AccountKind,
    /// The account's name.
    pub name: String,
    /// The account's second name.
    pub display_name: Option<String>,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// Time when the credential expires, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// The secret itself, unsealed.
    pub secret: SecretString,
}

/// An account that is not transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The provider of the account.
    pub provider: ProviderId,
    /// The account's name.
    pub name: String,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// True if the target needs a new login. Otherwise the account refers to a variable or a program of this machine.
    pub is_login: bool,
}

/// The result of importing a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedBundle {
    /// The id of the new bundle.
    pub bundle: BundleId,
    /// The name of the new bundle.
    pub name: String,
    /// The new accounts, in the order in which they were given.
    pub accounts: Vec<AccountId>,
}
