//! `srvd.*`: the daemon itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// Tells what this daemon is and holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Info {}
method!(Info, "srvd.info", Daemon, "Tells what this daemon is and holds.");

/// The daemon.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Daemon {
    /// The program's version.
    pub version: String,
    /// This run.
    pub epoch: String,
    /// How long it has been up.
    pub uptime_ms: u64,
    /// `sqlite` or `postgres`.
    pub database_kind: String,
    /// The newest migration that was applied.
    pub schema_version: i64,
    /// What it holds.
    pub counts: Counts,
}

/// What the daemon holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Bundles, `blank` among them.
    pub bundles: u64,
    /// Accounts.
    pub accounts: u64,
    /// Bindings.
    pub bindings: u64,
    /// Logins that run.
    pub live_sessions: u64,
    /// Open WebSocket connections.
    pub connections: u64,
}

/// Answers at once with what it was given. A client that has to know whether the daemon still listens may send it; the
/// connection itself is kept open by WebSocket pings, and needs none of these.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Anything, up to the size of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
method!(Ping, "srvd.ping", Pong, "Answers at once with the text that it was given: a sign of life.");

/// The daemon is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    /// What was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
