//! `events.*`: subscriptions, and the topics of the published events.

use rpc_engine::EventMethods;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// Returns the topic `identitylogins:notice:<accountId>`.
pub(crate) fn login_notice(account: &str) -> String {
    format!("identitylogins:notice:{account}")
}

/// Returns the topic `accountquota:changed:<accountId>`.
pub(crate) fn quota_changed(account: &str) -> String {
    format!("accountquota:changed:{account}")
}

/// The topic of events about reloads that changed the declared agents.
pub(crate) const DECLARED_CHANGED: &str = "declaredagents:changed";

/// Returns the topic `userprofiles:changed:<userId>`.
pub(crate) fn profiles_changed(user: &str) -> String {
    format!("userprofiles:changed:{user}")
}

/// The topic of events about changes to an operator token or to the active forge.
pub(crate) const OPERATOR_TOKENS_CHANGED: &str = "operatortokens:changed";

/// The topic of events about watched repositories whose default branch or open requests moved.
pub(crate) const FORGE_REPOS_CHANGED: &str = "forgerepos:changed";

/// A topic, for the protocol's documents.
pub(crate) struct Topic {
    /// The topic. A `<name>` in it is also the member of the event's data.
    pub topic: &'static str,
    /// The reason for its events.
    pub when: &'static str,
    /// The name of the schema of the event's data; empty for an event without data.
    schema: &'static str,
}

/// Every topic, for the protocol's documents.
pub(crate) const TOPICS: &[Topic] = &[
    Topic {
        topic: "identitybundlebindings:changed:<bundleId>",
        when: "a binding of this bundle was created, moved or removed, or its account's status changed",
        schema: "BindingsChanged",
    },
    Topic {
        topic: BUNDLES_CHANGED,
        when: "a bundle was created, renamed or deleted, or `share.set` changed its policy",
        schema: "",
    },
    Topic {
        topic: "identityaccounts:changed:<accountId>",
        when: "an account was created, changed or deleted, or its status changed",
        schema: "AccountChanged",
    },
    Topic {
        topic: "identitylogins:notice:<accountId>",
        when: "a provider refused to renew the login of a CLI, or its deadline is 3 days or 1 day away; `notice` is `dead` or `deadline`",
        schema: "LoginNotice",
    },
    Topic {
        topic: "accountquota:changed:<accountId>",
        when: "a share in whole percent, the start of a window or the state of the limits of a login changed",
        schema: "QuotaChanged",
    },
    Topic {
        topic: "authsession:changed:<sessionId>",
        when: "a login session or a sign-in at a forge changed",
        schema: "SessionChanged",
    },
    Topic {
        topic: DECLARED_CHANGED,
        when: "the files of the declared agents were reloaded and the declared agents changed",
        schema: "",
    },
    Topic {
        topic: "userprofiles:changed:<userId>",
        when: "a profile of this user changed",
        schema: "ProfilesChanged",
    },
    Topic {
        topic: OPERATOR_TOKENS_CHANGED,
        when: "an operator token or the active forge changed",
        schema: "",
    },
    Topic {
        topic: FORGE_REPOS_CHANGED,
        when: "the default branch or the open requests of a watched repository moved; see `forge.watched`",
        schema: "ReposChanged",
    },
];

impl Topic {
    /// Returns the text to subscribe to, and the member of the data.
    fn pattern(&self) -> (String, Option<&'static str>) {
        match self.topic.split_once('<') {
            Some((prefix, name)) => (format!("{prefix}*"), Some(name.trim_end_matches('>'))),
            None => (self.topic.to_owned(), None),
        }
    }
}

/// Returns the topics as the `OpenRPC` document lists them: `[{topic, summary, data?}]`. `topic` is the text to
/// subscribe to, and `data` the schema of the event's `data`.
pub(crate) fn described() -> Value {
    let describe = |topic: &Topic| {
        let mut event = json!({"topic": topic.pattern().0, "summary": topic.when});
        if !topic.schema.is_empty() {
            event["data"] = json!({"$ref": format!("#/components/schemas/{}", topic.schema)});
        }
        event
    };
    TOPICS.iter().map(describe).collect()
}

/// Returns the schemas of the notifications and of the data of events.
pub(crate) fn schemas() -> Map<String, Value> {
    let text = || json!({"type": "string"});
    let mut schemas = Map::new();
    for topic in TOPICS {
        let (_, Some(name)) = topic.pattern() else { continue };
        let mut members = json!({name: text()});
        if name == "sessionId" {
            members["revision"] = json!({"type": "integer", "description": "The session's revision; absent for a sign-in at a forge."});
        }
        let schema =
            json!({"type": "object", "description": topic.when, "properties": members, "required": [name]});
        schemas.insert(topic.schema.to_owned(), schema);
    }
    let repos = json!({
        "type": "object",
        "description": "The repository that moved.",
        "properties": {"repo": text()},
        "required": ["repo"],
    });
    schemas.insert("ReposChanged".to_owned(), repos);
    let seq = || json!({"type": "integer"});
    let event = json!({
        "type": "object",
        "description": "The parameters of the notification `event`.",
        "properties": {
            "subscriptionId": text(), "topic": text(), "seq": seq(),
            "at": {"type": "integer", "description": "The time of the event, in Unix milliseconds."},
            "data": {"type": "object", "description": "Ids and states; its schema is that of the topic in `x-events`."},
        },
        "required": ["subscriptionId", "topic", "seq", "at"],
    });
    let lagged = json!({
        "type": "object",
        "description": "The parameters of the notification `events.lagged`: the client must fetch the state again.",
        "properties": {"subscriptionId": text(), "missed": seq(), "seq": seq()},
        "required": ["subscriptionId", "missed", "seq"],
    });
    schemas.insert("Event".to_owned(), event);
    schemas.insert("EventsLagged".to_owned(), lagged);
    schemas
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
