//! Pasted answers: validation against the login's URL, and delivery to the CLI.
//!
//! The room decides whether a pasted text belongs to this login, converts it to the form the CLI expects, and writes it
//! to the CLI's input or calls the CLI's own callback. It may use the registry. It does not decide whether a login is
//! waiting for an answer.

pub(crate) mod deliver;
mod error;
pub(crate) mod paste;

pub use error::SubmitError;

pub(crate) use deliver::{Delivered, Stdin, Typed};
pub(crate) use paste::{Answer, is_taken};
