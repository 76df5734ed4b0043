//! Identity bundles, accounts, bindings and login sessions, in `SQLite` or `PostgreSQL`, with secrets sealed at rest.
//!
//! [`Store`] is the entry point. [`Store::open`] takes the database's [`url`], the keys of a [`secret::Keyring`], a
//! listener for [`Change`]s and the caller's clock. The other modules hold the values that its methods take and return.
//! The caller gives all times, in unix milliseconds. Nothing in this crate reads a clock, an environment variable or a
//! home directory. It knows no wire protocol and starts no process.
//!
//! # Use cases
//! Each method of [`Store`] is one use case and one transaction: it is applied as a whole or not at all, also when its
//! future is dropped. One writer at a time holds the database, in this process by a lock and between processes by the
//! database's own, so a use case reads, decides and writes without retries. Reads run beside it on connections of their
//! own. A statement waits for another process as long as [`StoreOptions::busy_timeout`] says.
//!
//! # Group commit
//! A commit costs a disk write, however much is in it. Small use cases that arrive close together (reports of status,
//! refreshes, profiles and audit rows) therefore share one transaction: each has a savepoint, and each returns after the
//! common commit. A use case that fails undoes its own part only; a commit that fails is an error for all of them.
//!
//! # Announcements
//! After a commit, and never before, the listener receives the transaction's changes in order and without duplicates. The
//! next writer waits until the listener returns, so the order of the calls is the order of the commits. A change names
//! what to read again and carries no data.
//!
//! # Sealed secrets
//! Secrets are sealed with the keyring's current key before they are written ([`secret`]). A box is bound to its table,
//! column, row and generation, so it opens in no other place. [`Store::rotate`] seals every secret again with a new key.
//!
//! # Audit log
//! Each use case that changes something writes rows into the audit log in its own transaction. A keyed hash chains every
//! row to the one before it, and both ends are signed; [`Store::check_audit`] finds a row that was changed, removed or
//! added by a writer without the key.
//!
//! # Leases
//! A refresh token may work once only. [`Store::begin_refresh`] gives one caller at a time, of all processes, the right to
//! ask the issuer, and writes that down before it returns ([`token::RefreshLease`]). A lease that ran out is taken over
//! once; after a second interruption only a new login helps, because the token may be used up.
//!
//! # Leftovers
//! Directories cannot be deleted in a transaction. The deletion of an account records its directory
//! ([`account::Leftover`]), and the caller removes it and then calls [`Store::forget_leftover`]. After a crash in between,
//! [`Store::leftovers`] still lists it.
//!
//! # Example
//! A store in twenty lines is in `examples/store.rs`.

#![warn(clippy::missing_errors_doc, missing_debug_implementations)]

// Its macros are used by the modules below.
#[macro_use]
mod authentic;

mod accounts;
mod bundles;
mod clients;
mod db;
mod error;
mod id;
mod instances;
mod model;
mod names;
mod operators;
mod pinned;
mod profiles;
pub mod secret;
mod sessions;
mod spelling;
mod store;
mod tokens;
mod tombstones;
mod upkeep;
pub mod url;
mod watches;

pub use error::{OpenError, StoreError};
pub use id::{
    AccountId, AgentId, BundleId, ClientTokenId, FlowId, InstanceId, InvalidId, ProfileId, ProviderId,
    SessionId, UserId,
};
pub use model::changes::{Announce, Change};
pub use model::{
    account, audit, bundle, client, instance, keeping, operator, profile, session, share, token, transfer,
    watch,
};
pub use names::{name as check_name, name_key, new_name as check_new_name};
pub use spelling::{is_invisible, shown, skeleton};
pub use store::claim::Claimant;
pub use store::{KnownDatabase, Store, StoreOptions};

/// The credentials to save, and those that a bundle launches with.
pub mod credential {
    pub use crate::accounts::logins::UncommittedLogin;
    pub use crate::model::credential::{BoundCredential, Credentials, KeyPlace};
    pub use crate::model::save::{
        AdoptedLogin, AdoptedLogins, DestinationBundle, LoginCredential, OwnLogin, PersonRule,
        ReplacedPerson, SaveApiKey, SaveLogin, SaveUserLogin, SavedCredential, SavedProfile,
    };
}

/// Inspection and maintenance of a database as a whole.
pub mod maintenance {
    pub use crate::authentic::census::{RowSetFault, SetFault};
    pub use crate::db::newest_schema;
    pub use crate::store::upgrade::SINCE as AUTHENTICATED_SINCE;
    pub use crate::upkeep::backup::{SMALL_FILE, copy_file, fold_log};
    pub use crate::upkeep::dump::dump;
    pub use crate::upkeep::inspect::{Contents, Inspection, KeyFit, inspect};
    pub use crate::upkeep::rotate::{Rotation, StoredKey, UnopenedSecret};
    pub use crate::upkeep::rows::{RowCheck, UnfitRow, deciding_columns};
    pub use crate::upkeep::service::Counts;
}

// The names that callers import from the root. New callers name the module.
#[doc(hidden)]
pub use self::compat::*;
mod compat {
    pub use crate::account::{
        Account, AccountEdit, AccountFilter, AccountKind, AccountList, AccountOrder, AccountPage,
        AccountPosition, AccountQuery, CorruptRow, DeletedAccount, Evidence, History, Leftover, Owner,
        SecretRef, Status, StatusReport, UnknownWord,
    };
    pub use crate::audit::{AuditCheck, AuditEntry, AuditFault, AuditFilter, AuditQuery, AuditRow};
    pub use crate::bundle::{
        Binding, Bundle, BundleEdit, DeletedBundle, NewBundle, UnboundPolicy, UnboundRule,
    };
    pub use crate::credential::{
        AdoptedLogin, AdoptedLogins, BoundCredential, Credentials, DestinationBundle, KeyPlace,
        LoginCredential, OwnLogin, PersonRule, ReplacedPerson, SaveApiKey, SaveLogin, SaveUserLogin,
        SavedCredential, SavedProfile,
    };
    pub use crate::instance::{Instance, InstanceFilter, NewInstance};
    pub use crate::keeping::{DeadlineNotice, Keeping, RefusedLogin};
    pub use crate::maintenance::{
        Contents, Counts, Inspection, KeyFit, Rotation, StoredKey, fold_log, inspect,
    };
    pub use crate::model::roots::Roots;
    pub use crate::operator::{ActiveForge, CommitOperator, OperatorToken, Promotion};
    pub use crate::profile::{
        CommitProfile, Credential, DeletedProfiles, Profile, ProfileCredential, ProfileFilter, ProfileList,
        ProfileOrder, ProfileScope, SaveProfileKey,
    };
    pub use crate::secret::{InvalidKeyId, Key, KeyError, KeyId, Keyring, SecretError};
    pub use crate::session::{
        LoginOwner, LoginSession, NewSession, SessionEnd, SessionEnding, SessionState, SessionUpdate,
    };
    pub use crate::share::{LONGEST_CHAIN, SharePolicy, ShareSource};
    pub use crate::token::{
        Authority, BaseUrl, CompletedRefresh, Consumer, DueRefresh, Endpoint, Expiry, ExpirySource,
        FailedRefresh, Identity, InvalidBaseUrl, Jitter, Life, LoginNotSaved, ParkLogin, ParkedLogin,
        ReceivedTokens, RefreshFailure, RefreshLease, RefreshReason, RefreshRequest, RefreshResponse,
        RefreshStart, RefreshState, RefreshWhy, SavedTokens, StoredTokens, Token, TokenSet, UnsavedLogin,
        back_off, lead,
    };
    pub use crate::transfer::{ImportedBundle, LeftOut, PortableAccount, PortableBundle};
    pub use crate::url::{DatabaseKind, DatabaseUrl, InvalidUrl};
}
