//! Findings in a CLI's output: a URL, a device code, a prompt, a failure, a credential.
//!
//! The room reads the child's output streams, matches each line against the recipe's patterns, and reports each finding
//! once. It may use the registry and the terminal text. It makes no decisions: states, timers and proofs must not be in
//! it.

mod matcher;
mod network;
mod output;
mod recorded;
#[cfg(test)]
mod recordings;
mod token;

pub use network::names_network;
pub use recorded::{Recorded, Recording, Recordings};
pub use token::Token;

pub(crate) use matcher::{Completeness, Finding, Matcher, public_words};
pub(crate) use output::{Findings, Output, SETTLED, explanation_in};
