//! The provider registry: how each provider's CLI logs in, and how its service accepts an API key.
//!
//! The types of this room are the format of registry files, and their methods are pure. The room reads the shipped
//! entries and the operator's overlays, checks them together, and answers questions about an entry. It uses no other
//! room. Nothing here may start a process, read a CLI's file or know of a session.

mod address;
mod config_dir;
mod credential_file;
mod error;
mod forms;
mod host;
mod keep_alive;
mod key_home;
mod key_service;
mod keyring_mark;
mod load;
mod provider;
mod quota;
mod reach;
mod recipe;
mod reserved;
mod selection;
mod settings_file;
mod share;
mod token_endpoint;
mod validate;
mod variables;
mod versions;
mod who_am_i;

pub use address::base_url;
pub use config_dir::ConfigDir;
pub use credential_file::{CredentialFile, Expiry, ExpiryUnit, Format, SqliteValue, TextLocation};
pub use error::RegistryError;
pub use host::{Host, HostChoice, InvalidHost};
pub use keep_alive::{AppRequest, KeepAlive, KeepAliveBy, LockFile, Refusal};
pub use key_home::{KeyFile, KeyHome, MergeFormat, key_tail};
pub use key_service::{KeyService, OtherHosts, Pair, Probe};
pub use keyring_mark::KeyringMark;
pub use load::{Overlay, Registry};
pub use provider::{Check, Class, Cli, HelpText, PreparedFile, Provider, ScreenToken, System};
pub use quota::{QuotaLine, QuotaQuestion};
pub use reach::Reach;
pub use recipe::{Delivery, Paste, PasteForm, PasteShape, Pattern, Patterns, Recipe, Step, Terminal};
pub use selection::{Mode, Slot, SlotFallback, Template};
pub(crate) use settings_file::settings_of;
pub use settings_file::{SettingsFile, SettingsFormat, SettingsScope};
pub use share::{ShareFormat, ShareKind, ShareRule};
pub use token_endpoint::{TokenBody, TokenEndpoint};
pub use variables::{Variable, VariableClass, VariableRules, VariableScope, marked};
pub use versions::VersionRange;
pub use who_am_i::WhoAmI;

pub(crate) use address::is_loopback;
pub(crate) use key_home::{KEY_BASE, KEY_TAIL};
