//! The registry's description of the endpoint that refreshes tokens that users supply.

use serde::Deserialize;

/// The endpoints at which users log in and a provider's refresh tokens are exchanged, and its public client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenEndpoint {
    /// URL of the endpoint: https, or http on a loopback address.
    pub token_url: String,
    /// Id of the client that the tokens were issued to.
    pub client_id: String,
    /// Address of the page at which a user logs in with a browser, under the same conditions. Without it there is no such
    /// login.
    #[serde(default)]
    pub authorization_url: Option<String>,
    /// Address at which a login with a code begins (RFC 8628), under the same conditions. Without it there is no such
    /// login.
    #[serde(default)]
    pub device_authorization_url: Option<String>,
    /// Scopes that a login requests.
    #[serde(default)]
    pub scopes: Vec<String>,
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
