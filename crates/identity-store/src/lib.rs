//! Identity bundles, accounts, bindings and login sessions, in `SQLite` or `PostgreSQL`, with secrets sealed at rest.
//!
//! [`Store`] is the whole of it: each method is one use case and one transaction, and what it changed is announced after
//! the commit. Times are unix milliseconds that the caller gives; nothing here reads a clock, an environment variable or
//! a home directory.

mod account;
mod bundle;
mod changes;
mod db;
mod error;
mod id;
mod instance;
mod names;
mod secret;
mod session;
mod store;

pub use account::{
    Account, AccountEdit, AccountFilter, AccountKind, AccountList, AdoptedLogin, AdoptedLogins, CorruptRow,
    DeletedAccount, Evidence, History, Leftover, LoginCredential, OwnLogin, Owner, SaveApiKey, SaveLogin,
    Saved, SecretRef, Status, StatusReport, Target, UnknownWord,
};
pub use bundle::{Binding, Bundle, BundleEdit, DeletedBundle, NewBundle};
pub use changes::{Announce, Change};
pub use db::{DatabaseKind, DatabaseUrl, InvalidUrl};
pub use error::{OpenError, StoreError};
pub use id::{AccountId, BundleId, InstanceId, InvalidId, ProviderId, SessionId};
pub use instance::{Instance, InstanceFilter, NewInstance};
pub use names::name as check_name;
pub use secret::{InvalidKeyId, Key, KeyError, KeyId, Keyring, SecretError};
pub use session::{LoginSession, NewSession, SessionEnd, SessionEnding, SessionState, SessionUpdate};
pub use store::{AuditEntry, Counts, PendingLogin, Store, StoreOptions};
