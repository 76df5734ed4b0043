//! `events.*`: subscriptions, and the topics that are published.

use rpc_engine::EventMethods;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// The notification names of the wire.
pub const METHODS: EventMethods = EventMethods { event: "event", lagged: "events.lagged" };

/// `identitybundlebindings:changed:<bundleId>`.
pub fn bindings_changed(bundle: &str) -> String {
    format!("identitybundlebindings:changed:{bundle}")
}

/// A bundle was made, renamed or deleted.
pub const BUNDLES_CHANGED: &str = "identitybundles:changed";

/// `identityaccounts:changed:<accountId>`.
pub fn account_changed(account: &str) -> String {
    format!("identityaccounts:changed:{account}")
}

/// `authsession:changed:<sessionId>`.
pub fn session_changed(session: &str) -> String {
    format!("authsession:changed:{session}")
}

/// The declared registry was reloaded, and something in it changed.
pub const DECLARED_CHANGED: &str = "declaredagents:changed";

/// `userprofiles:changed:<userId>`.
pub fn profiles_changed(user: &str) -> String {
    format!("userprofiles:changed:{user}")
}

/// An operator token or the active forge changed.
pub const OPERATOR_TOKENS_CHANGED: &str = "operatortokens:changed";

/// Every topic with when it is published, for the protocol's documentation.
pub const TOPICS: &[(&str, &str)] = &[
    (
        "identitybundlebindings:changed:<bundleId>",
        "a binding of this bundle was made, moved, removed, or its account's status changed",
    ),
    ("identitybundles:changed", "a bundle was made, renamed or deleted"),
    ("identityaccounts:changed:<accountId>", "an account was made, changed, deleted, or its status changed"),
    ("authsession:changed:<sessionId>", "a login session moved"),
    (DECLARED_CHANGED, "what files declare for agents was read again and is not what it was"),
    ("userprofiles:changed:<userId>", "a profile of this user changed"),
    ("operatortokens:changed", "an operator token or the active forge changed"),
];

/// Subscribes this connection to topics.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscribe {
    /// Exact topics, or prefixes that end in `*`.
    pub topics: Vec<String>,
    /// Where an earlier subscription had come to: what was missed since is sent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}
method!(Subscribe, "events.subscribe", Subscribed, "Subscribes this connection to topics.");

/// A place in the stream of events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Since {
    /// The daemon's run.
    pub epoch: String,
    /// The last event that was seen.
    pub seq: u64,
}

/// A subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed {
    /// Names it in `event` notifications.
    pub subscription_id: String,
    /// The daemon's run.
    pub epoch: String,
    /// The newest event at this moment.
    pub seq: u64,
    /// Whether events since `since` are lost: fetch again.
    pub lagged: bool,
}

/// Ends a subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unsubscribe {
    /// The subscription.
    pub subscription_id: String,
}
method!(Unsubscribe, "events.unsubscribe", Unsubscribed, "Ends a subscription.");

/// Whether there was such a subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unsubscribed {
    /// It was there and is gone.
    pub removed: bool,
}
