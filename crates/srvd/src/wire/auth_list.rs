//! `auth.list`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{Session, SessionStatus};
use super::method;

/// Lists the login sessions that are running or have ended recently.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    /// Only logins with this provider, by id or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Only logins for this bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// Only logins with this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SessionStatus>,
    /// The maximum number of sessions on a page, from 1 to 1000. If absent, all of them are returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `nextCursor` of the page before; with the same filters and the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
method!(List, "auth.list", Sessions, "Lists the login sessions that are running or have ended recently.");

/// Login sessions, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sessions {
    /// The sessions, newest first.
    pub sessions: Vec<Session>,
    /// The cursor of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
