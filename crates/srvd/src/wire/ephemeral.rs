//! `ephemeral.*`: credentials that are stored only in memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretInput, method};

/// Lends an API key to an agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PutEphemeral")]
pub(crate) struct Put {
    /// The agent's id.
    pub agent_id: String,
    /// The user for whom the key is valid. If absent, it is valid for every user, and when there is no user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The provider's id or an alias.
    pub provider_id: String,
    /// The key.
    pub api_key: SecretInput,
}
method!(
    Put,
    "ephemeral.put",
    Stored,
    "Lends an API key to an agent until the key is cleared or the daemon exits. The key is never written to disk.",
    errors = [Conflict],
);

/// The result of storing a credential in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StoredEphemeral")]
pub(crate) struct Stored {
    /// True if the credential was stored in memory.
    pub stored: bool,
    /// True if it replaced another credential.
    pub replaced: bool,
}

/// Removes the credentials lent to an agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearEphemeral")]
pub(crate) struct Clear {
    /// The agent's id.
    pub agent_id: String,
    /// The provider whose credential is removed, by id or alias; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}
method!(Clear, "ephemeral.clear", Cleared, "Removes the credentials lent to an agent, for every user.");

/// The result of removing lent credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearedEphemeral")]
pub(crate) struct Cleared {
    /// The number of removed credentials.
    pub cleared: usize,
}
