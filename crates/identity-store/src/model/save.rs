//! Logins and keys to keep, and the results of keeping them.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::id::{AccountId, BundleId, ProfileId, ProviderId, SessionId};
use crate::model::account::{Evidence, Owner, Status};
use crate::model::credential::KeyPlace;
use crate::model::session::LoginOwner;

/// The bundle that a login or a key is bound in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationBundle {
    /// A bundle that exists.
    Existing(BundleId),
    /// A bundle to create in the same transaction.
    New {
        /// The id of the new bundle.
        id: BundleId,
        /// The name of the new bundle. Without one it is `<Provider> (<email>)`, `<Provider> (<subject>)` or
        /// `<Provider>`, made unique.
        name: Option<String>,
    },
}

/// The credential that a login produced. An account keeps its form: a login of the other form becomes a separate
/// account.
#[derive(Debug, Clone)]
pub enum LoginCredential {
    /// The absolute path of the directory that the CLI wrote its credential into. The CLI owns the tokens.
    Directory(PathBuf),
    /// The credential itself, which the CLI printed but did not store. It is sealed.
    Token(SecretString),
}

/// The persons whose login may replace the login of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonRule {
    /// Only the account's own person. Both must be known.
    Same,
    /// Anyone who is not known to be another person.
    NotAnother,
    /// Anyone.
    Anyone,
}

/// The persons of a login that replaced another person's, by email address or the provider's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedPerson {
    /// The person of the account before.
    pub former: String,
    /// The person of the account now.
    pub present: String,
}

/// A confirmed login to keep.
#[derive(Debug, Clone)]
pub struct SaveLogin {
    /// The login session that obtained the credential. It becomes `success` in the same transaction.
    pub session: Option<SessionId>,
    /// The bundle to bind the account in.
    pub target: DestinationBundle,
    /// The provider of the login.
    pub provider: ProviderId,
    /// The provider's name for people, such as `Codex`. New bundles and accounts are named after it.
    pub provider_name: String,
    /// The credential that the login produced.
    pub credential: LoginCredential,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// The address of the service that the login is for, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// Time when the credential expires, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// Time from which only a new login helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
    /// The source of the login's status.
    pub evidence: Evidence,
    /// The persons whose login may replace the account's credential.
    pub person: PersonRule,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// A confirmed login of a user to keep as a profile.
#[derive(Debug, Clone)]
pub struct SaveUserLogin {
    /// The login session that obtained the credential. It becomes `success` in the same transaction.
    pub session: Option<SessionId>,
    /// The user and the agent of the profile.
    pub owner: LoginOwner,
    /// The provider of the login.
    pub provider: ProviderId,
    /// The provider's name for people. A new account is named after it.
    pub provider_name: String,
    /// The credential that the login produced.
    pub credential: LoginCredential,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// The address of the service that the login is for, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// Time when the credential expires, in unix milliseconds.
    pub expires_at: Option<i64>,
    /// Time from which only a new login helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
    /// The source of the login's status.
    pub evidence: Evidence,
    /// The persons whose login may replace the account's credential.
    pub person: PersonRule,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// The result of saving a user's login. All of it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedProfile {
    /// The profile.
    pub profile: ProfileId,
    /// The account that holds the credential.
    pub account: AccountId,
    /// The persons, if the login replaced that of another person.
    pub replaced: Option<ReplacedPerson>,
}

/// The facts of a login that becomes an account.
pub(crate) struct LoginFacts<'a> {
    pub(crate) owner: Owner,
    pub(crate) provider: &'a ProviderId,
    pub(crate) provider_name: &'a str,
    pub(crate) credential: &'a LoginCredential,
    pub(crate) email: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) base_url: Option<&'a str>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) login_deadline_at: Option<i64>,
    pub(crate) evidence: Evidence,
    pub(crate) person: PersonRule,
    pub(crate) now: i64,
}

macro_rules! facts {
    ($login:ident, $owner:expr) => {
        LoginFacts {
            owner: $owner,
            provider: &$login.provider,
            provider_name: &$login.provider_name,
            credential: &$login.credential,
            email: $login.email.as_deref(),
            subject: $login.subject.as_deref(),
            base_url: $login.base_url.as_deref(),
            expires_at: $login.expires_at,
            login_deadline_at: $login.login_deadline_at,
            evidence: $login.evidence,
            person: $login.person,
            now: $login.now,
        }
    };
}

impl SaveLogin {
    pub(crate) fn facts(&self) -> LoginFacts<'_> {
        facts!(self, Owner::Bundle)
    }
}

impl SaveUserLogin {
    pub(crate) fn facts(&self) -> LoginFacts<'_> {
        facts!(self, Owner::User)
    }
}

impl LoginFacts<'_> {
    pub(crate) fn directory(&self) -> Option<&PathBuf> {
        match self.credential {
            LoginCredential::Directory(dir) => Some(dir),
            LoginCredential::Token(_) => None,
        }
    }

    pub(crate) fn token(&self) -> Option<&SecretString> {
        match self.credential {
            LoginCredential::Directory(_) => None,
            LoginCredential::Token(token) => Some(token),
        }
    }
}

/// An API key to keep and bind.
#[derive(Debug, Clone)]
pub struct SaveApiKey {
    /// The bundle to bind the account in.
    pub target: DestinationBundle,
    /// The provider that accepts the key.
    pub provider: ProviderId,
    /// The provider's name for people. A new bundle is named after it.
    pub provider_name: String,
    /// The account's name; 1 to 100 characters.
    pub account_name: String,
    /// The key, or its place.
    pub key: KeyPlace,
    /// The service's address, when it is not the provider's usual one.
    pub base_url: Option<String>,
    /// The e-mail address that the provider reported.
    pub email: Option<String>,
    /// The known status of the key.
    pub status: Status,
    /// The reason for the status, as text for people.
    pub status_reason: Option<String>,
    /// The source of the status.
    pub evidence: Evidence,
    /// Time when the key was checked, in unix milliseconds.
    pub checked_at: Option<i64>,
    /// The caller's clock, in unix milliseconds.
    pub now: i64,
}

/// The result of saving a login or a key. All of it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCredential {
    /// The bundle that binds the account.
    pub bundle: BundleId,
    /// The account that holds the credential.
    pub account: AccountId,
    /// True if this call created the bundle.
    pub created_bundle: bool,
    /// The persons, if the login replaced that of another person.
    pub replaced: Option<ReplacedPerson>,
}

/// A login of the user's own, found in the directory of the user's CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLogin {
    /// The provider of the login.
    pub provider: ProviderId,
    /// The provider's name for people. The account is named after it.
    pub provider_name: String,
    /// The absolute path of the directory. The user still owns it.
    pub dir: PathBuf,
    /// The e-mail address in the CLI's files.
    pub email: Option<String>,
    /// The provider's own id of the person.
    pub subject: Option<String>,
    /// Time when the credential expires, in unix milliseconds. A credential whose time has passed is `expired`.
    pub expires_at: Option<i64>,
    /// Time from which only a new login helps, in unix milliseconds.
    pub login_deadline_at: Option<i64>,
}

/// The result of adopting the user's own logins.
#[derive(Debug)]
pub struct AdoptedLogins {
    /// True if this call created the bundle `default`.
    pub bundle_created: bool,
    /// The result for each login, in the order in which they were given.
    pub outcomes: Vec<Result<AdoptedLogin, crate::StoreError>>,
}

/// A login of the user's own that the bundle `default` now binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedLogin {
    /// The account of the login.
    pub account: AccountId,
    /// True if the account existed before.
    pub reused: bool,
}
