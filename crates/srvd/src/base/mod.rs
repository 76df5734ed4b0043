//! Base: the machine as the daemon sees it, without a decision of its own.
//!
//! It holds the clock, the environment, files with private permissions, the guard's command, the HTTPS client with its
//! way out of this machine, counts for monitors, the redaction of secrets in the log and the address at which the daemon is
//! served. It uses no other room. It must not
//! know configuration, the wire or an identity.

pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod endpoint;
pub(crate) mod environment;
pub(crate) mod guard;
pub(crate) mod host;
pub(crate) mod https;
pub(crate) mod private;
pub(crate) mod process;
pub(crate) mod redact;
pub(crate) mod scratch;
pub(crate) mod tally;
