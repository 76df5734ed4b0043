//! Status of accounts, judged from the providers' own files, which are watched, and from the times in them.
//!
//! [`judge`] decides on a status. [`Examiner`] checks an account once and stores what is new. [`watch_over`] checks
//! accounts whenever there is a reason: a change of a file or a row, a time that was reached, or a jump of the clock.
//! The files are only read.

mod actor;
mod agenda;
mod examine;
pub(crate) mod judge;
mod reports;
mod watch;

pub(crate) use actor::watch_over;
pub(crate) use examine::{Examined, Examiner, WritePolicy};
pub(crate) use reports::HealthReports;
