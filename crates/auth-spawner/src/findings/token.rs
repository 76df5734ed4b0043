//! A credential that a CLI shows only on its screen.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The credential itself. Its `Debug` output shows none of it.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the credential, which the caller must seal.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token([REDACTED])")
    }
}
