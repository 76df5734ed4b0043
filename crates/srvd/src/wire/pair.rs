//! `pair.*` and `tokens.*`: tokens of other clients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use super::{method, words};

/// Opens a pairing and ends the one that is open.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartPairing")]
pub(crate) struct Start {
    /// The permissions of the new token: one or more of `read`, `login`, `launch` and `admin`, separated by commas.
    /// `login` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
    /// An origin that is allowed for this pairing and for its token, in addition to those in `srvd.toml`. A value such as
    /// `vscode-webview://*` allows each host of the scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}
method!(
    Start,
    "pair.start",
    Started,
    "Opens a pairing: a client exchanges the code by `POST /pair` for a token of its own.",
    errors = [SecretUnavailable]
);

/// A pairing that has been opened.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StartedPairing")]
pub(crate) struct Started {
    /// `pair-<uuid>`.
    pub pairing_id: String,
    /// Six digits, which the person enters in the client.
    pub code: String,
    /// The permissions of the new token.
    pub scopes: Vec<Scope>,
    /// The time at which the code ends, in Unix milliseconds.
    pub expires_at: i64,
}

words! {
    /// The state of a pairing.
    PairStatus {
        /// No client has exchanged the code yet.
        Waiting = "waiting",
        /// A client has exchanged the code, and the person has to answer.
        Asked = "asked",
        /// The person agreed, and the client has its token.
        Accepted = "accepted",
        /// The person did not agree.
        Denied = "denied",
        /// The time is over.
        Expired = "expired",
        /// There were five wrong codes.
        TooManyCodes = "too_many_codes",
    }
}

/// Returns the state of a pairing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PollPairing")]
pub(crate) struct Poll {
    /// The pairing's id.
    pub pairing_id: String,
    /// The maximum time to wait for a client, in milliseconds; at most 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}
method!(
    Poll,
    "pair.poll",
    Pairing,
    "Returns the state of a pairing. With waitMs, waits until a client exchanges the code.",
    errors = [NotFound],
    seconds = 35
);

/// A pairing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pairing {
    /// `pair-<uuid>`.
    pub pairing_id: String,
    /// The state.
    pub status: PairStatus,
    /// The name that the client gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The origin of the page; absent for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The permissions of the new token.
    pub scopes: Vec<Scope>,
}

/// Answers the question whether the client may have its token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AnswerPairing")]
pub(crate) struct Answer {
    /// The pairing's id.
    pub pairing_id: String,
    /// True to give the client its token.
    pub accept: bool,
}
method!(
    Answer,
    "pair.answer",
    Answered,
    "Answers the question whether the client that exchanged the code may have its token.",
    errors = [NotFound]
);

/// The result of an answer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AnsweredPairing")]
pub(crate) struct Answered {
    /// False if no client was waiting for the answer.
    pub success: bool,
}

/// Lists the tokens of paired clients.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListTokens")]
pub(crate) struct ListTokens {}
method!(ListTokens, "tokens.list", Tokens, "Lists the tokens of paired clients, oldest first.");

/// The tokens of paired clients.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClientTokens")]
pub(crate) struct Tokens {
    /// The tokens, oldest first.
    pub tokens: Vec<Token>,
}

/// The token of a paired client. The token itself is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ClientToken")]
pub(crate) struct Token {
    /// The token's id.
    pub id: String,
    /// The client's name.
    pub name: String,
    /// The permissions.
    pub scopes: Vec<Scope>,
    /// The origin of the page that received it; absent for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The time of the pairing, in Unix milliseconds.
    pub created_at: i64,
}

/// Revokes a token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RevokeToken")]
pub(crate) struct Revoke {
    /// The token's id.
    pub token_id: String,
}
method!(
    Revoke,
    "tokens.revoke",
    Revoked,
    "Revokes a client's token and closes its connections.",
    errors = [NotFound]
);

/// The result of revoking a token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RevokedToken")]
pub(crate) struct Revoked {
    /// True if the token was revoked.
    pub revoked: bool,
}
