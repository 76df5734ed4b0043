//! What an issuer gave, with the time at which each token ends and where that time comes from.

use std::time::Duration;

use base64::Engine as _;
use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tidy::whole;

/// The longest lifetime that is believed: ten years, in milliseconds.
const LONGEST_MS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// The shortest and the longest time to the `exp` of an id token that is believed, in milliseconds.
const JWT_SHORTEST_MS: i64 = 30_000;
const JWT_LONGEST_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// What is assumed where the issuer says nothing usable, in milliseconds.
const ASSUMED_MS: i64 = 60 * 60 * 1000;

/// When a token ends. Times are unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The time; `None` when the token does not end.
    pub at: Option<i64>,
    /// Who says so.
    pub source: ExpirySource,
}

/// Where an expiry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpirySource {
    /// The issuer's answer.
    Issuer,
    /// The `exp` inside the token.
    Jwt,
    /// Nobody: an hour after the receipt.
    Assumed,
    /// The token does not end.
    None,
}

impl Expiry {
    /// A token that does not end.
    pub const NEVER: Self = Self { at: None, source: ExpirySource::None };
}

/// One whole answer of an issuer. All times were computed once, at the receipt.
#[derive(Debug)]
pub struct Granted {
    /// The access token, which is not empty.
    pub access: SecretString,
    /// When it ends.
    pub access_expiry: Expiry,
    /// The refresh token. A login without one has none; a refresh without one keeps the old one.
    pub refresh: Option<SecretString>,
    /// When the refresh token ends; [`Expiry::NEVER`] where the issuer does not say.
    pub refresh_expiry: Expiry,
    /// The id token, under the same rule as the refresh token.
    pub id_token: Option<SecretString>,
    /// When the id token ends, for a consumer that presents it.
    pub id_expiry: Expiry,
    /// The scopes that were given; `None` when the answer does not name them.
    pub scopes: Option<Vec<String>>,
    /// When the answer came.
    pub received_at: i64,
}

impl Granted {
    /// Reads an answer that came at `received_at`; `None` without an access token.
    pub(super) fn of(answer: Answer, received_at: i64) -> Option<Self> {
        let access = answer.access_token.into_secret();
        if access.is_empty() {
            return None;
        }
        let refresh = answer.refresh_token.map(RefreshToken::into_secret).filter(|token| !token.is_empty());
        let stated = answer.expires_in.as_ref();
        let issuer = stated.and_then(|value| after(value, received_at));
        let assumed =
            Expiry { at: Some(received_at.saturating_add(ASSUMED_MS)), source: ExpirySource::Assumed };
        let id_token = answer.id_token.map(|token| token.0).filter(|token| !token.is_empty());
        let unknown = jwt_expiry(&access, received_at, LONGEST_MS).unwrap_or(match (stated, &refresh) {
            // Nothing is said, and nothing could renew it: it lasts, as GitHub's do.
            (None, None) => Expiry::NEVER,
            _ => assumed,
        });
        let id_expiry = match &id_token {
            None => Expiry::NEVER,
            Some(token) => jwt_expiry(token, received_at, JWT_LONGEST_MS).or(issuer).unwrap_or(assumed),
        };
        let refresh_expiry = match &refresh {
            Some(_) => answer.refresh_token_expires_in.and_then(|value| after(&value, received_at)),
            None => None,
        };
        Some(Self {
            access: access.into(),
            access_expiry: issuer.unwrap_or(unknown),
            refresh: refresh.map(SecretString::from),
            refresh_expiry: refresh_expiry.unwrap_or(Expiry::NEVER),
            id_token: id_token.map(SecretString::from),
            id_expiry,
            scopes: answer.scope.as_ref().and_then(scopes),
            received_at,
        })
    }
}

/// A lifetime in seconds; zero, negative, fractional and endless ones are not believed.
fn after(value: &Value, received_at: i64) -> Option<Expiry> {
    let lifetime = i64::try_from(whole(value)?).ok()?.checked_mul(1000)?;
    let believed = (1000..=LONGEST_MS).contains(&lifetime);
    believed.then_some(Expiry { at: received_at.checked_add(lifetime), source: ExpirySource::Issuer })
}

/// The `exp` in a JWT, when it lies between half a minute and `longest` ahead. The signature is not looked at: the
/// token came from the issuer itself (`OpenID` Connect Core, 3.1.3.7), and only a time is taken from it.
fn jwt_expiry(token: &str, received_at: i64, longest: i64) -> Option<Expiry> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let at = i64::try_from(whole(claims.get("exp")?)?).ok()?.checked_mul(1000)?;
    let left = at.checked_sub(received_at)?;
    (left > JWT_SHORTEST_MS && left <= longest).then_some(Expiry { at: Some(at), source: ExpirySource::Jwt })
}

/// Separated by spaces as the standard has it, by commas as GitHub has it, or a list.
fn scopes(value: &Value) -> Option<Vec<String>> {
    let split = |text: &str| {
        text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    match value {
        Value::String(text) => Some(split(text)),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).flat_map(split).collect()),
        _ => None,
    }
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
