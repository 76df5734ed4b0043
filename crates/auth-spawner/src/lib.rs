//! Drives the login commands of official command-line tools.
//!
//! A [`Registry`] (data, `config/providers`) describes how each provider's CLI logs in. A [`Spawner`] runs each login
//! as one actor: it opens the CLI on a pipe or a pseudo-terminal, reads its output, reports the address or the code
//! that a person needs, passes a pasted answer back, and ends the whole process tree. A login counts only when the
//! CLI's own credential file [proves](prove) it and the caller's [`Sink`] has committed it.
//!
//! This crate knows no wire protocol and no database. It reads neither the environment nor the clock: the owner of a
//! [`Spawner`] supplies both.

mod check;
mod credential;
mod decoder;
mod deliver;
mod directory;
mod elsewhere;
mod environment;
mod error;
mod guard;
mod host;
mod key_service;
mod lines;
mod locate;
mod logout;
mod machine;
mod matcher;
mod paste;
mod plain;
mod ports;
mod process;
mod proof;
mod provider;
mod reach;
mod recipe;
mod registry;
mod row;
mod screen;
mod secret_command;
mod selection;
mod session;
mod sink;
mod skim;
mod snapshot;
mod spawner;
mod table;
pub mod testing;
mod token;
mod token_endpoint;
mod transfer;
mod validate;
mod versions;

pub use credential::{Cell, CredentialFile, Expiry, ExpiryUnit, Format, Place};
pub use directory::prepare;
pub use elsewhere::Elsewhere;
pub use environment::ChildEnv;
pub use error::{NotLive, RegistryError, StartError, SubmitError};
pub use guard::{Guard, GuardCommand, watch_over};
pub use host::{Host, HostChoice, InvalidHost};
pub use key_service::{KeyService, OtherHosts, Pair, Probe, base_url};
pub use locate::{SHIM_HEAD, Version, VersionQuestion, candidates, is_program, is_shim, locate};
pub use logout::{Logout, LogoutError};
pub use ports::{Taken as HeldPort, all_taken as held_ports};
pub use process::leftover::{end_leftover, start_ticks};
pub use proof::{Credential, Fingerprint, Proof, fingerprint, prove, prove_own};
pub use provider::{Check, Class, Cli, ConfigDir, PreparedFile, Provider, ScreenToken, System};
pub use reach::Reach;
pub use recipe::{Delivery, Paste, PasteForm, PasteShape, Pattern, Patterns, Recipe, Step, Terminal};
pub use registry::{Overlay, Registry};
pub use secret_command::{NoSecret, SecretCommand};
pub use selection::{Mode, Otherwise, Slot, Template};
pub use sink::{ConfirmedLogin, SaveError, Saved, Sink};
pub use snapshot::{Failure, FailureKind, Snapshot, State};
pub use spawner::{Clock, LoginRequest, SpawnLimits, Spawner, SpawnerConfig};
pub use token::Token;
pub use token_endpoint::{TokenBody, TokenEndpoint};
pub use transfer::{Transfer, TransferError};
pub use versions::VersionRange;
