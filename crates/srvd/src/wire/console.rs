//! `console.*`: the browser sessions of the console.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Creates a code that starts a browser session of the console.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OpenConsole")]
pub(crate) struct Open {}
method!(
    Open,
    "console.open",
    Opened,
    "Creates a code with which a browser starts a session of the console, once and within a minute.",
    errors = [NotAllowed, SecretUnavailable]
);

/// A code for the console.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OpenedConsole")]
pub(crate) struct Opened {
    /// The code. It belongs into the fragment of the page's URL: `/console/#code=<code>`.
    pub code: String,
    /// The time at which the code ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// Lists the browser sessions of the console.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ListConsoleSessions")]
pub(crate) struct List {}
method!(List, "console.sessions", Sessions, "Lists the browser sessions of the console.");

/// The browser sessions of the console.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConsoleSessions")]
pub(crate) struct Sessions {
    /// The sessions, oldest first.
    pub sessions: Vec<Session>,
}

/// A browser session of the console.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConsoleSession")]
pub(crate) struct Session {
    /// The session's id.
    pub id: String,
    /// The name of the browser and its system.
    pub browser: String,
    /// The start of the session, in Unix milliseconds.
    pub created_at: i64,
    /// The time of the newest connection, in Unix milliseconds.
    pub used_at: i64,
    /// True for the session of the caller.
    pub current: bool,
}

/// Ends a browser session of the console.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EndConsoleSession")]
pub(crate) struct End {
    /// The session's id.
    pub session_id: String,
}
method!(
    End,
    "console.end",
    Ended,
    "Ends a browser session of the console and its connections.",
    errors = [NotFound]
);

/// The result of ending a browser session.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EndedConsoleSession")]
pub(crate) struct Ended {
    /// True if the session existed and was ended.
    pub ended: bool,
}
