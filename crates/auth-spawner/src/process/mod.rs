//! CLI processes: locating them, building their environment, starting them, and ending them as a whole tree.
//!
//! Every child leads a new process group, carries its session's mark in its environment, and is ended together with
//! everything it started; after the daemon has died, the guard does this. This room may use the registry. It knows
//! nothing about logins: text, proofs and sessions must not be in it.

mod bounded;
mod child;
mod directory;
mod environment;
mod guard;
mod inspect;
mod key_home;
mod leftover;
mod locate;
mod login_shell;
mod names;
mod pipe;
pub(crate) mod ports;
mod pty;
mod supervised;
pub(crate) mod tree;

pub use directory::prepare;
pub use environment::ChildEnv;
pub use guard::{Guard, GuardCommand, watch_over};
pub use key_home::{KeyValues, prepare_key};
pub use leftover::{ProcessIdentity, end_leftover, is_marked, start_ticks};
pub use locate::{SHIM_HEAD, Version, VersionQuestion, is_program, is_shim, locate, programs};
pub use login_shell::login_path;
pub use names::{Names, names_in};
pub use ports::{HeldPort, PortHolder, held_ports};
pub use supervised::RunEnd;

pub(crate) use bounded::{BoundedCommand, CommandError, CommandOutput};
pub(crate) use child::{ChildCommand, Exit, KillOnDrop, OpenError, StartedChild, open};
pub(crate) use directory::private_directory;
pub(crate) use environment::{ChildEnvSources, asking_env, child_env, own_env};
pub(crate) use inspect::child_pid;
pub(crate) use supervised::{SupervisedCommand, Turn};
