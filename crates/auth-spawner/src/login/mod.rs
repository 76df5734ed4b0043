//! Logins: one task per login, and the table of all logins.
//!
//! [`Spawner`] admits a login and starts its session. The session owns the child process and consults the machine,
//! which makes decisions without a clock or I/O. The sink receives every change and commits the proven login. This room
//! may use the registry, processes, the findings in their output, pasted answers and proofs. It must not parse text or
//! files.

mod check;
mod error;
mod machine;
mod request;
mod session;
mod sink;
mod snapshot;
mod spawner;
mod table;

pub use error::{NotLive, StartError};
pub use request::LoginRequest;
pub use sink::{ConfirmedLogin, ReplacedPerson, SaveError, Saved, Sink};
pub use snapshot::{Advice, Failure, FailureKind, Snapshot, State};
pub use spawner::{Clock, SpawnLimits, Spawner, SpawnerConfig};
