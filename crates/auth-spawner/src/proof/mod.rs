//! The proof of a login: what a CLI's own files say.
//!
//! The registry names the files and the places of the facts in them. This room finds the files, parses their formats,
//! and decides whether they hold a login; the files are only read, never written, and their contents are not trusted.
//! It may use the registry. Every function blocks on files, so its callers leave the runtime's threads first. Processes,
//! sessions and text from a CLI's output must not be in it.
//!
//! A proof is about the login that the CLI would use. That is the member that the CLI's configuration selects, and none
//! if a setting selects another credential. Links are followed in the user's own directory only
//! (`docs/decisions/0002-which-login-a-file-holds.md`). A login that only the CLI can read, such as one in a keyring,
//! is `Proof::InKeyring`, which is neither a login nor its absence.

mod document;
mod facts;
mod files;
mod jsonc;
mod keyring;
mod prove;
mod sqlite;
mod time;
mod wal;

pub use document::read_document;
pub use prove::{Credential, Fingerprint, Proof, fingerprint, prove, prove_own};

pub(crate) use document::parse;
pub(crate) use files::{find, read};
pub(crate) use prove::{Slot, prove_slot};
