//! What an issuer gave, read leniently: an odd field costs itself, not the login.

use std::time::Duration;

use identity_store::Received;
use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tidy::whole;

/// One whole answer of an issuer, as it was given. When the tokens end follows from the lifetimes and the receipt, and is
/// decided once, where they are kept.
#[derive(Debug)]
pub struct Granted {
    /// The access token, which is not empty.
    pub access: SecretString,
    /// The refresh token. A login without one has none; a refresh without one keeps the old one.
    pub refresh: Option<SecretString>,
    /// The id token, under the same rule as the refresh token.
    pub id_token: Option<SecretString>,
    /// The access token's life in seconds; `None` where the issuer says nothing, 0 where what it says is no lifetime.
    pub expires_in: Option<i64>,
    /// The refresh token's life, in the same way.
    pub refresh_expires_in: Option<i64>,
    /// The scopes that were given, separated by spaces; `None` when the answer does not name them.
    pub scopes: Option<String>,
    /// When the answer came, in unix milliseconds.
    pub received_at: i64,
}

impl Granted {
    /// Reads an answer that came at `received_at`; `None` without an access token.
    pub(super) fn of(answer: Answer, received_at: i64) -> Option<Self> {
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

/// As the store takes it.
impl From<Granted> for Received {
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

/// A lifetime in whole seconds: a number, or a number as text.
fn seconds(value: &Value) -> i64 {
    whole(value).and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default()
}

/// Separated by spaces as the standard has it, by commas as GitHub has it, or a list.
fn scopes(value: &Value) -> Option<String> {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let words = texts.into_iter().flat_map(|text| text.split([' ', ','])).filter(|word| !word.is_empty());
    Some(words.collect::<Vec<_>>().join(" "))
}

/// The fields of an answer, with everything in them that issuers get wrong left open.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Answer {
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

/// What the `oauth2` crate asks of an answer. It reads none of these itself; [`Granted`] is made from the fields.
impl TokenResponse for Answer {
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
