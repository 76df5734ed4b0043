//! `events.*`: subscriptions to the event broker, using the wire's names.

use rpc_engine::{Call, Cursor, RpcError};

use crate::rpc::app::App;
use crate::wire::events::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};

/// `events.subscribe`.
pub(crate) async fn subscribe(_: App, call: Call, params: Subscribe) -> Result<Subscribed, RpcError> {
    let since = params.since.map(|since| Cursor { epoch: since.epoch, seq: since.seq });
    let made = call.subscribe(params.topics, since)?;
    Ok(Subscribed {
        subscription_id: made.subscription_id,
        epoch: made.epoch,
        seq: made.seq,
        lagged: made.lagged,
    })
}

/// `events.unsubscribe`.
pub(crate) async fn unsubscribe(_: App, call: Call, params: Unsubscribe) -> Result<Unsubscribed, RpcError> {
    Ok(Unsubscribed { removed: call.unsubscribe(&params.subscription_id)? })
}
