//! `auth.*`: the login surface.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretInput, Status, method};

/// Starts a login by driving the provider's own CLI.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Provider id or alias.
    pub provider_id: String,
    /// The bundle to log in to; absent or `""` makes a new one on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into_bundle_id: Option<String>,
    /// The name of a new bundle; without it `<Provider> (<email>)`, with the subject in place of an unknown email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_name: Option<String>,
    /// Accepted for compatibility; must be one of the provider's binaries in an allowed place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_path: Option<String>,
    /// Accepted for compatibility; must be the arguments of one of the provider's recipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_login_args: Option<Vec<String>>,
    /// Accepted for compatibility; must be the provider's check arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_check_args: Option<Vec<String>>,
    /// Accepted for compatibility; only the provider's own config-dir variable, which is always overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_env: Option<BTreeMap<String, String>>,
    /// Accepted for compatibility; must agree with the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_tty: Option<bool>,
    /// Which of the provider's login recipes; the first one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// The host to log in to, such as `github.example.com`, for a provider whose CLI has a choice of hosts. When absent, that
    /// of the login which the bundle has, else the provider's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Log in again although a login is there, and accept another person in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}
method!(Start, "auth.start", Started, "Starts a login by driving the provider's own CLI.");

/// A login that was started.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// `auth-<uuid>`.
    pub session_id: String,
    /// The URL, if it is known already; `null` otherwise.
    pub auth_url: Option<String>,
    /// Always `pending`.
    pub status: SessionStatus,
    /// When the session ends by itself.
    pub expires_at: i64,
}

/// Asks how a login session stands, waiting for news when `waitMs` is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// The session.
    pub session_id: String,
    /// Answer as soon as the session's revision exceeds this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_revision: Option<u64>,
    /// How long to wait for that, in milliseconds; at most 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}
method!(Poll, "auth.poll", Session, "Asks how a login session stands; with waitMs it waits for news.");

/// Where a login session stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionStatus {
    /// The CLI has been asked to start.
    Pending,
    /// `authUrl` is to be opened.
    UrlAvailable,
    /// `deviceCode` is to be entered at `verificationUrl`.
    CodeEmitted,
    /// The login is proven, stored and bound.
    Success,
    /// The login ended without a result; `errorKind` says why.
    Failed,
}

impl SessionStatus {
    /// Whether the session has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

/// What the daemon is doing with a session that has not ended, beyond its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Proving the login.
    Confirming,
    /// Storing it.
    Saving,
}

/// A shape of the text that `auth.submitcallback` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PasteShape {
    /// The whole address that the browser ended on.
    Url,
    /// `code#state`.
    CodeState,
    /// The code alone.
    Code,
}

/// One login session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// `auth-<uuid>`.
    pub session_id: String,
    /// Canonical provider id.
    pub provider_id: String,
    /// Grows with every change.
    pub revision: u64,
    /// Where it stands.
    pub status: SessionStatus,
    /// What the daemon is doing with it, while it is more than waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Unix milliseconds.
    pub started_at: i64,
    /// When it ends by itself.
    pub expires_at: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// The URL that the CLI printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_url: Option<String>,
    /// Whether the URL's host is one of the provider's, so that a frontend may open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openable: Option<bool>,
    /// The one-time code to enter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<String>,
    /// Where to enter it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_url: Option<String>,
    /// True while a pasted answer would be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<bool>,
    /// Shapes of an answer that may be pasted then, in no order of preference; present together with `prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paste_shapes: Option<Vec<PasteShape>>,
    /// The bundle that has the login now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The account that is the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// On success the account's email, or `null` when the provider's files hold none.
    #[serde(default, with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub email: Option<Option<String>>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What went wrong, as a word of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The exit code of a CLI that ended on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// `Some(None)` is `null` on the wire and `None` is absent.
mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "the wire tells an absent field from a null one")]
    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Option<String>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(to)
    }

    #[expect(clippy::option_option, reason = "the wire tells an absent field from a null one")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<String>>, D::Error> {
        Option::<String>::deserialize(from).map(Some)
    }
}

/// Cancels a login and ends its CLI.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cancel {
    /// The session.
    pub session_id: String,
}
method!(Cancel, "auth.cancel", Outcome, "Cancels a login and ends its CLI with everything it started.");

/// Hands the text that the person pasted to the CLI.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitCallback {
    /// The session.
    pub session_id: String,
    /// The full callback URL, `code#state`, or the code: whichever the provider takes.
    pub callback_url: SecretInput,
}
method!(
    SubmitCallback,
    "auth.submitcallback",
    Outcome,
    "Hands a pasted callback to the CLI; success means written to the CLI, not merely queued."
);

/// Whether something was done, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// It was done.
    pub success: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same as a word of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
}

/// Stores an API key as an account of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubmitApiKey {
    /// Provider id or alias.
    pub provider_id: String,
    /// The bundle to bind it in; absent or `""` makes a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into_bundle_id: Option<String>,
    /// The name of a new bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_name: Option<String>,
    /// The key. Either this or `secretName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretInput>,
    /// In place of the key: the name that the operator gave in `srvd.toml` to a key that is kept somewhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Where the service answers, when it is not the provider's usual address; not with `secretName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The account's name.
    pub account_name: String,
    /// `false` stores the key without asking the provider; its status is then `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<bool>,
}
method!(
    SubmitApiKey,
    "auth.submitapikey",
    KeyOutcome,
    "Validates an API key with its provider, seals it (or notes where the operator keeps it) and binds it; a rejected key is stored nowhere."
);

/// What became of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyOutcome {
    /// It is stored and bound.
    pub success: bool,
    /// The bundle that has it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The account that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// `valid` when the provider accepted it, `unknown` when it was not or could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Why it was not stored, or why its status is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same as a word of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<String>,
}

/// Lists the login sessions that run or ended recently.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {}
method!(List, "auth.list", Sessions, "Lists the login sessions that run or ended recently.");

/// Login sessions, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// The sessions.
    pub sessions: Vec<Session>,
}
