//! `ephemeral.*`: credentials that are held in memory only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretInput, method};

/// Lends an agent an API key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PutEphemeral")]
pub struct Put {
    /// The agent.
    pub agent_id: String,
    /// Only for this user; for any, also for none, without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The provider, by id or alias.
    pub provider_id: String,
    /// The key.
    pub api_key: SecretInput,
}
method!(
    Put,
    "ephemeral.put",
    Stored,
    "Lends an agent an API key until it is cleared or the daemon ends; it is never written to a disk."
);

/// A credential that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StoredEphemeral")]
pub struct Stored {
    /// The credential is held.
    pub stored: bool,
    /// Whether it took the place of another one.
    pub replaced: bool,
}

/// Lets go of what was lent to an agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearEphemeral")]
pub struct Clear {
    /// The agent.
    pub agent_id: String,
    /// Only this provider's, by id or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}
method!(Clear, "ephemeral.clear", Cleared, "Lets go of what was lent to an agent, whoever the user.");

/// What was let go of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClearedEphemeral")]
pub struct Cleared {
    /// How many credentials.
    pub cleared: usize,
}
