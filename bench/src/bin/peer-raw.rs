//! A hand-written JSON-RPC server on tokio-tungstenite: small buffers, a borrowed envelope, and one flush for all
//! replies that are ready. It has no authentication, limits or tracing, so it does close to the minimum of work.

use std::io::Write as _;

use anyhow::Result;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

#[derive(Deserialize)]
struct Request<'a> {
    id: u64,
    #[serde(borrow)]
    method: &'a str,
    #[serde(borrow)]
    params: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
struct Echo {
    text: String,
}

#[derive(Serialize)]
struct Response<'a> {
    jsonrpc: &'a str,
    id: u64,
    result: Echo,
}

#[tokio::main]
async fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection error ends only its own task.
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) -> Result<()> {
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(16 * 1024);
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let mut next = Some(message);
        while let Some(message) = next {
            if let Message::Text(text) = message? {
                socket.feed(Message::text(answer(&text)?)).await?;
            }
            next = socket.next().now_or_never().flatten();
        }
        socket.flush().await?;
    }
    Ok(())
}

fn answer(text: &str) -> Result<String> {
    let Request { id, method, params } = serde_json::from_str(text)?;
    anyhow::ensure!(method == "echo", "no such method");
    let result: Echo = serde_json::from_str(params.get())?;
    Ok(serde_json::to_string(&Response { jsonrpc: "2.0", id, result })?)
}
