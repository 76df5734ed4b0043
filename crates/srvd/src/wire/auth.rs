//! `auth.*`: logins through the providers' CLIs, and API keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use super::auth_list::{List, Sessions};
use super::error::ErrorKind;
use super::not_used::NotUsed;
use super::paste::{Paste, PasteShape};
use super::{SecretInput, Status, method, words};
use crate::hint::Hint;

/// Starts a login by running the provider's own CLI.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Start {
    /// The provider's id or an alias.
    pub provider_id: String,
    /// The id of the bundle to log in to. If absent or `""`, a new bundle is created when the login succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into_bundle_id: Option<String>,
    /// The name of the new bundle. If absent, the name is `<Provider> (<email>)`, with the subject instead of an
    /// unknown email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_name: Option<String>,
    /// The id of the user who logs in. The login then becomes a profile of the user, in place of a bundle's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The id of the agent that the user logs in for, or `*` for all of the user's agents, which is the default. Only with
    /// `userId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The provider's CLI on this machine. It is run if it is in a directory that is searched for CLIs, and is the
    /// provider's CLI. Otherwise the CLI that the daemon finds is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_path: Option<String>,
    /// The arguments of the login. They choose one of the provider's recipes. With the spawn policy `checked`, they are
    /// run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_login_args: Option<Vec<String>>,
    /// The arguments that check the login; advice only. With the spawn policy `checked`, they are run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_check_args: Option<Vec<String>>,
    /// Variables for the CLI. Only those for the language and the look of its output are set, and the rest is left out.
    /// With the spawn policy `checked`, others are set as well. The config-dir variable always leads to the bundle's
    /// directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_env: Option<BTreeMap<String, String>>,
    /// True if the CLI needs a terminal; advice only. With the spawn policy `checked`, it is obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_tty: Option<bool>,
    /// The id of one of the provider's login recipes; the first recipe if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// The host to log in to, such as `github.example.com`, for a provider whose CLI supports several hosts. If absent,
    /// the host of the bundle's current login is used, or the provider's default host if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// True to accept the login of another person in place of the bundle's present one. Without it, the login renews the
    /// present one if the person stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}
method!(
    Start,
    "auth.start",
    Started,
    "Starts a login by running the provider's own CLI.",
    errors = [NotFound, Conflict, NotAllowed, UnknownRecipe, AmbientDirectory, Capacity, SecretUnavailable],
    seconds = 30,
    reports_unknown = true
);

/// A login that has been started.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    /// `auth-<uuid>`.
    pub session_id: String,
    /// The URL to open, or `null` if it is not known yet.
    pub auth_url: Option<String>,
    /// Always `pending`.
    pub status: SessionStatus,
    /// The expiry time of the session, in Unix milliseconds.
    pub expires_at: i64,
    /// The id of the recipe that is used.
    #[serde(default)]
    pub recipe: String,
    /// The fields of the request that are not used, with the reasons.
    #[serde(default)]
    pub not_used: Vec<NotUsed>,
}

/// Returns the state of a login session. With `waitMs`, waits for a change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Poll {
    /// The session's id.
    pub session_id: String,
    /// The last revision that the client has seen. The answer is sent as soon as the session has a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_revision: Option<u64>,
    /// The maximum time to wait for a newer revision, in milliseconds; at most 30000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}
method!(
    Poll,
    "auth.poll",
    Session,
    "Returns the state of a login session. With waitMs, waits for a change.",
    seconds = 35
);

words! {
    /// The state of a login session.
    SessionStatus {
        /// The CLI is starting.
        Pending = "pending",
        /// `authUrl` is ready to open.
        UrlAvailable = "url-available",
        /// `deviceCode` is ready to enter at `verificationUrl`.
        CodeEmitted = "code-emitted",
        /// The login was verified, stored and bound.
        Success = "success",
        /// The login failed; `errorKind` says why.
        Failed = "failed",
    }
}

impl SessionStatus {
    /// Returns whether the session has ended.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

words! {
    /// The daemon's current work on a session that has not ended; more detailed than the status.
    Phase {
        /// The daemon is verifying the login.
        Confirming = "confirming",
        /// The daemon is storing the login.
        Saving = "saving",
    }
}

/// A login session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    /// `auth-<uuid>`.
    pub session_id: String,
    /// The canonical provider id.
    pub provider_id: String,
    /// The id of the provider's login recipe.
    #[serde(default)]
    pub recipe: String,
    /// The id of the bundle that the login is for. For a new bundle it is the future id, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_bundle_id: Option<String>,
    /// A number that increases with every change.
    pub revision: u64,
    /// The state of the session.
    pub status: SessionStatus,
    /// The daemon's current work on the session; absent while the session is only waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The start time, in Unix milliseconds.
    pub started_at: i64,
    /// The expiry time of the session, in Unix milliseconds.
    pub expires_at: i64,
    /// The end time of the session, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// The URL that the CLI printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_url: Option<String>,
    /// True if the host of the URL belongs to the provider, in which case a frontend may open the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openable: Option<bool>,
    /// The one-time code to enter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<String>,
    /// The URL at which to enter the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_url: Option<String>,
    /// True while the session accepts a pasted answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<bool>,
    /// The accepted formats of a pasted answer, in no particular order. Present together with `prompt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paste_shapes: Option<Vec<PasteShape>>,
    /// The pasted answer that the login accepts, now or later; absent if it accepts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paste: Option<Paste>,
    /// The id of the bundle that now has the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The id of the account that holds the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The id of the user's profile that now has the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
    /// The id of the user who logs in; absent for a login of a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The id of the agent that the user logs in for, or `*`; present together with `userId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The account's email address on success, or `null` if the provider's files contain none.
    #[serde(default, with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    #[expect(clippy::option_option, reason = "the wire distinguishes an absent field from null")]
    pub email: Option<Option<String>>,
    /// The persons, if the login replaced that of another person. Known until the daemon is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_person: Option<ReplacedPerson>,
    /// The human-readable error text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kind of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// An action that may resolve the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
    /// The CLI's exit code, if it exited before the daemon ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The persons of a login that replaced the login of another person, by email address or the provider's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplacedPerson {
    /// The person whose login the bundle had before.
    pub former: String,
    /// The person whose login the bundle has now.
    pub present: String,
}

/// Serde functions for a nullable field: `Some(None)` is `null` on the wire, and `None` is absent.
mod nullable {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "the wire distinguishes an absent field from null")]
    #[expect(clippy::ref_option, reason = "the signature that serde requires")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Option<String>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(to)
    }

    #[expect(clippy::option_option, reason = "the wire distinguishes an absent field from null")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<String>>, D::Error> {
        Option::<String>::deserialize(from).map(Some)
    }
}

/// Cancels a login and ends its CLI. Give either the session, or the provider with the bundle or the user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cancel {
    /// The session's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The id of the bundle that the login is for. A client that may start a login there may also cancel one that another client started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The id of the user who logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The id of the agent that the user logs in for; `*` if absent. Only with `userId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The provider of the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}
method!(
    Cancel,
    "auth.cancel",
    Outcome,
    "Cancels a login and ends its CLI with every process that the CLI has started.",
    errors = [NotFound],
    seconds = 30
);

/// Delivers the text pasted by the user to the CLI.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubmitCallback {
    /// The session's id.
    pub session_id: String,
    /// The full callback URL, `code#state` or the code, whichever the provider accepts.
    pub callback_url: SecretInput,
}
method!(
    SubmitCallback,
    "auth.submitcallback",
    Outcome,
    "Delivers a pasted callback to the CLI. Success means that it was written to the CLI, not just queued.",
    alias = "auth.submitCallback",
    seconds = 30
);

/// The result of a request: success, or the error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// True if the request succeeded.
    pub success: bool,
    /// The error text; absent on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kind of the error; absent on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

/// Stores an API key as an account in a bundle.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubmitApiKey {
    /// The provider's id or an alias.
    pub provider_id: String,
    /// The id of the bundle that the key is bound to. If absent or `""`, a new bundle is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into_bundle_id: Option<String>,
    /// The name of the new bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_name: Option<String>,
    /// The id of the user who provides the key. The key then becomes a profile of the user, in place of a bundle's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The id of the agent that the key is for, or `*` for all of the user's agents, which is the default. Only with
    /// `userId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The key. Provide either this or `secretName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretInput>,
    /// The name that the operator gave in `srvd.toml` to a key that is stored elsewhere. Provide either this or
    /// `apiKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// The URL of the service, if it is not the provider's default; not allowed with `secretName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The account's name; for a user, the label of the profile.
    pub account_name: String,
    /// `false` stores the key without checking it with the provider. Its status is then `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<bool>,
}
method!(
    SubmitApiKey,
    "auth.submitapikey",
    KeyOutcome,
    "Validates an API key with its provider, encrypts it (or records where the operator stores it) and binds it. A rejected key is not stored.",
    alias = "auth.submitApiKey",
    errors = [Conflict, SecretUnavailable],
    seconds = 30
);

/// The result of storing an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyOutcome {
    /// True if the key was stored and bound.
    pub success: bool,
    /// The id of the bundle that now has the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The id of the account that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The id of the user's profile that now has the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
    /// `valid` if the provider accepted the key; `unknown` if the provider was not or could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The reason why the status of the stored key is `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// The reason why the key was not stored; absent on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The kind of the error; absent if the key was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}
