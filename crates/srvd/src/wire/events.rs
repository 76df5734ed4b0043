//! `events.*`: subscriptions, and the topics of the published events.

use rpc_engine::EventMethods;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// The notification names of the wire.
pub(crate) const METHODS: EventMethods = EventMethods { event: "event", lagged: "events.lagged" };

/// Returns the topic `identitybundlebindings:changed:<bundleId>`.
pub(crate) fn bindings_changed(bundle: &str) -> String {
    format!("identitybundlebindings:changed:{bundle}")
}

/// The topic of events about a bundle that was created, renamed or deleted, or whose shared setup changed.
pub(crate) const BUNDLES_CHANGED: &str = "identitybundles:changed";

/// Returns the topic `identityaccounts:changed:<accountId>`.
pub(crate) fn account_changed(account: &str) -> String {
    format!("identityaccounts:changed:{account}")
}

/// Returns the topic `authsession:changed:<sessionId>`.
pub(crate) fn session_changed(session: &str) -> String {
    format!("authsession:changed:{session}")
}

/// The topic of events about a reload of the declared registry that changed it.
pub(crate) const DECLARED_CHANGED: &str = "declaredagents:changed";

/// Returns the topic `userprofiles:changed:<userId>`.
pub(crate) fn profiles_changed(user: &str) -> String {
    format!("userprofiles:changed:{user}")
}

/// The topic of events about a change of an operator token or of the active forge.
pub(crate) const OPERATOR_TOKENS_CHANGED: &str = "operatortokens:changed";

/// Every topic with the reason for its events, for the protocol's documentation.
pub(crate) const TOPICS: &[(&str, &str)] = &[
    (
        "identitybundlebindings:changed:<bundleId>",
        "a binding of this bundle was created, moved or removed, or its account's status changed",
    ),
    (
        "identitybundles:changed",
        "a bundle was created, renamed or deleted, or `share.set` changed its policy",
    ),
    (
        "identityaccounts:changed:<accountId>",
        "an account was created, changed or deleted, or its status changed",
    ),
    ("authsession:changed:<sessionId>", "a login session changed"),
    (DECLARED_CHANGED, "the files of the declared agents were read again and the declared agents changed"),
    ("userprofiles:changed:<userId>", "a profile of this user changed"),
    ("operatortokens:changed", "an operator token or the active forge changed"),
];

/// Subscribes this connection to topics.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscribe {
    /// Exact topics, or prefixes that end in `*`.
    pub topics: Vec<String>,
    /// The position that an earlier subscription reached. Events after it are sent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}
method!(Subscribe, "events.subscribe", Subscribed, "Subscribes this connection to topics.");

/// A position in the stream of events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Since {
    /// The id of the daemon's run.
    pub epoch: String,
    /// The sequence number of the last event that was received.
    pub seq: u64,
}

/// A subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscribed {
    /// The id of the subscription in `event` notifications.
    pub subscription_id: String,
    /// The id of the daemon's run.
    pub epoch: String,
    /// The sequence number of the newest event.
    pub seq: u64,
    /// True if events after `since` were lost. The client has to fetch the state again.
    pub lagged: bool,
}

/// Ends a subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unsubscribe {
    /// The subscription's id.
    pub subscription_id: String,
}
method!(Unsubscribe, "events.unsubscribe", Unsubscribed, "Ends a subscription.");

/// The result of ending a subscription.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unsubscribed {
    /// True if the subscription existed and was removed.
    pub removed: bool,
}
