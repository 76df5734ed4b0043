//! Whether accounts are fit: read from the providers' own files, which are watched, and from the times in them.
//!
//! [`judge`] decides, [`Examiner`] looks once and writes down what is new, [`watch_over`] looks whenever there is a reason: a
//! file changed, a row changed, a time has come, or the clock jumped. The files are only read.

mod actor;
mod agenda;
mod examine;
mod inbox;
pub mod judge;
mod watch;

pub use actor::watch_over;
pub use examine::{Examined, Examiner, Write};
pub use inbox::Inbox;
