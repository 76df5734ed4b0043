//! `srvd.*`: the daemon itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{method, words};

/// Returns information about this daemon.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info {}
method!(
    Info,
    "srvd.info",
    Daemon,
    "Returns information about this daemon, including the number of stored records and open connections."
);

/// Information about the daemon.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Daemon {
    /// The program's version.
    pub version: String,
    /// The id of this run of the daemon.
    pub epoch: String,
    /// The time since the daemon started, in milliseconds.
    pub uptime_ms: u64,
    /// The kind of database in use.
    pub database_kind: DatabaseKind,
    /// The version of the newest applied database migration.
    pub schema_version: i64,
    /// The number of stored records and open connections.
    pub counts: Counts,
    /// The directories that are searched for CLIs, in this order. One that other users can change is passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search_path: Vec<String>,
}

words! {
    /// A kind of database.
    DatabaseKind {
        /// A file on the daemon's machine.
        Sqlite = "sqlite",
        /// A `PostgreSQL` server.
        Postgres = "postgres",
    }
}

/// The number of stored records and open connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    /// The number of bundles, including `blank`.
    pub bundles: u64,
    /// The number of accounts.
    pub accounts: u64,
    /// The number of bindings.
    pub bindings: u64,
    /// The number of running logins.
    pub live_sessions: u64,
    /// The number of open WebSocket connections.
    pub connections: u64,
}

/// Immediately returns the text of the request. A client can use it to check that the daemon still responds. It is not
/// needed to keep the connection open, because WebSocket pings do that.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ping {
    /// Any text, up to the size limit of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
method!(
    Ping,
    "srvd.ping",
    Pong,
    "Immediately returns the text of the request, which shows that the daemon is responding."
);

/// The answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pong {
    /// The text of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
