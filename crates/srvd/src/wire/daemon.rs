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
    /// The limits that a client has to keep.
    #[serde(default)]
    pub limits: Limits,
    /// The directories that are searched for CLIs, in this order. One that other users can change is passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search_path: Vec<String>,
}

/// The limits of the protocol. A value exactly at a limit is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    /// The size of a message or of the body of a POST, in bytes. Beyond it: `message_too_large`, then close code 1009.
    pub message_bytes: u64,
    /// Requests in a batch. Beyond it: `invalid_request`.
    pub batch: u64,
    /// Calls of one connection or POST that run at the same time. Further calls wait.
    pub in_flight: u64,
    /// Calls of all clients that run at the same time. Further calls wait.
    pub in_flight_total: u64,
    /// Calls of one connection or POST that wait. Beyond it: `server_busy`.
    pub waiting: u64,
    /// The time for which a call waits, in milliseconds. After it: `server_busy`.
    pub waiting_ms: u64,
    /// Subscriptions of one connection. Beyond it: `too_many_subscriptions`.
    pub subscriptions: u64,
    /// Topics of one subscription. Beyond it: `invalid_params`.
    pub topics: u64,
    /// The length of a topic, in bytes. Beyond it: `invalid_params`.
    pub topic_bytes: u64,
    /// The nesting depth of a request. Beyond it: `invalid_request`.
    pub json_depth: u64,
    /// The size of an id as written, in bytes. Beyond it: `invalid_request`.
    pub id_bytes: u64,
    /// The silence after which the daemon sends a WebSocket ping, in milliseconds.
    pub ping_ms: u64,
    /// The time without a frame from the client after which the connection is closed with 4008, in milliseconds.
    pub idle_ms: u64,
    /// The time for which a client may not read, in milliseconds. After it, the connection is closed with 4013.
    pub write_ms: u64,
    /// Messages that wait for a client that reads slowly. Beyond it, events are dropped and `events.lagged` is sent.
    pub outbound_messages: u64,
}

impl From<&rpc_engine::Limits> for Limits {
    fn from(limits: &rpc_engine::Limits) -> Self {
        let count = |limit: usize| u64::try_from(limit).unwrap_or(u64::MAX);
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            message_bytes: count(limits.message_bytes),
            batch: count(limits.batch),
            in_flight: count(limits.in_flight),
            in_flight_total: count(limits.in_flight_total),
            waiting: count(limits.waiting),
            waiting_ms: ms(limits.waiting_time),
            subscriptions: count(limits.subscriptions),
            topics: count(limits.topics),
            topic_bytes: count(limits.topic_bytes),
            json_depth: count(limits.json_depth),
            id_bytes: count(limits.id_bytes),
            ping_ms: ms(limits.ping_every),
            idle_ms: ms(limits.idle),
            write_ms: ms(limits.write_timeout),
            outbound_messages: count(limits.outbound_messages),
        }
    }
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
