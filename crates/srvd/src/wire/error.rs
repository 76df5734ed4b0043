//! The errors on the wire: one enum of kinds, one error type, and a conversion from each library's error.

use std::fmt;

use identity_store::InvalidId;
use rpc_engine::{DataField, DataKind, ErrorEntry, RpcError};
use serde_json::{Map, Value};

use super::words;
use crate::hint::Hint;

/// An error returned by a handler: a kind, a human-readable message, and the data defined by the kind.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    kind: Kind,
    message: String,
    data: Map<String, Value>,
}

impl ApiError {
    /// Creates an error of `kind`. `message` is for humans and must not contain a secret.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), data: Map::new() }
    }

    /// Adds `data.<name>` to the error.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// Adds the next step for the user, as `data.hint`.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<Hint>) -> Self {
        self.with("hint", hint.into())
    }

    /// Creates a `not_found` error for a `what` (bundle, account, session, ...) with this id.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(Kind::NotFound, format!("no such {what}")).with("what", what).with("id", id)
    }

    /// Creates an `invalid_input` error for the named field.
    pub(crate) fn invalid_input(field: &str, reason: impl fmt::Display) -> Self {
        Self::new(Kind::InvalidInput, format!("{field}: {reason}")).with("field", field)
    }

    /// The kind of this error.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The human-readable message.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The next step for the user, as set with [`Self::hint`].
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.data.get("hint").and_then(Value::as_str)
    }

    /// Creates the error for a malformed id, naming its field.
    pub(crate) fn bad_id(field: &str, error: &InvalidId) -> Self {
        Self::invalid_input(field, error)
    }
}

impl From<ApiError> for RpcError {
    fn from(error: ApiError) -> Self {
        let mut data = error.data;
        data.insert("kind".to_owned(), Value::from(error.kind.as_str()));
        RpcError::new(error.kind.code(), error.message).with_data(Value::Object(data))
    }
}

/// Formats an error with all its causes, for logs and terminals: "the database is unavailable: connection refused".
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        let words = cause.to_string();
        // Some errors repeat the text of their cause.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        inner = cause.source();
    }
    text
}

/// Describes a member of an error's data. It is a text unless its type is given.
macro_rules! field {
    ($name:ident) => {
        field!($name Text)
    };
    ($name:ident $type:ident) => {
        DataField { name: stringify!($name), kind: DataKind::$type }
    };
}

macro_rules! kinds {
    (
        rpc { $(
            $variant:ident = $code:expr, $word:literal, $when:literal, [$($field:ident $(: $type:ident)?),*];
        )* }
        login { $( $(#[$doc:meta])* $other:ident = $other_word:literal, )* }
    ) => {
        /// The kind of an application error. The kind is part of the protocol; the message is for humans.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $( #[doc = $when] $variant, )* }

        impl Kind {
            /// Every kind, ordered by code.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Kind] = &[ $( Kind::$variant, )* ];

            /// The JSON-RPC error code: either positive, which is outside the range reserved by JSON-RPC, or the code
            /// of the engine's error with the same name.
            pub(crate) const fn code(self) -> i32 { match self { $( Kind::$variant => $code, )* } }

            /// The value of `data.kind`.
            pub(crate) const fn as_str(self) -> &'static str { match self { $( Kind::$variant => $word, )* } }

            /// Every kind as the protocol's documents list it.
            pub(crate) const ENTRIES: &'static [ErrorEntry] = &[ $( ErrorEntry {
                code: $code,
                kind: $word,
                when: $when,
                data: &[$( field!($field $($type)?) ),*],
            }, )* ];
        }

        words! {
            /// The kind of the error in a result: a kind from the error list, or one that occurs only for a login or an
            /// operator sign-in.
            ErrorKind {
                $( #[doc = $when] $variant = $word, )*
                $( $(#[$doc])* $other = $other_word, )*
            }
        }

        impl From<Kind> for ErrorKind {
            fn from(kind: Kind) -> Self { match kind { $( Kind::$variant => Self::$variant, )* } }
        }
    };
}

kinds! {
    rpc {
        NotFound = 1001, "not_found", "the bundle, account, session or CLI is unknown (`data.what`, `data.id`)", [what, id, searched: Texts, reason];
        Conflict = 1002, "conflict", "a name is already in use, or a login is already running (`data.sessionId`) or already exists (`data.accountId`)", [what, id, sessionId, accountId, bundleId, profileId, providerId, host, port: Number];
        UnknownProvider = 1003, "unknown_provider", "the registry has no such provider; `data.known` lists the ids", [known: Texts, takesKeys: Texts];
        NotAllowed = 1004, "not_allowed", "the spawn policy does not allow a CLI path, arguments or an environment variable (`data.field`, `data.value` unless secret)", [field, value: Any, reason, known: Texts];
        InvalidInput = 1005, "invalid_input", "the JSON is well formed but a value is invalid, such as a callback text, API key, name or id (`data.field`)", [field, known: Texts, takesKeys: Texts];
        NoCredential = 1006, "no_credential", "launch: there is no usable credential (`data.candidates`, each with a reason)", [candidates: Any, reason, providerId, accountId, profileId];
        NeedsReauth = 1007, "needs_reauth", "a credential exists, but the user must log in again to renew it (`data.providerId`, `data.accountId`)", [candidates: Any, reason, providerId, accountId, profileId];
        AllExpired = 1008, "all_expired", "credentials exist, but all of them have expired (`data.candidates`; `data.refreshable` and, if it is true, `data.retryAt`)", [candidates: Any, reason, refreshable: Flag, retryAt: Number, providerId, accountId, profileId];
        DeclaredImmutable = 1009, "declared_immutable", "the agent or credential is declared in a file (`data.file`, `data.agentId`); edit the file", [agentId, file];
        NoActiveForge = 1010, "no_active_forge", "no operator account is active; `GET /me` answers 412", [];
        SecretUnavailable = 1011, "secret_unavailable", "a stored secret is missing or cannot be decrypted (`data.reason`)", [reason, candidates: Any, providerId, accountId, profileId];
        StoreUnavailable = 1012, "store_unavailable", "the database is busy, full or unavailable (`data.reason`: `busy`, `full`, `unavailable`, `replaced`; with `uncertain` and `data.outcome` `unknown`, it is unknown whether the change was made), or a login's directory cannot be used; retry later", [reason, outcome];
        IdentityMismatch = 1013, "identity_mismatch", "the login belongs to a different user than the stored one", [candidates: Any, reason, providerId, accountId, profileId];
        RefreshFailed = 1014, "refresh_failed", "a refresh was tried and failed for a temporary reason (`data.retryAt`)", [retryAt: Number, candidates: Any, reason, providerId, accountId, profileId];
        Forbidden = 1015, "forbidden", "the scope of the client's token does not allow the method (`data.scope` is the one that does)", [scope];
        AmbientDirectory = 1016, "ambient_directory", "the login's directory belongs to the user's own CLI, not to the daemon", [accountId, dir, command, set: Any, unset: Texts, candidates: Any, reason, providerId, profileId];
        Corrupt = 1017, "corrupt", "a stored row cannot be read and stays unchanged (`data.what`, `data.id`); retrying does not help", [what, id];
        DatabaseFailed = 1018, "database_failed", "the database rejected a statement; see the daemon's log for the cause", [];
        DatabaseDamaged = 1019, "database_damaged", "the database is damaged; restore it from a backup", [];
        MigrationFailed = 1020, "migration_failed", "the database could not be migrated to the schema of this version (`data.version`, if known)", [version: Number];
        Unsupported = 1021, "unsupported", "this kind of database does not support the operation (`data.operation`, `data.databaseKind`)", [operation, databaseKind];
        UnknownRecipe = 1022, "unknown_recipe", "the provider has no such login recipe for the installed version of its CLI; `data.known` lists the ids", [field, known: Texts];
        Capacity = 1023, "capacity", "too many logins are running or queued; retry after one has ended", [];
        Shadowed = 1031, "shadowed", "launch: a setting of the CLI takes the place of the login or the key, so the CLI would use another credential (`data.reason` names the file and the key)", [candidates: Any, reason, providerId, accountId, profileId];
        ForgeRefused = 1040, "forge_refused", "the active forge rejected a request (`data.status`; `data.scope` if the token lacks one)", [status: Number, scope, reason, retryAt: Number];
        ForgeUnavailable = 1041, "forge_unavailable", "the active forge could not be asked, or answers no more requests until `data.retryAt`", [retryAt: Number, reason];
        ShuttingDown = -32003, "shutting_down", "the daemon is shutting down and starts no more logins; retry once it is running again", [];
    }
    login {
        /// The CLI could not be started.
        SpawnFailed = "spawn_failed",
        /// No pseudo-terminal was available.
        TtyUnavailable = "tty_unavailable",
        /// The CLI exited with an error (`exitCode`).
        CliExited = "cli_exited",
        /// The CLI exited successfully but without logging in, or the provider rejected the API key.
        NotAuthenticated = "not_authenticated",
        /// The provider or the user denied the login.
        Denied = "denied",
        /// The CLI reported a failure other than a denial, such as a network error.
        LoginFailed = "login_failed",
        /// The program reports that it is no longer the provider's CLI.
        CliRetired = "cli_retired",
        /// The login was not completed in time.
        Expired = "expired",
        /// The login was cancelled.
        Cancelled = "cancelled",
        /// Another sign-in at the same forge replaced it.
        Superseded = "superseded",
        /// The login could not be stored.
        Storage = "storage",
        /// A callback port that the CLI needs is in use.
        PortInUse = "port_in_use",
        /// The daemon was restarted during the login.
        DaemonRestarted = "daemon_restarted",
        /// The daemon failed; its log shows the cause.
        Internal = "internal",
        /// The forge rejected the code.
        InvalidGrant = "invalid_grant",
        /// The refresh token has already been used.
        RefreshTokenReused = "refresh_token_reused",
        /// The forge rejected the client id or its secret.
        InvalidClient = "invalid_client",
        /// The forge does not allow the client to use this flow.
        GrantNotAllowed = "grant_not_allowed",
        /// The forge does not recognize a requested scope.
        InvalidScope = "invalid_scope",
        /// The redirect URL is not registered with the forge.
        RedirectUriMismatch = "redirect_uri_mismatch",
        /// The forge rejected the request as invalid.
        InvalidRequest = "invalid_request",
        /// Plain HTTP is not allowed for this forge.
        Insecure = "insecure",
        /// The forge does not support the device flow.
        NoDeviceFlow = "no_device_flow",
    }
}

#[cfg(test)]
mod tests {
    use rpc_engine::ENGINE_ERRORS;

    use super::*;
    use crate::hint::Step;

    #[test]
    fn api_error_carries_kind_and_data() {
        let error = RpcError::from(ApiError::not_found("bundle", "b1").hint(Step::SetForce));
        assert_eq!(error.code, 1001);
        assert_eq!(
            serde_json::to_value(&error.data).unwrap(),
            serde_json::json!({"kind": "not_found", "what": "bundle", "id": "b1", "hint": Step::SetForce.to_string()})
        );
    }

    #[test]
    fn error_text_contains_each_cause_once() {
        let inner = std::io::Error::other("connection refused");
        let outer = identity_store::OpenError::Unavailable(Box::new(inner));
        assert_eq!(with_causes(&outer), "the database is unavailable: connection refused");
    }

    #[test]
    fn error_kinds_have_distinct_codes_and_names() {
        for (at, kind) in Kind::ALL.iter().enumerate() {
            for other in &Kind::ALL[at + 1..] {
                assert_ne!(kind.code(), other.code());
                assert_ne!(kind.as_str(), other.as_str());
            }
            // A name that the engine also uses has the engine's code.
            let engine = ENGINE_ERRORS.iter().find(|entry| entry.kind == kind.as_str());
            assert_eq!(kind.code(), engine.map_or(kind.code().max(1), |entry| entry.code), "{kind:?}");
            assert_eq!(ErrorKind::from(*kind), ErrorKind::from(kind.as_str()));
        }
    }
}
