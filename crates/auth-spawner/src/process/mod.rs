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
mod pipe;
pub(crate) mod ports;
mod pty;
pub(crate) mod tree;

pub use directory::prepare;
pub use environment::ChildEnv;
pub use guard::{Guard, GuardCommand, watch_over};
pub use leftover::{end_leftover, start_ticks};
pub use locate::{SHIM_HEAD, Version, VersionQuestion, candidates, is_program, is_shim, locate};
pub use ports::{Taken as HeldPort, all_taken as held_ports};

pub(crate) use bounded::{Bounded, Broken};
pub(crate) use child::{Exit, Launch, Leash, OpenError, Parts, open};
pub(crate) use directory::private_directory;
pub(crate) use environment::{ChildEnvParts, asking_env, child_env, own_env};
pub(crate) use inspect::child_pid;
