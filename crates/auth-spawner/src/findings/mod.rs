//! The findings in a CLI's output: an address, a device code, a prompt, a failure, a credential.
//!
//! The room reads the child's streams, compares each line with the recipe's patterns, and reports each finding once. It
//! may use the registry and the terminal's text. It decides nothing: states, timers and the proof must not be in it.

mod matcher;
mod network;
mod output;
#[cfg(test)]
mod recordings;
mod token;

pub use network::names_network;
pub use token::Token;

pub(crate) use matcher::{Completeness, Finding, Matcher, public_words};
pub(crate) use output::{Findings, Output, SETTLED};
