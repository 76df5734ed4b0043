//! `events.*`: subscriptions, and the topics of the published events.

use rpc_engine::EventMethods;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::method;

/// The names of the notifications.
pub(crate) const METHODS: EventMethods = EventMethods { event: "event", lagged: "events.lagged" };

/// Returns the topic `identitybundlebindings:changed:<bundleId>`.
pub(crate) fn bindings_changed(bundle: &str) -> String {
    format!("identitybundlebindings:changed:{bundle}")
}

/// The topic of events about bundles that were created, renamed or deleted, or whose shared setup changed.
pub(crate) const BUNDLES_CHANGED: &str = "identitybundles:changed";

/// Returns the topic `identityaccounts:changed:<accountId>`.
pub(crate) fn account_changed(account: &str) -> String {
    format!("identityaccounts:changed:{account}")
}

/// Returns the topic `authsession:changed:<sessionId>`.
pub(crate) fn session_changed(session: &str) -> String {
    format!("authsession:changed:{session}")
}

/// The topic of events about reloads that changed the declared agents.
pub(crate) const DECLARED_CHANGED: &str = "declaredagents:changed";

/// Returns the topic `userprofiles:changed:<userId>`.
pub(crate) fn profiles_changed(user: &str) -> String {
    format!("userprofiles:changed:{user}")
}

/// The topic of events about changes to an operator token or to the active forge.
pub(crate) const OPERATOR_TOKENS_CHANGED: &str = "operatortokens:changed";

/// Every topic with the reason for its events, for the protocol documentation.
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
    (DECLARED_CHANGED, "the files of the declared agents were reloaded and the declared agents changed"),
    ("userprofiles:changed:<userId>", "a profile of this user changed"),
    ("operatortokens:changed", "an operator token or the active forge changed"),
];

/// Returns the topics as the `OpenRPC` document lists them: `[{topic, summary, data?}]`. `topic` is what a client
/// subscribes to, and `data` the schema of the event's `data`. The `<name>` in a topic is also the member of its data.
pub(crate) fn described() -> serde_json::Value {
    let describe = |(topic, when): &(&str, &str)| {
        let mut event = serde_json::json!({"summary": when});
        match topic.split_once('<') {
            Some((prefix, name)) => {
                let name = name.trim_end_matches('>');
                event["topic"] = format!("{prefix}*").into();
                event["data"] = serde_json::json!({
                    "type": "object",
                    "properties": {name: {"type": "string"}},
                    "required": [name],
                });
            }
            None => event["topic"] = (*topic).into(),
        }
        event
    };
    TOPICS.iter().map(describe).collect()
}

/// Subscribes this connection to topics.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscribe {
    /// Exact topics, or prefixes ending in `*`.
    pub topics: Vec<String>,
    /// The position reached by an earlier subscription. Later events are sent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
}
method!(Subscribe, "events.subscribe", Subscribed, "Subscribes this connection to topics.");

/// A position in the event stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Since {
    /// The id of the daemon's run.
    pub epoch: String,
    /// The sequence number of the last event received.
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
    /// True if events after `since` were lost, in which case the client must fetch the state again.
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
