//! The proof of a login: what a CLI's own files say.
//!
//! The registry names the files and the places of the facts in them. This room finds the files, parses their formats,
//! and decides whether they hold a login; the files are only read, never written, and their contents are not trusted.
//! It may use the registry. Every function blocks on files, so its callers leave the runtime's threads first. Processes,
//! sessions and text from a CLI's output must not be in it.

mod document;
mod facts;
mod files;
mod jsonc;
mod keyring;
mod prove;
mod sqlite;
mod time;
mod wal;

pub use prove::{Credential, Fingerprint, Proof, fingerprint, prove, prove_own};

pub(crate) use document::parse;
pub(crate) use files::{find, read};
pub(crate) use prove::{Slot, prove_slot};
