//! `forge.credential` and `forge.rejected`: the token of the active forge for git and for programs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operator::ForgeType;
use super::{SecretInput, SecretOutput, method};

/// Returns the token of the active forge for a program of the operator's. Only the Unix socket serves it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeCredential")]
pub(crate) struct GetCredential {
    /// The URL that git wants to reach. If it is not one of the active forge, nothing is returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The user name in that URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The id of the bundle under which git runs; required with `url`. A bundle with its own account of the forge's
    /// provider gets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
}
method!(
    GetCredential,
    "forge.credential",
    CredentialAnswer,
    "Returns the token of the active forge, for git and for programs of the forge. Served on the Unix socket only, and audited.",
    seconds = 30
);

/// The token of the active forge, unless the question was about another place.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeCredentialAnswer")]
pub(crate) struct CredentialAnswer {
    /// The credential; absent if the URL is not one of the active forge, or the bundle has its own account there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
}

/// The token of the active forge.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ForgeToken")]
pub(crate) struct Credential {
    /// The type of the forge.
    pub forge_type: ForgeType,
    /// The forge's base URL.
    pub base_url: String,
    /// The user name for git.
    pub username: String,
    /// The token, which is git's password.
    pub token: SecretOutput,
    /// The time when the token expires, in Unix milliseconds; absent if it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The variables by which the forge's own programs find the token and the forge.
    pub environment: BTreeMap<String, SecretOutput>,
}

/// Reports that git's server rejected a token of the active forge.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RejectedForgeToken")]
pub(crate) struct Rejected {
    /// The URL that git wanted to reach.
    pub url: String,
    /// The token that was rejected.
    pub token: SecretInput,
}
method!(
    Rejected,
    "forge.rejected",
    AfterRejection,
    "Reports that git's server rejected the token of the active forge. The token is refreshed once; nothing is deleted.",
    seconds = 30
);

/// The answer to a report about a rejected token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AfterForgeRejection")]
pub(crate) struct AfterRejection {
    /// True if a newer token is available, so that git can try again.
    pub renewed: bool,
}
