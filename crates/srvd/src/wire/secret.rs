//! Secrets in requests and answers.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret in a request: an API key or a pasted callback. `Debug` redacts it, and it is wiped when dropped.
///
/// The type is serializable because the command line sends it to the daemon over the daemon's own socket. The daemon
/// never serializes it, because no result type contains it.
#[derive(Clone)]
pub(crate) struct SecretInput(SecretString);

impl SecretInput {
    /// Creates the secret from a text.
    pub(crate) fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// Returns the secret for use.
    pub(crate) fn into_secret(self) -> SecretString {
        self.0
    }
}

impl fmt::Debug for SecretInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl<'de> Deserialize<'de> for SecretInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Serialize for SecretInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl JsonSchema for SecretInput {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true, "format": "password"})
    }
}

/// A value in an answer that may be a credential. Only `launch.resolve` and `forge.credential` return it. `Debug` redacts it, and it is wiped
/// when dropped.
#[derive(Clone)]
pub(crate) struct SecretOutput(SecretString);

impl SecretOutput {
    /// Returns the value for use.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<SecretString> for SecretOutput {
    fn from(secret: SecretString) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for SecretOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl<'de> Deserialize<'de> for SecretOutput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

impl Serialize for SecretOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl JsonSchema for SecretOutput {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "readOnly": true})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_input_is_redacted_in_debug_output() {
        assert_eq!(format!("{:?}", SecretInput::new("sk-planted".into())), "[REDACTED]");
    }
}
