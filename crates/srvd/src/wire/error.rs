//! The errors of the wire: one enum of kinds, one error type, and one conversion from each library's error.

use std::fmt;

use identity_store::{InvalidId, StoreError};
use rpc_engine::RpcError;
use serde_json::{Map, Value};

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
    #[cfg(test)]
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

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { what, id } => Self::not_found(what, &id),
            StoreError::Conflict { what, id, detail } => {
                Self::new(Kind::Conflict, detail).with("what", what).with("id", id)
            }
            StoreError::Protected { what, id } => Self::invalid_input(
                "bundleId",
                format!("the {what} {id} can be neither bound, changed nor deleted"),
            ),
            StoreError::InvalidName { field, reason } => Self::invalid_input(field, reason),
            StoreError::IdentityMismatch { .. } => Self::new(
                Kind::IdentityMismatch,
                "the login came back as another person; nothing was changed",
            )
            .hint("log in again with force to replace the stored login"),
            StoreError::Secret(cause) => {
                tracing::error!(error = %cause, "a sealed secret could not be opened");
                Self::new(Kind::SecretUnavailable, "the stored secret could not be opened")
                    .with("reason", "undecryptable")
            }
            cause => {
                tracing::error!(error = with_causes(&cause), "the store failed");
                Self::new(Kind::StoreUnavailable, "the database did not carry this out; nothing was changed")
                    .hint("retry later; the daemon's log names the cause")
            }
        }
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
    ($( $(#[doc = $doc:literal])* $variant:ident = $code:literal $word:literal $when:literal; )*) => {
        /// The kind of an application error. The kind is part of the protocol; the text is for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $( #[doc = $when] $variant, )* }

        impl Kind {
            /// Every kind, in the order of the codes.
            pub(crate) const ALL: &'static [Kind] = &[ $( Kind::$variant, )* ];

            /// The JSON-RPC error code: positive, below the range that JSON-RPC reserves.
            pub(crate) const fn code(self) -> i32 { match self { $( Kind::$variant => $code, )* } }

            /// The word in `data.kind`.
            pub(crate) const fn as_str(self) -> &'static str { match self { $( Kind::$variant => $word, )* } }

            /// The situation in which a client receives it, for the protocol's documentation.
            pub(crate) const fn when(self) -> &'static str { match self { $( Kind::$variant => $when, )* } }
        }
    };
}

kinds! {
    NotFound = 1001 "not_found" "unknown bundle, account, session, CLI (`data.what`, `data.id`)";
    Conflict = 1002 "conflict" "a name is taken, or a login is already running (`data.sessionId`) or already there (`data.accountId`)";
    UnknownProvider = 1003 "unknown_provider" "the registry has no such provider; `data.known` lists the ids";
    NotAllowed = 1004 "not_allowed" "a CLI path, arguments or an environment variable refused by the spawn policy (`data.field`, `data.value` unless secret)";
    InvalidInput = 1005 "invalid_input" "callback text, API key, name, id: well-formed JSON, unusable value (`data.field`)";
    NoCredential = 1006 "no_credential" "launch: nothing is bound that could be used (`data.candidates` with a reason each)";
    NeedsReauth = 1007 "needs_reauth" "a credential exists and only a person can renew it (`data.providerId`, `data.accountId`)";
    AllExpired = 1008 "all_expired" "credentials exist and all of them have expired (`data.candidates`; `data.refreshable`, and then `data.retryAt`)";
    DeclaredImmutable = 1009 "declared_immutable" "the thing is declared in a file (`data.file`, `data.agentId`); edit the file";
    NoActiveForge = 1010 "no_active_forge" "no operator token is the one in use; `GET /me` answers 412";
    SecretUnavailable = 1011 "secret_unavailable" "a stored secret is missing or does not open (`data.reason`)";
    StoreUnavailable = 1012 "store_unavailable" "the database is down, busy or full; retry later";
    IdentityMismatch = 1013 "identity_mismatch" "a login came back as another person";
    RefreshFailed = 1014 "refresh_failed" "a refresh was tried and failed for a reason that passes (`data.retryAt`)";
    AmbientDirectory = 1016 "ambient_directory" "a directory that belongs to the user's own CLI was named";
}

#[cfg(test)]
mod tests {
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
                assert!(kind.code() < other.code(), "{kind:?} before {other:?}");
                assert_ne!(kind.as_str(), other.as_str());
            }
        }
    }
}
