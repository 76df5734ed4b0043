//! Base: the machine as seen by the daemon, without any decisions.
//!
//! The room contains the clock, the environment, files with private permissions, the check of who can change a file, the
//! search for programs, the guard's command, the HTTPS client with its way out of this machine, counts for monitors, the
//! redaction of secrets in the log, the comparison of persons, and the address at which the daemon is served. It uses only
//! `hint`. It must not know about configuration, the wire or identities.

pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod endpoint;
pub(crate) mod environment;
pub(crate) mod guard;
pub(crate) mod host;
pub(crate) mod https;
pub(crate) mod on_demand;
pub(crate) mod origin;
pub(crate) mod person;
pub(crate) mod private;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod redact;
pub(crate) mod scratch;
pub(crate) mod tally;
pub(crate) mod trust;
