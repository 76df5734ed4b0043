//! What the registry can say about refreshing tokens that users bring.

use serde::Deserialize;

/// Where a provider's refresh tokens are exchanged, and by which public client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenEndpoint {
    /// The address: https, or http on a loopback address.
    pub token_url: String,
    /// The id of the client that the tokens were given to.
    pub client_id: String,
    /// How a request is written.
    #[serde(default)]
    pub body: TokenBody,
}

/// How a request to a token endpoint is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenBody {
    /// As a form, which the standard wants.
    #[default]
    Form,
    /// As JSON.
    Json,
}
