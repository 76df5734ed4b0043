//! The error of a registry file.

use thiserror::Error;

/// A registry file that cannot be used. The text names the file and the place in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{source_name}: {place}: {reason}")]
pub struct RegistryError {
    /// The file as the caller named it, or `config/providers` for the shipped ones.
    pub source_name: String,
    /// Path of the table or field, such as `providers.codex.cli.recipes`, or `-` for the entire file.
    pub place: String,
    /// The problem with the field or the file.
    pub reason: String,
}
