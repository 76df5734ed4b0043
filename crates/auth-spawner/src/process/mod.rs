//! The processes of CLIs: found, given an environment, started, and ended as a whole tree.
//!
//! Every child leads a process group of its own, carries its session's mark in its environment, and is ended together
//! with everything that it started; the guard does so after the daemon has ended. This room may use the registry. It
//! knows nothing of logins: text, proofs and sessions must not be in it.

mod bounded;
mod child;
mod directory;
mod environment;
mod guard;
mod inspect;
mod leftover;
mod locate;
mod login_shell;
mod pipe;
pub(crate) mod ports;
mod pty;
pub(crate) mod tree;

pub use directory::prepare;
pub use environment::ChildEnv;
pub use guard::{Guard, GuardCommand, watch_over};
pub use leftover::{ProcessIdentity, end_leftover, start_ticks};
pub use locate::{SHIM_HEAD, Version, VersionQuestion, is_program, is_shim, locate, programs};
pub use login_shell::login_path;
pub use ports::{HeldPort, PortHolder, held_ports};

pub(crate) use bounded::{BoundedCommand, CommandError};
pub(crate) use child::{ChildCommand, Exit, KillOnDrop, OpenError, StartedChild, open};
pub(crate) use directory::private_directory;
pub(crate) use environment::{ChildEnvSources, asking_env, child_env, own_env};
pub(crate) use inspect::child_pid;
