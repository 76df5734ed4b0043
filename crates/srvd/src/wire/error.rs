//! The errors of the wire: one enum of kinds, one error type, and one conversion from each library's error.

use std::fmt;

use identity_store::InvalidId;
use rpc_engine::RpcError;
use serde_json::{Map, Value};

use super::words;

/// An error that a handler returns: a kind, a text for people, and the data that the kind defines.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    kind: Kind,
    message: String,
    data: Map<String, Value>,
}

impl ApiError {
    /// Creates an error of `kind`. `message` is for people and must contain no secret.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), data: Map::new() }
    }

    /// Adds `data.<name>` to the error.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// Adds the next step for the person, as `data.hint`.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        let hint: String = hint.into();
        self.with("hint", hint)
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

    /// The text for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The next step for the person, as set with [`Self::hint`].
    pub(crate) fn next_step(&self) -> Option<String> {
        self.data.get("hint").and_then(Value::as_str).map(str::to_owned)
    }

    /// Creates the error for an id that is not well formed, with the name of its field.
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

/// Formats an error with all its causes, for the log and the terminal: "the database is unavailable: connection
/// refused".
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

macro_rules! kinds {
    (
        rpc { $( $variant:ident = $code:expr, $word:literal, $when:literal; )* }
        login { $( $(#[$doc:meta])* $other:ident = $other_word:literal, )* }
    ) => {
        /// The kind of an application error. The kind is part of the protocol; the text is for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $( #[doc = $when] $variant, )* }

        impl Kind {
            /// Every kind, in the order of the codes.
            pub(crate) const ALL: &'static [Kind] = &[ $( Kind::$variant, )* ];

            /// The JSON-RPC error code: positive, so outside the range that JSON-RPC reserves, or that of the engine's
            /// error with the same word.
            pub(crate) const fn code(self) -> i32 { match self { $( Kind::$variant => $code, )* } }

            /// The word in `data.kind`.
            pub(crate) const fn as_str(self) -> &'static str { match self { $( Kind::$variant => $word, )* } }

            /// The situation in which a client receives it, for the protocol's documentation.
            pub(crate) const fn when(self) -> &'static str { match self { $( Kind::$variant => $when, )* } }
        }

        words! {
            /// The kind of the error in a result: a kind of the list of errors, or a kind that only a login or a sign-in
            /// of the operator has.
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
        NotFound = 1001, "not_found", "the bundle, account, session or CLI is unknown (`data.what`, `data.id`)";
        Conflict = 1002, "conflict", "a name is already in use, or a login is already running (`data.sessionId`) or already exists (`data.accountId`)";
        UnknownProvider = 1003, "unknown_provider", "the registry has no such provider; `data.known` lists the ids";
        NotAllowed = 1004, "not_allowed", "the spawn policy refuses a CLI path, arguments or an environment variable (`data.field`, `data.value` unless secret)";
        InvalidInput = 1005, "invalid_input", "the JSON is well formed but a value cannot be used, such as a callback text, API key, name or id (`data.field`)";
        NoCredential = 1006, "no_credential", "launch: there is no usable credential (`data.candidates`, each with a reason)";
        NeedsReauth = 1007, "needs_reauth", "a credential exists, but only a person can renew it (`data.providerId`, `data.accountId`)";
        AllExpired = 1008, "all_expired", "credentials exist, but all of them have expired (`data.candidates`; `data.refreshable` and, if it is true, `data.retryAt`)";
        DeclaredImmutable = 1009, "declared_immutable", "the agent or credential is declared in a file (`data.file`, `data.agentId`); edit the file";
        NoActiveForge = 1010, "no_active_forge", "no account of the operator is in use; `GET /me` answers 412";
        SecretUnavailable = 1011, "secret_unavailable", "a stored secret is missing or cannot be opened (`data.reason`)";
        StoreUnavailable = 1012, "store_unavailable", "the database is busy, full or cannot be reached (`data.reason`: `busy`, `full`, `unavailable`, `replaced`; with `uncertain` and `data.outcome` `unknown`, it is unknown whether the change was made), or a login's directory cannot be used; retry later";
        IdentityMismatch = 1013, "identity_mismatch", "a login belongs to another person than the stored one";
        RefreshFailed = 1014, "refresh_failed", "a refresh was tried and failed for a temporary reason (`data.retryAt`)";
        AmbientDirectory = 1016, "ambient_directory", "the directory of a login belongs to the user's own CLI, not to the daemon";
        Corrupt = 1017, "corrupt", "a stored row cannot be read and stays unchanged (`data.what`, `data.id`); a retry does not help";
        DatabaseFailed = 1018, "database_failed", "the database refused a statement; the daemon's log names the cause";
        DatabaseDamaged = 1019, "database_damaged", "the database is damaged; restore it from a backup";
        MigrationFailed = 1020, "migration_failed", "the database could not be migrated to the schema of this version (`data.version`, if it is known)";
        Unsupported = 1021, "unsupported", "the kind of database in use does not support the operation (`data.operation`, `data.databaseKind`)";
        UnknownRecipe = 1022, "unknown_recipe", "the provider has no such login recipe for the installed version of its CLI; `data.known` lists the ids";
        Capacity = 1023, "capacity", "too many logins run and wait; retry after one has ended";
        ShuttingDown = -32003, "shutting_down", "the daemon is shutting down and starts no login; retry when it runs again";
    }
    login {
        /// The CLI could not be started.
        SpawnFailed = "spawn_failed",
        /// No pseudo-terminal was available.
        TtyUnavailable = "tty_unavailable",
        /// The CLI ended with an error (`exitCode`).
        CliExited = "cli_exited",
        /// The CLI ended without an error and without a login, or the provider refused the API key.
        NotAuthenticated = "not_authenticated",
        /// The provider or the person refused the login.
        Denied = "denied",
        /// The CLI reported a failure that is not a refusal, such as a network error.
        LoginFailed = "login_failed",
        /// The program says that it is no longer the provider's CLI.
        CliRetired = "cli_retired",
        /// The login was not finished in time.
        Expired = "expired",
        /// The login was cancelled.
        Cancelled = "cancelled",
        /// Another sign-in at the same forge took its place.
        Superseded = "superseded",
        /// The login could not be stored.
        Storage = "storage",
        /// A port that the CLI needs for its callback is in use.
        PortInUse = "port_in_use",
        /// The daemon was restarted during the login.
        DaemonRestarted = "daemon_restarted",
        /// The daemon failed; the cause is in its log.
        Internal = "internal",
        /// The forge does not accept the code.
        InvalidGrant = "invalid_grant",
        /// The refresh token was used before.
        RefreshTokenReused = "refresh_token_reused",
        /// The forge does not accept the client id or its secret.
        InvalidClient = "invalid_client",
        /// The forge does not allow this flow to the client.
        GrantNotAllowed = "grant_not_allowed",
        /// The forge does not know a requested scope.
        InvalidScope = "invalid_scope",
        /// The redirect address is not registered at the forge.
        RedirectUriMismatch = "redirect_uri_mismatch",
        /// The forge does not understand the request.
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

    #[test]
    fn api_error_carries_kind_and_data() {
        let error = RpcError::from(ApiError::not_found("bundle", "b1").hint("make one"));
        assert_eq!(error.code, 1001);
        assert_eq!(
            serde_json::to_value(&error.data).unwrap(),
            serde_json::json!({"kind": "not_found", "what": "bundle", "id": "b1", "hint": "make one"})
        );
    }

    #[test]
    fn error_text_names_each_cause_once() {
        let inner = std::io::Error::other("connection refused");
        let outer = identity_store::OpenError::Unavailable(Box::new(inner));
        assert_eq!(with_causes(&outer), "the database is unavailable: connection refused");
    }

    #[test]
    fn error_kinds_have_distinct_codes_and_words() {
        for (at, kind) in Kind::ALL.iter().enumerate() {
            for other in &Kind::ALL[at + 1..] {
                assert_ne!(kind.code(), other.code());
                assert_ne!(kind.as_str(), other.as_str());
            }
            // A word that the engine uses too has the engine's code.
            let engine = ENGINE_ERRORS.iter().find(|entry| entry.kind == kind.as_str());
            assert_eq!(kind.code(), engine.map_or(kind.code().max(1), |entry| entry.code), "{kind:?}");
            assert_eq!(ErrorKind::from(*kind), ErrorKind::from(kind.as_str()));
        }
    }
}
