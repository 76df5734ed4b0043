//! Identity bundles, accounts, bindings and login sessions, in `SQLite` or `PostgreSQL`, with secrets sealed at rest.
//!
//! [`Store`] is the entry point. Each method is one use case, which is applied as a whole or not at all. Its changes
//! are announced after the commit. The caller gives all times, in unix milliseconds. Nothing in this crate reads a
//! clock, an environment variable or a home directory.

mod account;
mod audit;
mod bundle;
mod changes;
mod credential;
mod db;
mod error;
mod id;
mod instance;
mod names;
mod operator;
mod profile;
mod save;
mod secret;
mod session;
mod store;
mod token;
mod transfer;
mod url;

pub use account::{
    Account, AccountEdit, AccountFilter, AccountKind, AccountList, CorruptRow, DeletedAccount, Evidence,
    History, Leftover, Owner, SecretRef, Status, StatusReport, UnknownWord,
};
pub use audit::{AuditCheck, AuditEntry, AuditFault, AuditFilter, AuditRow};
pub use bundle::{Binding, Bundle, BundleEdit, DeletedBundle, NewBundle};
pub use changes::{Announce, Change};
pub use credential::{Credentials, Held, KeyPlace};
pub use error::{OpenError, StoreError};
pub use id::{
    AccountId, AgentId, BundleId, FlowId, InstanceId, InvalidId, ProfileId, ProviderId, SessionId, UserId,
};
pub use instance::{Instance, InstanceFilter, NewInstance};
pub use names::name as check_name;
pub use operator::{ActiveForge, CommitOperator, OperatorToken};
pub use profile::{
    Candidate, CommitProfile, Credential, DeletedProfiles, Profile, ProfileFilter, ProfileList, ProfileScope,
    SaveProfileKey,
};
pub use save::{
    AdoptedLogin, AdoptedLogins, LoginCredential, OwnLogin, SaveApiKey, SaveLogin, Saved, Target,
};
pub use secret::{InvalidKeyId, Key, KeyError, KeyId, Keyring, SecretError};
pub use session::{LoginSession, NewSession, SessionEnd, SessionEnding, SessionState, SessionUpdate};
pub use store::{
    Contents, Counts, Inspection, KeyFit, PendingLogin, Rotation, Store, StoreOptions, StoredKey, Unopened,
    fold_log, inspect,
};
pub use token::{
    Authority, BaseUrl, Begun, Completed, Consumer, Due, Endpoint, Expiry, ExpirySource, Failed, Identity,
    InvalidBaseUrl, Jitter, Kept, Life, Park, Pending, Received, RefreshFailure, RefreshLease, RefreshReason,
    RefreshRequest, RefreshState, RefreshWhy, Refreshed, StoredTokens, Token, TokenSet, Unsaved,
    UnsavedLogin, back_off, lead,
};
/// The sealed boxes alone, without a database. [`Store`] seals and opens the stored secrets.
pub mod sealing {
    pub use crate::secret::{Cell, open, seal};
}

pub use transfer::{Imported, LeftOut, PortableAccount, PortableBundle};
pub use url::{DatabaseKind, DatabaseUrl, InvalidUrl};
