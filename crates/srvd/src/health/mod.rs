//! Status of accounts, judged from the providers' own files, which are watched, and from the times in them.
//!
//! [`judge`] decides on a status. [`Examiner`] checks an account once and stores what is new. [`watch_over`] checks
//! accounts whenever there is a reason: a change of a file or a row, a time that was reached, or a jump of the clock.
//! The files are only read.
//!
//! Directories are watched before they are read, so that no change falls between the two. If an event may have been
//! missed, all accounts are checked. A file that cannot be parsed is read again for 0.7 seconds; after that the status
//! is `unknown`, not `needs_reauth`. No check deletes anything.
//!
//! It uses `wire`, `base`, `disk` and `keys`. It must not renew, launch or delete a credential.

mod actor;
mod agenda;
mod examine;
pub(crate) mod judge;
mod reports;
mod watch;

pub(crate) use actor::watch_over;
pub(crate) use examine::{Examined, Examiner, WritePolicy};
pub(crate) use reports::HealthReports;
