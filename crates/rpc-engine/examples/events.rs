//! A server that publishes events, and a client that subscribes to them, in one process.
//!
//! ```text
//! cargo run -p rpc-engine --features client --example events
//! ```

#![expect(clippy::print_stdout, reason = "an example prints what it does")]

mod http;

use std::error::Error;
use std::time::Duration;

use rpc_engine::{
    ApiInfo, Broker, BrokerConfig, Call, Client, ClientEvent, ClientOptions, Cursor, Engine, EventMethods,
    EventNames, Limits, Params, Router, RpcError, Subscribed,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::task::TaskTracker;

#[derive(Deserialize, JsonSchema)]
struct Subscribe {
    topics: Vec<String>,
    since: Option<Cursor>,
}

impl Params for Subscribe {
    const METHOD: &'static str = "subscribe";
    const SUMMARY: &'static str = "Subscribes to topics.";
    type Result = Subscribed;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Unsubscribe {
    subscription_id: String,
}

impl Params for Unsubscribe {
    const METHOD: &'static str = "unsubscribe";
    const SUMMARY: &'static str = "Ends a subscription.";
    type Result = bool;
}

async fn subscribe((): (), call: Call, params: Subscribe) -> Result<Subscribed, RpcError> {
    call.subscribe(params.topics, params.since)
}

async fn unsubscribe((): (), call: Call, params: Unsubscribe) -> Result<bool, RpcError> {
    call.unsubscribe(&params.subscription_id)
}

const NAMES: EventNames = EventNames {
    event: "event",
    lagged: "lagged",
    subscribe: Subscribe::METHOD,
    unsubscribe: Unsubscribe::METHOD,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let methods = EventMethods { event: NAMES.event, lagged: NAMES.lagged };
    let broker = Broker::new(BrokerConfig { epoch: "1".to_owned(), keep: 100, methods });
    let info =
        ApiInfo { title: "ticker".to_owned(), version: "1".to_owned(), description: "Counts.".to_owned() };
    let service = Router::new().on(subscribe).on(unsubscribe).build(&(), info, Limits::default());
    let engine = Engine::new(service, broker.clone());

    let (near, far) = tokio::io::duplex(1 << 16);
    let tasks = TaskTracker::new();
    tasks.spawn(http::serve_http(engine.clone(), far, tasks.clone()));

    let client = Client::connect(near, ClientOptions::new("localhost", "/", NAMES)).await?;
    let mut events = client.subscribe(["tick:*"]).await?;
    for tick in 1..=3 {
        broker.publish(&format!("tick:{tick}"), 0, Some(tick.into()));
        match events.next().await {
            Some(ClientEvent::Event { topic, seq, data, .. }) => println!("{seq}: {topic} {data:?}"),
            other => println!("{other:?}"),
        }
    }

    engine.drain(Duration::from_secs(5)).await;
    client.closed().await;
    println!("after the shutdown: {:?}", events.next().await);
    Ok(())
}
