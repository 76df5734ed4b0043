//! Drives the login commands of official command-line tools (CLIs) to a proven login.
//!
//! This crate knows no wire protocol and no database. It reads neither the environment nor the clock: the owner of a
//! [`Spawner`] supplies both.
//!
//! # Theory of operation
//!
//! A login passes these stations, each in a room of its own below `src`:
//!
//! 1. **Registry.** A [`Registry`] is data (`config/providers`, and the operator's [`Overlay`]s). A [`Provider`] names its
//!    [`Cli`], the CLI's directory, the files that prove a login, and its [`Recipe`]s.
//! 2. **Recipe.** A [`Recipe`] is one way to log in: the arguments, the kind of terminal, the [`Patterns`] of the output,
//!    and the form of a pasted answer. It depends on the CLI's version ([`VersionQuestion`]).
//! 3. **Process.** [`Spawner::start`] admits the login, takes the [`fingerprint`] of the directory's credentials and
//!    starts the CLI in a process group of its own, on pipes or on a pseudo-terminal. Its environment is a list
//!    ([`ChildEnv`]) and carries the session's mark.
//! 4. **Terminal text.** The bytes become lines: from a pipe by line feeds, from a terminal by a sparse model of the
//!    screen. Memory is bounded, and the result does not depend on where the stream is cut.
//! 5. **Findings.** Each line is compared with the recipe's patterns: an address, a device code, a prompt, a refusal, a
//!    failure, a credential. A finding is a hint and proves nothing.
//! 6. **Machine.** A state machine without clock and I/O turns findings, pasted answers, the end of the CLI and the
//!    deadline into the next [`State`] and its effects. The session applies them and publishes a [`Snapshot`].
//! 7. **Proof.** When the CLI reports a login, ends, or changes its files, the files must [`prove`] a login whose
//!    fingerprint differs from the one before, and the CLI's check command must not object.
//! 8. **Sink.** The caller's [`Sink`] commits the proven login. Only then does the session become [`State::Success`].
//!
//! A pasted answer ([`Spawner::submit`]) must belong to the address that this login has shown. It is typed into the CLI,
//! or sent to the CLI's own callback.
//!
//! # The end of a process tree
//!
//! At the end of a login, its group gets TERM and after a grace KILL. Then every descendant is killed, in whatever group
//! it is, and every process whose environment carries the session's mark. The session ends only after that. If the
//! daemon itself ends for any reason, the [`Guard`] does the same: a small process that learns of each session through a
//! pipe before the CLI starts, and acts when the pipe breaks. The
//! next daemon ends any rest with [`end_leftover`].
//!
//! # Blocking work
//!
//! Sessions read and write files in blocking tasks that belong to the spawner. [`Spawner::shutdown`] cancels all logins
//! and waits for every task. Functions that are not `async` and touch files say that they block.
//!
//! # Example
//!
//! `examples/login.rs` drives a scripted CLI to a proven login.

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
    VersionQuestion, end_leftover, held_ports, is_program, is_shim, locate, login_path, prepare, programs,
    start_ticks, watch_over,
};
// The proof that a CLI's files give.
pub use proof::{Credential, Fingerprint, Proof, fingerprint, prove, prove_own};
// Logins, their answers and their sink.
pub use answer::SubmitError;
pub use findings::{Token, names_network};
pub use login::{
    Clock, ConfirmedLogin, Failure, FailureKind, LoginRequest, NotLive, SaveError, Saved, Sink, Snapshot,
    SpawnLimits, Spawner, SpawnerConfig, StartError, State,
};
// Operations beside a login.
pub use logout::{Logout, LogoutError};
pub use secret_command::{SecretCommand, SecretError};
pub use transfer::{Transfer, TransferError};
