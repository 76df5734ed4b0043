//! A JSON-RPC server based on `jsonrpsee`: an echo, and a subscription that receives what is published.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Result;
use jsonrpsee::server::{RpcModule, ServerBuilder, ServerConfig, SubscriptionMessage};
use jsonrpsee::types::ErrorObjectOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::broadcast;

#[derive(Deserialize, Serialize, Clone)]
struct Echo {
    text: String,
}

#[derive(Deserialize)]
struct Publish {
    count: usize,
    bytes: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let config = ServerConfig::builder().max_connections(10_000).build();
    let server = ServerBuilder::with_config(config).build("127.0.0.1:0").await?;
    let (events, _) = broadcast::channel::<Arc<RawValue>>(1024);
    let mut module = RpcModule::new(events);
    module.register_method("echo", |params, _, _| params.parse::<Echo>())?;
    module.register_method("publish", |params, events, _| {
        let Publish { count, bytes } = params.parse()?;
        let text = serde_json::value::to_raw_value(&"x".repeat(bytes.saturating_sub(75)));
        let text: Arc<RawValue> =
            Arc::from(text.map_err(|_| ErrorObjectOwned::owned(1, "no text", None::<()>))?);
        for _ in 0..count {
            // Without a subscriber, the text is dropped.
            let _ = events.send(Arc::clone(&text));
        }
        Ok::<_, ErrorObjectOwned>(count)
    })?;
    module.register_subscription(
        "subscribe",
        "event",
        "unsubscribe",
        |_, pending, events, _| async move {
            let mut events = events.subscribe();
            let sink = pending.accept().await?;
            while let Ok(event) = events.recv().await {
                let message =
                    SubscriptionMessage::new(sink.method_name(), sink.subscription_id(), &event.as_ref())?;
                if sink.send(message).await.is_err() {
                    break;
                }
            }
            Ok(())
        },
    )?;
    writeln!(std::io::stdout(), "{}", server.local_addr()?)?;
    server.start(module).stopped().await;
    Ok(())
}
