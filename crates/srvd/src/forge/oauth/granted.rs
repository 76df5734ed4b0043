//! The tokens granted by an issuer. They are read leniently: an unusable field is dropped and the login continues.

use std::time::Duration;

use identity_store::ReceivedTokens;
use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tidy::whole;

/// A complete, unmodified issuer response. When the tokens are stored, the store computes their expiry from the
/// lifetimes and the time of receipt.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The access token, which is not empty.
    pub access: SecretString,
    /// The refresh token. If a login returns none, there is none; if a refresh returns none, the old one remains in
    /// use.
    pub refresh: Option<SecretString>,
    /// The id token. The same rule applies as for the refresh token.
    pub id_token: Option<SecretString>,
    /// The lifetime of the access token in seconds; `None` if the issuer does not specify one, 0 if its value is not a
    /// lifetime.
    pub expires_in: Option<i64>,
    /// The lifetime of the refresh token. The same rule applies.
    pub refresh_expires_in: Option<i64>,
    /// The granted scopes, separated by spaces; `None` if the response does not list them.
    pub scopes: Option<String>,
    /// The time at which the response arrived, in Unix milliseconds.
    pub received_at: i64,
}

impl Granted {
    /// Converts a response that arrived at `received_at`; `None` if it contains no access token.
    pub(super) fn of(answer: TokenAnswer, received_at: i64) -> Option<Self> {
        let secret = |text: String| Some(text).filter(|text| !text.is_empty()).map(SecretString::from);
        Some(Self {
            access: secret(answer.access_token.into_secret())?,
            refresh: answer.refresh_token.map(RefreshToken::into_secret).and_then(secret),
            id_token: answer.id_token.map(|token| token.0).and_then(secret),
            expires_in: answer.expires_in.as_ref().map(seconds),
            refresh_expires_in: answer.refresh_token_expires_in.as_ref().map(seconds),
            scopes: answer.scope.as_ref().and_then(scopes),
            received_at,
        })
    }
}

/// The representation that the store accepts.
impl From<Granted> for ReceivedTokens {
    fn from(granted: Granted) -> Self {
        Self {
            access: granted.access,
            refresh: granted.refresh,
            id: granted.id_token,
            expires_in: granted.expires_in,
            refresh_expires_in: granted.refresh_expires_in,
            scopes: granted.scopes,
            token_type: None,
            received_at: granted.received_at,
        }
    }
}

/// Reads a lifetime in whole seconds, given as a number or as text.
fn seconds(value: &Value) -> i64 {
    whole(value).and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default()
}

/// Reads scopes: separated by spaces as in the standard, separated by commas as from GitHub, or as a list.
fn scopes(value: &Value) -> Option<String> {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let words = texts.into_iter().flat_map(|text| text.split([' ', ','])).filter(|word| !word.is_empty());
    Some(words.collect::<Vec<_>>().join(" "))
}

/// The fields of a response. Fields that issuers often get wrong accept any value.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct TokenAnswer {
    access_token: AccessToken,
    #[serde(default = "bearer", skip_deserializing)]
    token_type: BasicTokenType,
    refresh_token: Option<RefreshToken>,
    id_token: Option<IdToken>,
    expires_in: Option<Value>,
    #[serde(alias = "refresh_expires_in")]
    refresh_token_expires_in: Option<Value>,
    scope: Option<Value>,
}

#[derive(Deserialize, Serialize)]
struct IdToken(String);

impl std::fmt::Debug for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdToken([REDACTED])")
    }
}

fn bearer() -> BasicTokenType {
    BasicTokenType::Bearer
}

/// The trait that the `oauth2` crate requires for a response. The crate does not read these fields; [`Granted`] does.
impl TokenResponse for TokenAnswer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.as_ref().and_then(whole).map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

#[cfg(test)]
mod tests;
