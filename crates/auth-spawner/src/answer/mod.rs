//! The user's pasted answer: its check against the login's address, and its way to the CLI.
//!
//! The room decides whether a pasted text belongs to this login, converts it into the form that the CLI takes, and
//! writes it to the CLI's input or calls the CLI's own callback. It may use the registry. Whether a login waits for an
//! answer is not decided here.

pub(crate) mod deliver;
mod error;
pub(crate) mod paste;

pub use error::SubmitError;

pub(crate) use deliver::{Delivered, Stdin, Typed};
pub(crate) use paste::{Answer, is_taken};
