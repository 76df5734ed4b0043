//! Logins: one task for each, and the table of all of them.
//!
//! [`Spawner`] admits a login and starts its session. The session owns the child and asks the machine, which decides
//! without a clock and without I/O; the sink receives every change and commits the proven login. This room may use the
//! registry, processes, the findings in their output, pasted answers and proofs. Parsing of text or of files must not be
//! in it.

mod check;
mod error;
mod machine;
mod session;
mod sink;
mod snapshot;
mod spawner;
mod table;

pub use error::{NotLive, StartError};
pub use sink::{ConfirmedLogin, SaveError, Saved, Sink};
pub use snapshot::{Failure, FailureKind, Snapshot, State};
pub use spawner::{Clock, LoginRequest, SpawnLimits, Spawner, SpawnerConfig};
