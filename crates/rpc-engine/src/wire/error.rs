//! The error object on the wire, and a list of every error that the engine can return.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Code for text that is not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// Code for JSON that is not a JSON-RPC 2.0 request.
pub const INVALID_REQUEST: i32 = -32600;
/// Code for a method that does not exist.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// Code for parameters that do not match the method.
pub const INVALID_PARAMS: i32 = -32602;
/// Code for a failure of the daemon. The daemon's log shows the cause.
pub const INTERNAL: i32 = -32603;
/// Code for too many calls in flight.
pub const SERVER_BUSY: i32 = -32000;
/// Code for a message or frame that exceeds its size limit.
pub const MESSAGE_TOO_LARGE: i32 = -32001;
/// Code for too many subscriptions on one connection.
pub const TOO_MANY_SUBSCRIPTIONS: i32 = -32002;
/// Code for a daemon that is shutting down and accepts no new calls.
pub const SHUTTING_DOWN: i32 = -32003;
/// Code for a method that requires a WebSocket.
pub const NOT_SUPPORTED: i32 = -32004;
/// Code for a call that takes too long and goes on.
pub const UNKNOWN: i32 = -32005;

/// A JSON-RPC error object. In every error of the engine, `data` is an object with a `kind`, and application errors
/// should follow this. Programs should rely on `kind`; `message` is for humans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of this module's constants, or a positive application code.
    pub code: i32,
    /// The human-readable message. It never contains a value sent by a client.
    pub message: Cow<'static, str>,
    /// An object with at least `kind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// Creates an error without data. Applications add data with [`RpcError::with_data`] or [`RpcError::with_kind`].
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Replaces `data`.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Sets `data.kind` and keeps the other fields of an existing data object.
    #[must_use]
    pub fn with_kind(mut self, kind: &str) -> Self {
        let mut fields = match self.data.take() {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        fields.insert("kind".to_owned(), kind.into());
        self.data = Some(Value::Object(fields));
        self
    }

    /// Adds a member to `data`.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        if let Value::Object(fields) = self.data.get_or_insert_with(|| Value::Object(Map::new())) {
            fields.insert(name.to_owned(), value);
        }
        self
    }

    /// Returns `data.kind`, if present.
    pub fn kind(&self) -> Option<&str> {
        self.data.as_ref()?.get("kind")?.as_str()
    }

    /// Creates error -32700 (parse error).
    pub fn parse_error() -> Self {
        Self::new(PARSE_ERROR, "Parse error").with_kind("parse_error")
    }

    /// Creates error -32600 (invalid request).
    pub fn invalid_request() -> Self {
        Self::new(INVALID_REQUEST, "Invalid Request").with_kind("invalid_request")
    }

    /// Creates error -32601 (method not found).
    pub fn method_not_found() -> Self {
        Self::new(METHOD_NOT_FOUND, "Method not found").with_kind("method_not_found")
    }

    /// Creates error -32602 (invalid params). `reason` is appended to the standard text and must not repeat a value.
    /// `path` is the path of the field (such as `a.b[2]`), if known.
    pub fn invalid_params(reason: impl fmt::Display, path: Option<&str>) -> Self {
        let mut error =
            Self::new(INVALID_PARAMS, format!("Invalid params: {reason}")).with_kind("invalid_params");
        if let (Some(path), Some(Value::Object(fields))) = (path, error.data.as_mut()) {
            fields.insert("path".to_owned(), path.into());
        }
        error
    }

    /// Creates error -32603 (internal error).
    pub fn internal() -> Self {
        Self::new(INTERNAL, "Internal error").with_kind("internal")
    }

    /// Creates error -32000 (too many calls in flight).
    pub fn server_busy() -> Self {
        Self::new(SERVER_BUSY, "too many calls are waiting; retry after one has finished")
            .with_kind("server_busy")
    }

    /// Creates error -32001 (message too large).
    pub fn message_too_large() -> Self {
        Self::new(MESSAGE_TOO_LARGE, "the message exceeds the size limit").with_kind("message_too_large")
    }

    /// Creates error -32002 (too many subscriptions).
    pub fn too_many_subscriptions() -> Self {
        Self::new(
            TOO_MANY_SUBSCRIPTIONS,
            "the connection has too many subscriptions; end one before adding another",
        )
        .with_kind("too_many_subscriptions")
    }

    /// Creates error -32003 (shutting down).
    pub fn shutting_down() -> Self {
        Self::new(SHUTTING_DOWN, "the server is shutting down and accepts no new calls")
            .with_kind("shutting_down")
    }

    /// Creates error -32004 (method requires a WebSocket).
    pub fn not_supported() -> Self {
        Self::new(NOT_SUPPORTED, "this method needs a WebSocket").with_kind("not_supported")
    }

    /// Creates error -32005 (the outcome of the call is unknown).
    pub fn unknown() -> Self {
        Self::new(
            UNKNOWN,
            "the call takes too long; it goes on, and it is unknown whether it will take effect",
        )
        .with_kind("unknown")
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for RpcError {}

/// One row of an error list, from which the documentation and the `OpenRPC` document are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorEntry {
    /// The code on the wire.
    pub code: i32,
    /// The value of `data.kind`.
    pub kind: &'static str,
    /// The situation in which a client receives the error, as one phrase.
    pub when: &'static str,
    /// The members of `data` besides `kind` and `hint`. Any of them may be absent.
    pub data: &'static [DataField],
}

/// A member of an error's `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataField {
    /// The name.
    pub name: &'static str,
    /// The type of the value.
    pub kind: DataKind,
}

/// The type of a member of an error's `data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// A string.
    Text,
    /// An integer.
    Number,
    /// True or false.
    Flag,
    /// A list of strings.
    Texts,
    /// Any value.
    Any,
}

const fn text(name: &'static str) -> DataField {
    DataField { name, kind: DataKind::Text }
}

/// Every error that the engine can return.
pub const ENGINE_ERRORS: &[ErrorEntry] = &[
    ErrorEntry { code: PARSE_ERROR, kind: "parse_error", when: "the text is not JSON", data: &[] },
    ErrorEntry {
        code: INVALID_REQUEST,
        kind: "invalid_request",
        when: "the JSON is not a JSON-RPC 2.0 request, is nested too deeply, or is a batch that is empty or too long",
        data: &[],
    },
    ErrorEntry {
        code: METHOD_NOT_FOUND,
        kind: "method_not_found",
        when: "the method does not exist (`data.suggestion` names a similar one)",
        data: &[text("suggestion")],
    },
    ErrorEntry {
        code: INVALID_PARAMS,
        kind: "invalid_params",
        when: "the parameters do not fit the method (`data.path` names the field, and `data.suggestion` the right one if it is misspelt)",
        data: &[text("path"), text("suggestion")],
    },
    ErrorEntry {
        code: INTERNAL,
        kind: "internal",
        when: "the daemon failed; the cause is in its log",
        data: &[],
    },
    ErrorEntry {
        code: SERVER_BUSY,
        kind: "server_busy",
        when: "too many calls of this connection are waiting, or a call waited too long; it was not started, so retry after another one has finished",
        data: &[],
    },
    ErrorEntry {
        code: MESSAGE_TOO_LARGE,
        kind: "message_too_large",
        when: "the message exceeds the limit; the WebSocket is then closed with 1009",
        data: &[],
    },
    ErrorEntry {
        code: TOO_MANY_SUBSCRIPTIONS,
        kind: "too_many_subscriptions",
        when: "the connection has as many subscriptions as one connection may have",
        data: &[],
    },
    ErrorEntry {
        code: SHUTTING_DOWN,
        kind: "shutting_down",
        when: "the daemon is shutting down and accepts no new calls",
        data: &[],
    },
    ErrorEntry {
        code: NOT_SUPPORTED,
        kind: "not_supported",
        when: "the method needs a WebSocket",
        data: &[],
    },
    ErrorEntry {
        code: UNKNOWN,
        kind: "unknown",
        when: "the call was not finished in time, for example because the database hangs; it goes on, and it is unknown whether it takes effect",
        data: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_errors_list_matches_constructors() {
        let made = [
            RpcError::parse_error(),
            RpcError::invalid_request(),
            RpcError::method_not_found(),
            RpcError::invalid_params("x", None),
            RpcError::internal(),
            RpcError::server_busy(),
            RpcError::message_too_large(),
            RpcError::too_many_subscriptions(),
            RpcError::shutting_down(),
            RpcError::not_supported(),
            RpcError::unknown(),
        ];
        let made: Vec<_> = made.iter().map(|e| (e.code, e.kind().unwrap())).collect();
        let listed: Vec<_> = ENGINE_ERRORS.iter().map(|e| (e.code, e.kind)).collect();
        assert_eq!(made, listed);
    }

    #[test]
    fn rpc_error_serializes_code_message_and_data() {
        let error = RpcError::invalid_params("missing field `a`", Some("a"));
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"code":-32602,"message":"Invalid params: missing field `a`","data":{"kind":"invalid_params","path":"a"}}"#
        );
        assert_eq!(serde_json::to_string(&RpcError::new(7, "x")).unwrap(), r#"{"code":7,"message":"x"}"#);
    }
}
