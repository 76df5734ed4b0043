//! The proof of a login from a CLI's own files.
//!
//! The registry names the files and the locations of facts in them. This room locates the files, parses their formats,
//! and decides whether they contain a login. The files are only read, never written, and their contents are not
//! trusted. The room may use the registry. Every function blocks on file access, so callers run it on a blocking
//! thread. Processes, sessions and text from a CLI's output must not be in it.
//!
//! A proof is about the login that the CLI would use. That is the member selected by the CLI's configuration, or none
//! if a setting selects another credential. Links are followed only in the user's own directory
//! (`docs/decisions/0002-which-login-a-file-holds.md`). A login that only the CLI can read, such as one in a keyring,
//! is `Proof::InKeyring`: neither a login nor the absence of one.

mod document;
mod facts;
mod files;
mod jsonc;
mod keyring;
mod locks;
mod mark;
mod prove;
mod shadow;
mod sqlite;
mod time;
mod wal;

pub use document::read_document;
pub use locks::LockSeen;
pub use mark::TokenMark;
pub use prove::{Credential, Fingerprint, Proof, fingerprint, prove, prove_own};
pub use shadow::{Shadow, ShadowCause};

pub(crate) use document::parse;
pub(crate) use files::{find, read};
pub(crate) use prove::{Slot, prove_slot};
