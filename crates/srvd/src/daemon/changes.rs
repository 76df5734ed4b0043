//! The broker, and the events that it publishes for committed changes.

use std::sync::Arc;

use identity_store::{Announce, Change};
use rpc_engine::{Broker, BrokerConfig, NewEvent};

use crate::base::clock::now;
use crate::forge::oauth::flows::SignInListener;
use crate::health::HealthReports;
use crate::keeper::KeeperSignal;
use crate::refresh::RefreshSignal;
use crate::wire::events;

/// Maximum number of events that are kept for clients that reconnect.
const EVENTS_KEPT: usize = 4096;

/// Creates a broker with a new epoch.
pub(super) fn fresh_broker() -> Broker {
    let epoch = uuid::Uuid::new_v4().to_string();
    Broker::new(BrokerConfig { epoch, keep: EVENTS_KEPT, methods: events::METHODS })
}

/// Returns the callback that publishes committed changes as events. A changed account is also checked, and the
/// refresher and the keeper are woken.
pub(super) fn announce(
    broker: &Broker,
    reports: &HealthReports,
    signal: &RefreshSignal,
    keeper: &KeeperSignal,
) -> Announce {
    let (broker, reports, signal, keeper) = (broker.clone(), reports.clone(), signal.clone(), keeper.clone());
    Arc::new(move |changes| {
        for change in changes {
            if let Change::Account(id) = change {
                reports.changed(id);
                signal.notify();
                keeper.changed(id);
            }
        }
        broker.publish_all(now(), changes.iter().filter_map(event));
    })
}

/// Returns the event of a change, or `None` if it is announced elsewhere.
fn event(change: &Change) -> Option<NewEvent> {
    let (topic, data) = match change {
        Change::Bundles => (events::BUNDLES_CHANGED.to_owned(), None),
        Change::Bindings(id) => {
            (events::bindings_changed(id.as_str()), Some(serde_json::json!({"bundleId": id.as_str()})))
        }
        Change::Account(id) => {
            (events::account_changed(id.as_str()), Some(serde_json::json!({"accountId": id.as_str()})))
        }
        Change::Profiles(user) => {
            (events::profiles_changed(user.as_str()), Some(serde_json::json!({"userId": user.as_str()})))
        }
        Change::ForgeRepo(repo) => {
            (events::FORGE_REPOS_CHANGED.to_owned(), Some(serde_json::json!({"repo": repo})))
        }
        Change::OperatorTokens => (events::OPERATOR_TOKENS_CHANGED.to_owned(), None),
        // The spawner announces sessions as soon as a poll shows the new state.
        Change::Session(_) => return None,
    };
    Some(NewEvent { topic, data })
}

/// Returns the callback that publishes each step of a sign-in at a forge.
pub(super) fn moved(broker: &Broker) -> SignInListener {
    let broker = broker.clone();
    Arc::new(move |session| {
        let data = serde_json::json!({"sessionId": session});
        broker.publish(&events::session_changed(session), now(), Some(data));
    })
}
