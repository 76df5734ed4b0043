//! What a login or a key brings that shall be kept.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::{AccountId, BundleId, Evidence, KeyPlace, ProviderId, SessionId, Status};

/// The bundle that a login or a key shall go into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A bundle that exists.
    Existing(BundleId),
    /// A bundle that is made in the same transaction.
    New {
        /// Its id.
        id: BundleId,
        /// Its name; without one it is `<Provider> (<email>)`, `<Provider> (<subject>)` or `<Provider>`, made unique.
        name: Option<String>,
    },
}

/// What a login left behind. One account keeps to one form: a login of the other form is an account of its own.
#[derive(Debug, Clone)]
pub enum LoginCredential {
    /// The directory that the CLI wrote its credential into, absolute. The CLI owns the tokens.
    Directory(PathBuf),
    /// The credential itself, which the CLI has shown and not stored. It is sealed.
    Token(SecretString),
}

/// A confirmed login that shall be kept.
#[derive(Debug, Clone)]
pub struct SaveLogin {
    /// The login session that obtained it; it becomes `success` in the same transaction.
    pub session: Option<SessionId>,
    /// The bundle to bind it in.
    pub target: Target,
    /// The provider.
    pub provider: ProviderId,
    /// The provider's name for people, such as `Codex`; new bundles and accounts are named after it.
    pub provider_name: String,
    /// What the login left behind.
    pub credential: LoginCredential,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// The address of the service that the login is for, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// When the credential runs out, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// When only a new login helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
    /// What the login rests on.
    pub evidence: Evidence,
    /// Whether another person than before may take the account over.
    pub replace_identity: bool,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

impl SaveLogin {
    pub(crate) fn directory(&self) -> Option<&PathBuf> {
        match &self.credential {
            LoginCredential::Directory(dir) => Some(dir),
            LoginCredential::Token(_) => None,
        }
    }

    pub(crate) fn token(&self) -> Option<&SecretString> {
        match &self.credential {
            LoginCredential::Directory(_) => None,
            LoginCredential::Token(token) => Some(token),
        }
    }
}

/// An API key that shall be kept and bound.
#[derive(Debug, Clone)]
pub struct SaveApiKey {
    /// The bundle to bind it in.
    pub target: Target,
    /// The provider.
    pub provider: ProviderId,
    /// The provider's name for people; a new bundle is named after it.
    pub provider_name: String,
    /// The account's name; 1 to 100 characters.
    pub account_name: String,
    /// The key, or where it is.
    pub key: KeyPlace,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// What is known about the key.
    pub status: Status,
    /// Why, in words for people.
    pub status_reason: Option<String>,
    /// What the status rests on.
    pub evidence: Evidence,
    /// When the key was looked at, in unix milliseconds.
    pub checked_at: Option<i64>,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// What a saved login or key became. All of it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The bundle that binds the account.
    pub bundle: BundleId,
    /// The account.
    pub account: AccountId,
    /// Whether the bundle was made by this call.
    pub created_bundle: bool,
}

/// A login of the user's own, found where the user's CLI keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLogin {
    /// The provider.
    pub provider: ProviderId,
    /// The provider's name for people; the account is named after it.
    pub provider_name: String,
    /// The directory, absolute. It stays the user's.
    pub dir: PathBuf,
    /// The e-mail address that the files name.
    pub email: Option<String>,
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// When the credential runs out, in unix milliseconds; one that has run out already is `expired`.
    pub expires_at: Option<i64>,
    /// When only a new login helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
}

/// What became of the user's own logins.
#[derive(Debug)]
pub struct AdoptedLogins {
    /// Whether the bundle `default` was made for them.
    pub bundle_created: bool,
    /// What became of each, in the order in which they were given.
    pub outcomes: Vec<Result<AdoptedLogin, crate::StoreError>>,
}

/// A login of the user's own that the bundle `default` binds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedLogin {
    /// Its account.
    pub account: AccountId,
    /// Whether that account was there before.
    pub reused: bool,
}
