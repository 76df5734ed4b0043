//! A service with one method, available over WebSocket and POST until Ctrl-C is pressed.
//!
//! ```text
//! cargo run -p rpc-engine --example serve
//! curl -d '{"jsonrpc":"2.0","id":1,"method":"greet","params":{"name":"you"}}' http://127.0.0.1:7878/
//! ```

#![expect(clippy::print_stdout, reason = "an example prints what it does")]

mod http;

use std::io;
use std::time::Duration;

use rpc_engine::{
    ApiInfo, Broker, BrokerConfig, Call, Engine, EventMethods, Limits, Params, Router, RpcError,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

#[derive(Deserialize, JsonSchema)]
struct Greet {
    name: String,
}

impl Params for Greet {
    const METHOD: &'static str = "greet";
    const SUMMARY: &'static str = "Greets.";
    type Result = String;
}

async fn greet(greeting: &'static str, call: Call, Greet { name }: Greet) -> Result<String, RpcError> {
    println!("call {} of connection {}", call.request, call.connection);
    Ok(format!("{greeting}, {name}"))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let methods = EventMethods { event: "event", lagged: "lagged" };
    let broker = Broker::new(BrokerConfig { epoch: "1".to_owned(), keep: 0, methods });
    let info =
        ApiInfo { title: "greeter".to_owned(), version: "1".to_owned(), description: "Greets.".to_owned() };
    let engine = Engine::new(Router::new().on(greet).build(&"Hello", info, Limits::default()), broker);

    let listener = TcpListener::bind("127.0.0.1:7878").await?;
    println!("listening on http://{}/", listener.local_addr()?);
    let tasks = TaskTracker::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let served = http::serve_http(engine.clone(), stream, tasks.clone());
                tasks.spawn(async move {
                    if let Err(error) = served.await {
                        println!("connection error: {error}");
                    }
                });
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    println!("shutting down");
    engine.drain(Duration::from_secs(5)).await;
    println!("{:?}", engine.counters());
    Ok(())
}
