//! Drives the login commands of official command-line tools.
//!
//! A [`Registry`] (data, `config/providers`) describes how each provider's CLI logs in. A [`Spawner`] runs each login
//! as one actor: it opens the CLI on a pipe or a pseudo-terminal, reads its output, reports the address or the code
//! that a person needs, passes a pasted answer back, and ends the whole process tree. A login counts only when the
//! CLI's own credential file [proves](prove) it and the caller's [`Sink`] has committed it.
//!
//! This crate knows no wire protocol and no database. It reads neither the environment nor the clock: the owner of a
//! [`Spawner`] supplies both.

mod answer;
mod findings;
mod login;
mod logout;
mod process;
mod proof;
mod registry;
mod secret_command;
mod terminal;
pub mod testing;
mod transfer;

// The registry: providers and their CLIs, recipes, key services.
pub use registry::{
    Check, Class, Cli, ConfigDir, CredentialFile, Delivery, Expiry, ExpiryUnit, Format, Host, HostChoice,
    InvalidHost, KeyService, KeyringMark, Mode, OtherHosts, Overlay, Pair, Paste, PasteForm, PasteShape,
    Pattern, Patterns, PreparedFile, Probe, Provider, Reach, Recipe, Registry, RegistryError, ScreenToken,
    Slot, SlotFallback, SqliteValue, Step, System, Template, Terminal, TextLocation, TokenBody,
    TokenEndpoint, VersionRange, base_url,
};
// Processes: programs, their environment, the guard, and what an earlier daemon left running.
pub use process::{
    ChildEnv, Guard, GuardCommand, HeldPort, PortHolder, ProcessIdentity, SHIM_HEAD, Version,
    VersionQuestion, end_leftover, held_ports, is_program, is_shim, locate, prepare, programs, start_ticks,
    watch_over,
};
// The proof that a CLI's files give.
pub use proof::{Credential, Fingerprint, Proof, fingerprint, prove, prove_own};
// Logins, their answers and their sink.
pub use answer::SubmitError;
pub use findings::Token;
pub use login::{
    Clock, ConfirmedLogin, Failure, FailureKind, LoginRequest, NotLive, SaveError, Saved, Sink, Snapshot,
    SpawnLimits, Spawner, SpawnerConfig, StartError, State,
};
// Operations beside a login.
pub use logout::{Logout, LogoutError};
pub use secret_command::{SecretCommand, SecretError};
pub use transfer::{Transfer, TransferError};
