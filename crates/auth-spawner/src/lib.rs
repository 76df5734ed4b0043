//! Runs the login commands of official command-line tools (CLIs) until the login is proven.
//!
//! This crate knows nothing about wire protocols or databases. It reads neither the environment nor the clock: the
//! owner of a [`Spawner`] supplies both.
//!
//! # Theory of operation
//!
//! A login passes through these stages, each in a separate room below `src`:
//!
//! 1. **Registry.** A [`Registry`] is data (`config/providers`, and the operator's [`Overlay`]s). A [`Provider`]
//!    defines its [`Cli`], the CLI's directory, the files that prove a login, and its [`Recipe`]s.
//! 2. **Recipe.** A [`Recipe`] is one way to log in: the arguments, the kind of terminal, the [`Patterns`] to look for
//!    in the output, and the format of a pasted answer. It depends on the CLI's version ([`VersionQuestion`]).
//! 3. **Process.** [`Spawner::start`] admits the login, takes a [`fingerprint`] of the directory's credentials and
//!    starts the CLI in a new process group, on pipes or on a pseudo-terminal. Its environment is an explicit list
//!    ([`ChildEnv`]) and contains the session's mark.
//! 4. **Terminal text.** The bytes become lines: line feeds separate them on a pipe, and a sparse model of the screen
//!    yields them on a terminal. Memory is bounded, and the result does not depend on how the stream is split.
//! 5. **Findings.** Each line is matched against the recipe's patterns: a URL, a device code, a prompt, a denial, a
//!    failure, a credential. A finding is only a hint; it proves nothing.
//! 6. **Machine.** A state machine without clock or I/O turns findings, pasted answers, the CLI's exit and the deadline
//!    into the next [`State`] and its effects. The session applies the effects and publishes a [`Snapshot`].
//! 7. **Proof.** When the CLI reports a login, exits, or changes its files, the files must [`prove`] a login whose
//!    fingerprint differs from the earlier one, and the CLI's check command must not contradict it.
//! 8. **Sink.** The caller's [`Sink`] commits the proven login. Only then does the session become [`State::Success`].
//!
//! A pasted answer ([`Spawner::submit`]) must match the URL that this login has shown. It is typed into the CLI or sent
//! to the CLI's own callback.
//!
//! # Ending a process tree
//!
//! When a login ends, its process group receives SIGTERM and, after a grace period, SIGKILL. Then every descendant is
//! killed, whatever its group, as is every process whose environment contains the session's mark. The session ends only
//! after that. If the daemon itself dies, the [`Guard`] does the same: it is a small process that is told about each
//! session through a pipe before the CLI starts, and that acts when the pipe breaks. The next daemon ends anything left
//! over with [`end_leftover`].
//!
//! # Blocking work
//!
//! Sessions read and write files in blocking tasks owned by the spawner. [`Spawner::shutdown`] cancels all logins and
//! waits for every task. Functions that access files and are not `async` are documented as blocking.
//!
//! # Example
//!
//! `examples/login.rs` drives a scripted CLI through a login until it is proven.

mod answer;
mod findings;
mod keep_alive;
mod login;
mod logout;
mod process;
mod proof;
mod registry;
mod secret_command;
mod terminal;
pub mod testing;
mod transfer;
mod who_am_i;

// The registry: providers and their CLIs, recipes, key services.
pub use registry::{
    AppRequest, Check, Class, Cli, ConfigDir, CredentialFile, Delivery, Expiry, ExpiryUnit, Format, HelpText,
    Host, HostChoice, InvalidHost, KeepAlive, KeepAliveBy, KeyFile, KeyHome, KeyService, KeyringMark,
    LockFile, MergeFormat, Mode, OtherHosts, Overlay, Pair, Paste, PasteForm, PasteShape, Pattern, Patterns,
    PreparedFile, Probe, Provider, QuotaLine, QuotaQuestion, Reach, Recipe, Refusal, Registry, RegistryError,
    ScreenToken, SettingsFile, SettingsFormat, SettingsScope, ShareFormat, ShareKind, ShareRule, Slot,
    SlotFallback, SqliteValue, Step, System, Template, Terminal, TextLocation, TokenBody, TokenEndpoint,
    Variable, VariableClass, VariableRules, VariableScope, VersionRange, WhoAmI, base_url, key_tail, marked,
};
// Processes: programs, their environment, the guard, and processes left running by an earlier daemon.
pub use process::{
    ChildEnv, Guard, GuardCommand, HeldPort, KeyValues, Names, PortHolder, ProcessIdentity, RunEnd,
    SHIM_HEAD, Version, VersionQuestion, end_leftover, held_ports, is_marked, is_program, is_shim, locate,
    login_path, names_in, prepare, prepare_key, programs, start_ticks, watch_over,
};
// The proof of a login from a CLI's files.
pub use proof::{
    Credential, Fingerprint, LockSeen, Proof, Shadow, ShadowCause, TokenMark, fingerprint, prove, prove_own,
    read_document,
};
// Logins, their pasted answers and their sink.
pub use answer::SubmitError;
pub use findings::{Recorded, Recording, Recordings, Token, names_network};
pub use login::{
    Advice, Clock, ConfirmedLogin, Failure, FailureKind, LoginRequest, NotLive, ReplacedPerson, SaveError,
    Saved, Sink, Snapshot, SpawnLimits, Spawner, SpawnerConfig, StartError, State,
};
// Operations other than logging in.
pub use keep_alive::{CliAnswer, Limits, LoginCommand, QuotaWindow, RenewalRun};
pub use logout::{Logout, LogoutError};
pub use secret_command::{SecretCommand, SecretError};
pub use transfer::{Transfer, TransferError};
pub use who_am_i::{Identity, WhoAmICommand};
