//! The registry's description of the endpoint that refreshes tokens that users supply.

use serde::Deserialize;

/// The endpoint that exchanges a provider's refresh tokens, and its public client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenEndpoint {
    /// URL of the endpoint: https, or http on a loopback address.
    pub token_url: String,
    /// Id of the client that the tokens were issued to.
    pub client_id: String,
    /// Format of a request.
    #[serde(default)]
    pub body: TokenBody,
}

/// The format of a request to a token endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenBody {
    /// A form, as RFC 6749 requires.
    #[default]
    Form,
    /// A JSON document.
    Json,
}
